"""What private file views are built of: mounts held, placed, closed and covered.

Everything is put together on `STAGE`, which only the zygote and its children see; `move_in` makes
it the root.
"""

import os
import stat
import struct
from typing import Any

from . import libc

STAGE = "/proc/driver"
"""Where roots are put together: a folder that is always there and that nobody needs below the
zygote. Only the zygote and its children see what is mounted on it."""

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REC, MS_SLAVE = 1 << 14, 1 << 19
READ_ONLY, NO_SETUID, NO_DEVICES = 1, 2, 4  # MOUNT_ATTR_*
CLOSED = READ_ONLY | NO_SETUID | NO_DEVICES
CLONE_NEWNS = 0x0002_0000
_CLONE_NEWIPC = 0x0800_0000

ROOT_OPTIONS = b"mode=755,size=4m,nr_inodes=16k"
"""Ample for mount points and one line per user; functions cannot write here."""

_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE_CLONE = 1
_MOVE_FROM_FD = 4
_COVER_OPTIONS = b"mode=555,size=4k,nr_inodes=1"


def hold(path: str) -> int:
    """A detached copy of the mount (with those below it) that shows `path`, as a descriptor."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_RECURSIVE
    return libc.syscall(f"open_tree {path}", _OPEN_TREE, AT_FDCWD, os.fsencode(path), flags)


def place(tree: int, target: str) -> None:
    """Attach a held tree inside the new root, and let go of the descriptor."""
    attach(tree, STAGE + target)


def attach(tree: int, path: str) -> None:
    """Attach a held tree anywhere, and let go of the descriptor."""
    where = os.fsencode(path)
    arguments = (tree, b"", AT_FDCWD, where, _MOVE_FROM_FD)
    libc.syscall(f"move_mount {path}", _MOVE_MOUNT, *arguments)
    os.close(tree)


def change(folder_fd: int, path: str, attributes: int, flags: int, *, clear: int = 0) -> None:
    """Change what a mount allows and cut it off from the mounts it was copied from."""
    wanted = struct.pack("=QQQQ", attributes, clear, _MS_PRIVATE, 0)
    arguments = (folder_fd, os.fsencode(path), flags, wanted, len(wanted))
    libc.syscall("mount_setattr", _MOUNT_SETATTR, *arguments)


def close(tree: int) -> None:
    """Make a held tree one that can be read and nothing else."""
    change(tree, "", CLOSED, AT_EMPTY_PATH | AT_RECURSIVE)


def open_for_writing(tree: int) -> None:
    """Make a held tree one that can be written to, without privileges or devices."""
    change(tree, "", NO_SETUID | NO_DEVICES, AT_EMPTY_PATH | AT_RECURSIVE)


def step_aside(plan: dict[str, Any]) -> None:
    """In a child: mounts of its own, and System V memory where there is such a namespace."""
    libc.unshare(CLONE_NEWNS | _CLONE_NEWIPC * ("ipc" in plan["mechanisms"]))


def new_stage() -> None:
    """Begin an empty root, over what is on the stage."""
    libc.mount(b"tmpfs", os.fsencode(STAGE), b"tmpfs", MS_NOSUID | MS_NODEV, ROOT_OPTIONS)


def make_place(path: str, *, folder: bool) -> None:
    """Make `path` to mount on, and what is missing above it."""
    try:
        if folder:
            os.mkdir(path)
        else:
            os.mknod(path, stat.S_IFREG | 0o444)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_place(os.path.dirname(path), folder=True)
        make_place(path, folder=folder)


def cover(path: str) -> None:
    """Put an empty folder over one that must not be seen, if it is in view at all."""
    if os.path.isdir(path):
        options = MS_NOSUID | MS_NODEV | MS_RDONLY
        libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", options, _COVER_OPTIONS)


def move_in() -> None:
    """Make the stage the root. Both roots are stacked on one place, so the old one comes off."""
    os.chdir(STAGE)
    libc.syscall("pivot_root", _PIVOT_ROOT[libc.MACHINE], b".", b".")
    libc.unmount(b".", _MNT_DETACH)
    os.chdir("/")
