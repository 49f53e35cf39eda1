"""Beside the ladder: a private file view, so that what is not listed does not exist.

A mount namespace of its own with a small read-only tmpfs as root, the listed parts of the host
mounted into it, and the old root detached: nothing of it stays on the host, whatever happens to the
process. Root does it directly; other users by way of a user namespace where the host allows that.

`/proc` is a mount of its own that shows only processes the reader may trace: with Landlock that is
the function's own. In a user namespace the kernel allows only the host's `/proc` as it is; names
and command lines of other processes can be read there, their variables and memory cannot.

With it goes a namespace for System V memory, semaphores and messages: no other function finds
them, and the kernel frees them with the last process of the environment.
"""

import os
import stat
import struct
from typing import Any

from . import files, libc

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWIPC = 0x0002_0000, 0x1000_0000, 0x0800_0000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REC, _MS_PRIVATE, _MS_SLAVE = 1 << 14, 1 << 18, 1 << 19
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE_CLONE = 1
_MOVE_FROM_FD = 4
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4  # MOUNT_ATTR_*
_CLOSED = _READ_ONLY | _NO_SETUID | _NO_DEVICES
_TMP = "/tmp"  # noqa: S108 - of the new root

_STAGE = "/proc/driver"
"""Where roots are put together: a folder that is always there and that nobody needs below the
zygote. Only the zygote and its children see what is mounted on it."""

_ROOT_OPTIONS = b"mode=755,size=4m,nr_inodes=16k"
"""Ample for mount points and one line per user; functions cannot write here."""

_COVER_OPTIONS = b"mode=555,size=4k,nr_inodes=1"

_PLACES = ("/proc", "/dev", "/etc", "/tmp", "/opt", "/var", "/var/task", "/var/runtime")  # noqa: S108

_USER = "sbx_user1051"
"""The name Lambda gives the user a function runs as."""


class View:
    """The root that all environments of a zygote start from.

    Building it is most of the work and done once (`build`); a child copies the namespace, adds the
    folders of its function and moves in (`enter`). `prefixes` are the interpreter's folders.
    """

    def __init__(self, prefixes: list[str]) -> None:
        links = list(files.DEVICE_LINKS.items())
        folders = list(prefixes)
        for path in files.SYSTEM_FOLDERS:
            if os.path.islink(path):
                links.append((path, os.readlink(path)))
            elif os.path.isdir(path):
                folders.append(path)
        binds = [(path, path) for path in files.outermost(folders)]
        single = files.outermost(list(files.SYSTEM_FILES))
        binds += [(os.path.realpath(path), path) for path in single]
        self._links = links
        self._binds = binds
        self._devices = [path for path in files.DEVICES if os.path.exists(path)]

    def build(self, *, user_namespace: bool, private_proc: bool) -> None:
        """In the zygote: leave the host's mount namespace and put the shared root together.

        The zygote itself stays in the old root, where it finds the functions' folders. Needs
        CAP_SYS_ADMIN, or a single thread where user namespaces are allowed.
        """
        _leave_host(user_namespace=user_namespace)
        libc.mount(b"tmpfs", os.fsencode(_STAGE), b"tmpfs", _MS_NOSUID | _MS_NODEV, _ROOT_OPTIONS)
        for folder in _PLACES:
            os.mkdir(_STAGE + folder)
        for path, target in self._links:
            os.symlink(target, _STAGE + path)
        for name, text in (("passwd", "root:x:0:0:root:/:/sbin/nologin"), ("group", "root:x:0:")):
            _append(f"{_STAGE}/etc/{name}", text)
        for path in self._devices:
            _make_place(_STAGE + path, folder=False)
        for source, target in self._binds:
            _make_place(_STAGE + target, folder=os.path.isdir(source))
            _place(_hold(source), target)
        if private_proc:
            options = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
            where = os.fsencode(_STAGE + "/proc")
            libc.mount(b"proc", where, b"proc", options, b"hidepid=ptraceable")
        else:
            _place(_hold("/proc"), "/proc")
        _set(_AT_FDCWD, _STAGE, _CLOSED, _AT_RECURSIVE)
        for path in self._devices:  # after everything else was made unable to hold devices
            _place(_hold(path), path)

    def enter(self, plan: dict[str, Any]) -> None:
        """In a child: add what `plan` names and move in; the working directory becomes `/`."""
        has_own_memory = "ipc" in plan["mechanisms"]
        libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC * has_own_memory)
        binds = [(_hold(source), source, target) for source, target in plan["binds"]]
        writable = [(_hold(source), target) for source, target in plan["writable"]]
        tmp = _hold(plan["tmp"])
        _make_places(plan)
        _set(tmp, "", _NO_SETUID | _NO_DEVICES, _AT_EMPTY_PATH | _AT_RECURSIVE)
        _place(tmp, _TMP)
        for tree, _, target in binds:
            _set(tree, "", _CLOSED, _AT_EMPTY_PATH | _AT_RECURSIVE)
            _place(tree, target)
        for tree, target in writable:
            _set(tree, "", _NO_SETUID | _NO_DEVICES, _AT_EMPTY_PATH | _AT_RECURSIVE)
            _place(tree, target)
        for path in plan["cover"]:
            _cover(_STAGE + path)
        _change_root()


