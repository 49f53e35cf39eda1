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
from typing import Any

from . import files, libc, trees

_CLONE_NEWUSER = 0x1000_0000
_TMP = "/tmp"  # noqa: S108 - of the new root

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
        trees.new_stage()
        for folder in _PLACES:
            os.mkdir(trees.STAGE + folder)
        for path, target in self._links:
            os.symlink(target, trees.STAGE + path)
        for name, text in (("passwd", "root:x:0:0:root:/:/sbin/nologin"), ("group", "root:x:0:")):
            _append(f"{trees.STAGE}/etc/{name}", text)
        for path in self._devices:
            trees.make_place(trees.STAGE + path, folder=False)
        for source, target in self._binds:
            trees.make_place(trees.STAGE + target, folder=os.path.isdir(source))
            trees.place(trees.hold(source), target)
        if private_proc:
            options = trees.MS_NOSUID | trees.MS_NODEV | trees.MS_NOEXEC
            where = os.fsencode(trees.STAGE + "/proc")
            libc.mount(b"proc", where, b"proc", options, b"hidepid=ptraceable")
        else:
            trees.place(trees.hold("/proc"), "/proc")
        trees.change(trees.AT_FDCWD, trees.STAGE, trees.CLOSED, trees.AT_RECURSIVE)
        for path in self._devices:  # after everything else was made unable to hold devices
            trees.place(trees.hold(path), path)

    def enter(self, plan: dict[str, Any]) -> None:
        """In a child: add what `plan` names and move in; the working directory becomes `/`."""
        trees.step_aside(plan)
        binds = [(trees.hold(source), source, target) for source, target in plan["binds"]]
        writable = [(trees.hold(source), target) for source, target in plan["writable"]]
        tmp = trees.hold(plan["tmp"])
        _make_places(plan)
        trees.open_for_writing(tmp)
        trees.place(tmp, _TMP)
        for tree, _, target in binds:
            trees.close(tree)
            trees.place(tree, target)
        for tree, target in writable:
            trees.open_for_writing(tree)
            trees.place(tree, target)
        for path in plan["cover"]:
            trees.cover(trees.STAGE + path)
        trees.move_in()


def _make_places(plan: dict[str, Any]) -> None:
    """Make what the shared root lacks for this function: seldom more than once.

    Places below `/tmp` are made in the environment's own folder, which will lie over it.
    """
    missing = []
    for source, target in (*plan["binds"], *plan["writable"]):
        below_tmp = target.startswith(_TMP + "/")
        place = plan["tmp"] + target.removeprefix(_TMP) if below_tmp else trees.STAGE + target
        if not os.path.exists(place):
            missing.append((place, os.path.isdir(source)))
    uid = plan["uid"]
    is_stranger = uid is not None and not _has_user(uid)
    if not missing and not is_stranger:
        return
    trees.change(trees.AT_FDCWD, trees.STAGE, 0, 0, clear=trees.READ_ONLY)
    for place, is_folder in missing:
        trees.make_place(place, folder=is_folder)
    if is_stranger:
        _append(f"{trees.STAGE}/etc/passwd", f"{_USER}:x:{uid}:{uid}::{_TMP}:/sbin/nologin")
        _append(f"{trees.STAGE}/etc/group", f"{_USER}:x:{uid}:")
    trees.change(trees.AT_FDCWD, trees.STAGE, trees.READ_ONLY, 0)


def _has_user(uid: int) -> bool:
    with open(f"{trees.STAGE}/etc/passwd", "rb", buffering=0) as file:
        return f":{uid}:".encode() in file.readall()


def _leave_host(*, user_namespace: bool) -> None:
    """Enter a mount namespace that hears of the host's mounts and tells it nothing."""
    if user_namespace:
        uid, gid = os.getuid(), os.getgid()
        libc.unshare(_CLONE_NEWUSER | trees.CLONE_NEWNS)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(text.encode())
    else:
        libc.unshare(trees.CLONE_NEWNS)
    libc.mount(None, b"/", None, trees.MS_REC | trees.MS_SLAVE, b"")


def _append(path: str, line: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)
