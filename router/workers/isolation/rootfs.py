"""An unpacked container image as root: the image's files and, over them, what is the host's.

A function of an image sees that image, read-only, with its own `/tmp`, the devices, `/proc` and the
few files that say how this host reaches others. Nothing of the host's programs is in view, and the
image's folder stays as it is: where the image has no place for one of ours, the folder above it is
put together anew from what lies in it, on a small file system in memory.
"""

import os
import stat
from typing import Any

from . import trees

_HOSTS = "/etc/hosts"
_SHARED = ("/proc", "/dev", "/sys", "/etc/resolv.conf", _HOSTS)
"""Taken from the root that all environments share (`mounts.View`), as far as it has them."""

_TMP = "/tmp"  # noqa: S108 - of the new root


def enter(plan: dict[str, Any]) -> None:
    """In a child of the zygote: make `plan`'s image the root; the working directory becomes `/`."""
    trees.step_aside(plan)
    ours = {_TMP: trees.hold(plan["tmp"])}
    ours |= {target: trees.hold(source) for source, target in plan["writable"]}
    for tree in ours.values():
        trees.open_for_writing(tree)
    shared = {path: trees.STAGE + path for path in _SHARED if os.path.exists(trees.STAGE + path)}
    if plan["hosts"]:
        shared[_HOSTS] = plan["hosts"]
    are_folders = {path: os.path.isdir(source) for path, source in shared.items()}
    are_folders |= dict.fromkeys(ours, True)
    ours |= {path: trees.hold(source) for path, source in shared.items()}
    if plan["hosts"]:
        trees.close(ours[_HOSTS])
    root = plan["root"]
    missing = [path for path in ours if not _has(root, path, folder=are_folders[path])]
    if missing:
        trees.new_stage()
        _lay(root, "", missing)
        for path in missing:
            trees.make_place(trees.STAGE + path, folder=are_folders[path])
        trees.change(trees.AT_FDCWD, trees.STAGE, trees.CLOSED, 0)
    else:
        _show(root, "")
    for path, tree in ours.items():
        trees.place(tree, path)
    for path in plan["cover"]:
        trees.cover(trees.STAGE + path)
    trees.move_in()


def _has(root: str, path: str, *, folder: bool) -> bool:
    """Whether the image has a place to mount on; what a link leads to is none."""
    place = root
    for name in path.split("/")[1:]:
        place = f"{place}/{name}"
        try:
            mode = os.lstat(place).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISLNK(mode):
            return False
    return stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)


def _lay(source: str, target: str, missing: list[str]) -> None:
    """Show what is in a folder of the image, one by one, but where `missing` will be."""
    with os.scandir(source) as entries:
        for entry in entries:
            path = f"{target}/{entry.name}"
            inner = [place for place in missing if f"{place}/".startswith(f"{path}/")]
            is_folder = entry.is_dir(follow_symlinks=False)
            if inner:
                if is_folder and path not in inner:
                    os.mkdir(trees.STAGE + path)
                    _lay(entry.path, path, inner)
            elif entry.is_symlink():
                os.symlink(os.readlink(entry.path), trees.STAGE + path)
            elif is_folder or entry.is_file(follow_symlinks=False):
                trees.make_place(trees.STAGE + path, folder=is_folder)
                _show(entry.path, path)


def _show(source: str, target: str) -> None:
    """Place a part of the image, to be read alone."""
    tree = trees.hold(source)
    trees.close(tree)
    trees.place(tree, target)