def _make_places(plan: dict[str, Any]) -> None:
    """Make what the shared root lacks for this function: seldom more than once.

    Places below `/tmp` are made in the environment's own folder, which will lie over it.
    """
    missing = []
    for source, target in (*plan["binds"], *plan["writable"]):
        below_tmp = target.startswith(_TMP + "/")
        place = plan["tmp"] + target.removeprefix(_TMP) if below_tmp else _STAGE + target
        if not os.path.exists(place):
            missing.append((place, os.path.isdir(source)))
    uid = plan["uid"]
    is_stranger = uid is not None and not _has_user(uid)
    if not missing and not is_stranger:
        return
    _set(_AT_FDCWD, _STAGE, 0, 0, clear=_READ_ONLY)
    for place, is_folder in missing:
        _make_place(place, folder=is_folder)
    if is_stranger:
        _append(f"{_STAGE}/etc/passwd", f"{_USER}:x:{uid}:{uid}::{_TMP}:/sbin/nologin")
        _append(f"{_STAGE}/etc/group", f"{_USER}:x:{uid}:")
    _set(_AT_FDCWD, _STAGE, _READ_ONLY, 0)


def _has_user(uid: int) -> bool:
    with open(f"{_STAGE}/etc/passwd", "rb", buffering=0) as file:
        return f":{uid}:".encode() in file.readall()


def _leave_host(*, user_namespace: bool) -> None:
    """Enter a mount namespace that hears of the host's mounts and tells it nothing."""
    if user_namespace:
        uid, gid = os.getuid(), os.getgid()
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(text.encode())
    else:
        libc.unshare(_CLONE_NEWNS)
    libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, b"")


def _hold(path: str) -> int:
    """A detached copy of the mount (with those below it) that shows `path`, as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    return libc.syscall(f"open_tree {path}", _OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)


def _place(tree: int, target: str) -> None:
    """Attach a held tree inside the new root, and let go of the descriptor."""
    where = os.fsencode(_STAGE + target)
    arguments = (tree, b"", _AT_FDCWD, where, _MOVE_FROM_FD)
    libc.syscall(f"move_mount {target}", _MOVE_MOUNT, *arguments)
    os.close(tree)


def _set(folder_fd: int, path: str, attributes: int, flags: int, *, clear: int = 0) -> None:
    """Change what a mount allows and cut it off from the mounts it was copied from."""
    wanted = struct.pack("=QQQQ", attributes, clear, _MS_PRIVATE, 0)
    arguments = (folder_fd, os.fsencode(path), flags, wanted, len(wanted))
    libc.syscall("mount_setattr", _MOUNT_SETATTR, *arguments)


def _make_place(path: str, *, folder: bool) -> None:
    """Make `path` to mount on, and what is missing above it."""
    try:
        if folder:
            os.mkdir(path)
        else:
            os.mknod(path, stat.S_IFREG | 0o444)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_place(os.path.dirname(path), folder=True)
        _make_place(path, folder=folder)


def _cover(path: str) -> None:
    """Put an empty folder over one that must not be seen, if it is in view at all."""
    if os.path.isdir(path):
        options = _MS_NOSUID | _MS_NODEV | _MS_RDONLY
        libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", options, _COVER_OPTIONS)


def _append(path: str, line: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)


def _change_root() -> None:
    """Make the stage the root. Both roots are stacked on one place, so the old one comes off."""
    os.chdir(_STAGE)
    libc.syscall("pivot_root", _PIVOT_ROOT[libc.MACHINE], b".", b".")
    libc.unmount(b".", _MNT_DETACH)
    os.chdir("/")
