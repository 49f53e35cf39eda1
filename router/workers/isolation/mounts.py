"""Beside the ladder: a private file view, so that what is not listed does not exist.

A mount namespace of its own with a small read-only tmpfs as root, the listed parts of the host
mounted into it, and the old root detached: nothing of it stays on the host, whatever happens to the
process. Root does it directly; other users by way of a user namespace where the host allows that.
"""

import os
import stat
import struct
from typing import Any

from . import files, libc

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE_CLONE = 1
_MOVE_FROM_FD = 4
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4  # MOUNT_ATTR_*

_STAGE = "/proc"
"""Where the new root is put together: the one folder that is always there. Every source is held by
a file descriptor by then, so covering it hides nothing that is still needed."""

_ROOT_OPTIONS = b"mode=755,size=256k,nr_inodes=1k"
"""Ample for mount points; a function cannot write here."""

_COVER_OPTIONS = b"mode=555,size=4k,nr_inodes=1"

_USER = "sbx_user1051"
"""The name Lambda gives the user a function runs as."""


class View:
    """What every environment's root holds besides the function's own folders.

    Made once in the zygote: it finds out which of the listed paths exist and what they link to.
    `prefixes` are the interpreter's folders.
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
        self._binds = [(source, target, os.path.isdir(source)) for source, target in binds]
        self._devices = [path for path in files.DEVICES if os.path.exists(path)]

    def enter(self, plan: dict[str, Any]) -> None:
        """Move this process into a root made for `plan`; its working directory becomes `/`.

        Needs CAP_SYS_ADMIN, or a single thread where user namespaces are allowed.
        """
        _leave_host(user_namespace=plan["user_namespace"])
        binds = self._binds + [
            (source, target, os.path.isdir(source)) for source, target in plan["binds"]
        ]
        trees = [_hold(source) for source, _, _ in binds]
        devices = [_hold(path) for path in self._devices]
        tmp = _hold(plan["tmp"])
        proc = -1 if plan["private_proc"] else _hold("/proc")
        libc.mount(b"tmpfs", os.fsencode(_STAGE), b"tmpfs", _MS_NOSUID | _MS_NODEV, _ROOT_OPTIONS)
        self._furnish(plan["uid"])
        for tree, (_, target, is_folder) in zip(trees, binds, strict=True):
            _make_place(_STAGE + target, folder=is_folder)
            _place(tree, target)
        for path in plan["cover"]:
            _cover(_STAGE + path)
        if proc == -1:
            options = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
            libc.mount(b"proc", b"/proc/proc", b"proc", options, b"hidepid=ptraceable")
        else:
            _place(proc, "/proc")
        _set(_AT_FDCWD, _STAGE, _READ_ONLY | _NO_SETUID | _NO_DEVICES, _AT_RECURSIVE)
        # What may be written, or is a device, joins after everything else was made neither.
        for tree, path in zip(devices, self._devices, strict=True):
            _place(tree, path)
        _set(tmp, "", _NO_SETUID | _NO_DEVICES, _AT_EMPTY_PATH | _AT_RECURSIVE)
        _place(tmp, "/tmp")  # noqa: S108
        _change_root()

    def _furnish(self, uid: int | None) -> None:
        """Make the places to mount on, the links, and users made up of this one alone."""
        for folder in ("/proc", "/tmp", "/dev", "/etc", "/opt", "/var", "/var/task"):  # noqa: S108
            os.mkdir(_STAGE + folder)
        os.mkdir(_STAGE + "/var/runtime")
        for path in self._devices:
            _write(path, "")
        for path, target in self._links:
            os.symlink(target, _STAGE + path)
        root = "root:x:0:0:root:/:/sbin/nologin\n"
        own = f"{_USER}:x:{uid}:{uid}::/tmp:/sbin/nologin\n" if uid else ""
        _write("/etc/passwd", root + own)
        _write("/etc/group", "root:x:0:\n" + (f"{_USER}:x:{uid}:\n" if uid else ""))


def _leave_host(*, user_namespace: bool) -> None:
    """Enter a mount namespace from which nothing spreads back to the host's."""
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
    libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, b"")


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


def _set(folder_fd: int, path: str, attributes: int, flags: int) -> None:
    wanted = struct.pack("=QQQQ", attributes, 0, 0, 0)
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


def _write(path: str, text: str) -> None:
    fd = os.open(_STAGE + path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def _change_root() -> None:
    """Make the stage the root. Both roots are stacked on one place, so the old one comes off."""
    os.chdir(_STAGE)
    libc.syscall("pivot_root", _PIVOT_ROOT[libc.MACHINE], b".", b".")
    libc.unmount(b".", _MNT_DETACH)
    os.chdir("/")
