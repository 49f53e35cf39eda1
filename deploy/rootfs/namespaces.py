"""Processes in namespaces of their own, by system calls: neither root nor a program is needed.

The users inside are those outside where root calls; else the one who calls is the one user inside.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_SYS_MOUNT_SETATTR: Final = 442
_AT_RECURSIVE: Final = 0x8000
_ATTR_RDONLY: Final = 1

_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38

_FAILED: Final = 125
"""Status of a child that could not set itself up."""

_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The system does not allow it; the text says what."""


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise Refused(f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """A system call: see its manual. Raises `Refused`."""
    result = _libc.mount(
        source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags),
        options.encode() or None,
    )  # fmt: skip
    _checked(result, f"mount {source or kind} on {target}")


def bind(source: Path, target: Path, *, is_read_only: bool = False) -> None:
    """A folder or file, and all below it, at another place too. Raises `Refused`."""
    mount(str(source), target, "", MS_BIND | MS_REC)
    if is_read_only:
        read_only(target)


def read_only(target: Path) -> None:
    """Nothing at or below a mount can be written from here on. Raises `Refused`."""
    attributes = struct.pack("QQQQ", _ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, -100, str(target).encode(), _AT_RECURSIVE, attributes, len(attributes)
    )
    _checked(result, f"make {target} read-only")


def enter(root: Path) -> None:
    """Make a mounted folder `/`; what was there before is out of reach. Raises `Refused`."""
    os.chdir(root)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _checked(_libc.syscall(number, b".", b"."), f"pivot_root to {root}")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount the old root")
    os.chdir("/")


def die_with_parent() -> None:
    """SIGKILL when the thread that forked this process ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def drop_privileges(user: int, group: int) -> None:
    """Be this user, without capabilities and with no way to get any. Raises `Refused`."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _checked(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
    if os.getuid() == 0:
        os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def spawn(flags: int, user: int, child: Callable[[], NoReturn]) -> int:
    """The pid of a process that runs `child` in new namespaces; a user namespace is one of them.

    `user` is who an ordinary user is inside. Raises `Refused`.
    """
    ready, told = os.pipe()
    go, given = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent()
            os.close(ready)
            os.close(given)
            _checked(_libc.unshare(flags | CLONE_NEWUSER), "unshare")
            os.write(told, b"1")
            os.close(told)
            os.read(go, 1)
            os.close(go)
            mount("", Path("/"), "", MS_REC | MS_PRIVATE)
            child()
        except (Refused, OSError) as error:
            os.write(2, f"rootfs: {error}\n".encode())
        finally:
            os._exit(_FAILED)
    os.close(told)
    os.close(go)
    is_ready = os.read(ready, 1) == b"1"
    os.close(ready)
    if not is_ready:
        os.waitpid(pid, 0)
        raise Refused("user namespaces are not allowed here (sysctl user.max_user_namespaces)")
    _map_users(pid, user)
    os.write(given, b"1")
    os.close(given)
    return pid


def _map_users(pid: int, user: int) -> None:
    about = Path(f"/proc/{pid}")
    if os.geteuid() == 0:
        for name in ("uid_map", "gid_map"):
            first, _outside, count = (Path("/proc/self") / name).read_text().split()[:3]
            (about / name).write_text(f"{first} {first} {count}\n")
        return
    (about / "setgroups").write_text("deny")
    (about / "uid_map").write_text(f"{user} {os.geteuid()} 1\n")
    (about / "gid_map").write_text(f"{user} {os.getegid()} 1\n")


def join(pid: int) -> None:
    """Go where a process is: its users, files and processes. Raises `Refused`."""
    # By its own files: a process that is no child of this one has no other handle in Python 3.11.
    opened = [
        os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in ("user", "pid", "ipc", "mnt")
    ]
    for descriptor in opened:
        _checked(_libc.setns(descriptor, 0), f"setns of {pid}")
        os.close(descriptor)
