"""Starts a router in conditions of a test's making, then becomes it.

    python launch.py CONDITIONS ROUTER ARGUMENTS...

`CONDITIONS` is JSON; each member is one condition, all of the kernel's own making:

    files       RLIMIT_NOFILE, soft and hard
    memory      RLIMIT_AS in bytes
    disk        {"folder", "bytes", "commands"}: a tmpfs in a mount namespace of the router's own.
                A process beside it obeys the pipe `commands`: `fill`, `free`
    syncs       a socket that is handed the right to answer the router's fsync and fdatasync
                (seccomp user notification): `faults.Syncs` holds the other end
    clock       a file of eight bytes: what is added to the wall clock, in milliseconds
"""

import ctypes
import json
import mmap
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
NUMBERS = {  # seccomp, fsync, fdatasync
    "x86_64": (317, 74, 75),
    "aarch64": (277, 82, 83),
}

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def own_disk(folder: str, size_bytes: int, commands: int) -> None:
    """A small disk that only the router, its children and the process that fills it see."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        checked(libc.unshare(CLONE_NEWNS))
    else:
        checked(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    Path(folder).mkdir(parents=True, exist_ok=True)
    options = f"size={size_bytes},mode=700".encode()
    checked(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, options))
    if os.fork() == 0:
        if os.fork() == 0:
            obey(Path(folder) / "filler", commands)
        os._exit(0)
    os.wait()
    os.close(commands)


def obey(path: Path, commands: int) -> None:
    """Fill what is left of the disk and free it again, until nobody can ask for it any more."""
    os.setsid()
    with os.fdopen(commands) as lines:
        for line in lines:
            if line.strip() == "free":
                path.unlink(missing_ok=True)
                continue
            with path.open("ab", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096) == 4096:
                        pass
                except OSError:
                    pass
    os._exit(0)


def hand_over_syncs(holder: int) -> None:
    """Have fsync and fdatasync answered by whoever holds the listener."""
    seccomp, fsync, fdatasync = NUMBERS[os.uname().machine]
    program = [
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 1, 0, fsync),
        (0x15, 0, 1, fdatasync),
        (0x06, 0, 0, SECCOMP_RET_USER_NOTIF),
        (0x06, 0, 0, SECCOMP_RET_ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    steps = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(steps))
    if os.getuid() != 0:
        checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    listener = checked(
        libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, filter_)
    )
    with socket.socket(fileno=holder) as channel:
        socket.send_fds(channel, [b"syncs"], [listener])
    os.close(listener)


def bend_clock(path: str) -> None:
    """Add the file's number to every wall clock the router reads."""
    with open(path, "rb") as file:
        shift = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + struct.unpack("q", shift[:8])[0] * 1_000_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def main() -> None:
    conditions = json.loads(sys.argv[1])
    command = sys.argv[2:]
    if (disk := conditions.get("disk")) is not None:
        own_disk(disk["folder"], disk["bytes"], disk["commands"])
    if (holder := conditions.get("syncs")) is not None:
        hand_over_syncs(holder)
    if (files := conditions.get("files")) is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if (size_bytes := conditions.get("memory")) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))
    if (clock := conditions.get("clock")) is not None:
        bend_clock(clock)
        sys.argv = command
        from router.cli import main as run

        run()
        return
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
