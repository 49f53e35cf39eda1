"""Control groups, version 1 and 2: where this process may make groups of its own, and joining one.

Two controllers matter: `memory` (over the limit the kernel kills, as Lambda does) and `pids`. A
group is only looked for below the group this process is in; nothing is changed outside of it.
"""

import os
from collections.abc import Iterable

CONTROLLERS = ("memory", "pids")
BASE_PREFIX = "event-router-"
_ROUTER_LEAF = "event-router"


class Unavailable(Exception):
    """No groups can be made here; the text says why."""


def find(own: str, mountinfo: str) -> dict[str, str]:
    """Which folder to make groups in, for each controller.

    `own` and `mountinfo` are the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`. With
    version 2 both controllers name the same folder. Raises `Unavailable`.
    """
    groups: dict[str, str] = {}
    unified = ""
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        if not names:  # a router before this one may have stepped into its leaf
            unified = path.removesuffix(f"/{_ROUTER_LEAF}")
        for name in names.split(","):
            groups[name] = path
    roots: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        kind, _, options = right.split(" ", 2)
        root, folder = fields[3], fields[4]
        if kind == "cgroup":
            for name in CONTROLLERS:
                if name in options.split(",") and name in groups:
                    roots[name] = _below(folder, root, groups[name])
        elif kind == "cgroup2":
            unified_folder = _below(folder, root, unified)
            for name in _words(f"{unified_folder}/cgroup.controllers"):
                if name in CONTROLLERS:
                    roots.setdefault(name, unified_folder)
    missing = [name for name in CONTROLLERS if name not in roots]
    if missing:
        raise Unavailable(f"no control group for {' and '.join(missing)}")
    return roots


def find_here() -> dict[str, str]:
    """`find` for this process."""
    with open("/proc/self/cgroup") as own, open("/proc/self/mountinfo") as mounts:
        return find(own.read(), mounts.read())


def is_unified(folder: str) -> bool:
    """Whether `folder` belongs to a version 2 hierarchy."""
    return os.path.exists(f"{folder}/cgroup.controllers")


def make_base(roots: dict[str, str], name: str, family: Iterable[int] = ()) -> dict[str, str]:
    """Make the group `name` that will hold one group per environment. Raises `Unavailable`.

    Version 2 allows processes only in leaves: the router steps into one of its own first, unless it
    shares its group with processes that are none of its business. `family` are processes that
    step aside with this one: the router, for a probe it started.
    """
    bases: dict[str, str] = {}
    try:
        for controller, folder in roots.items():
            if is_unified(folder):
                _hand_down(folder, {os.getpid(), *family})
            base = f"{folder}/{name}"
            os.makedirs(base, exist_ok=True)
            if is_unified(base):
                _write(f"{base}/cgroup.subtree_control", " ".join(f"+{c}" for c in CONTROLLERS))
            bases[controller] = base
    except OSError as error:
        raise Unavailable(f"cannot make a group: {error}") from error
    return bases


def limit(bases: dict[str, str], name: str, memory_bytes: int, pids_max: int) -> tuple[str, ...]:
    """Make the group `name` with limits; returns the files a process joins it through."""
    joins = []
    for controller, base in bases.items():
        folder = f"{base}/{name}"
        os.makedirs(folder, exist_ok=True)
        unified = is_unified(folder)
        if controller == "pids":
            _write(f"{folder}/pids.max", str(pids_max))
        elif unified:
            _write(f"{folder}/memory.max", str(memory_bytes))
            _write_if_there(f"{folder}/memory.swap.max", "0")
            _write_if_there(f"{folder}/memory.oom.group", "1")
        else:
            _write(f"{folder}/memory.limit_in_bytes", str(memory_bytes))
            _write_if_there(f"{folder}/memory.memsw.limit_in_bytes", str(memory_bytes))
        joins.append(f"{folder}/cgroup.procs")
    return tuple(dict.fromkeys(joins))


def join(files: Iterable[str]) -> None:
    """Move this process into the groups behind `files` (from `limit`)."""
    for path in files:
        _write(path, "0")


def processes(folder: str) -> list[int]:
    """Process ids in a group, without groups below it; empty when it is gone."""
    return [int(word) for word in _words(f"{folder}/cgroup.procs")]


def _below(folder: str, root: str, group: str) -> str:
    """The folder of `group` in a hierarchy mounted at `folder` from its group `root`."""
    inside = group.removeprefix(root.rstrip("/")) if group.startswith(root) else group
    return (folder + "/" + inside.strip("/")).rstrip("/")


def _hand_down(folder: str, ours: set[int]) -> None:
    """Let groups below `folder` have the controllers; `ours` may be moved out of the way."""
    if set(CONTROLLERS) <= set(_words(f"{folder}/cgroup.subtree_control")):
        return
    inside = processes(folder)
    if inside and os.path.exists(f"{folder}/cgroup.type"):  # not the root group, which is exempt
        if set(inside) - ours:
            raise OSError(f"{folder} also holds processes of others")
        leaf = f"{folder}/{_ROUTER_LEAF}"
        os.makedirs(leaf, exist_ok=True)
        for pid in inside:
            _write(f"{leaf}/cgroup.procs", str(pid))
    _write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))


def _words(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []


def _write(path: str, text: str) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(text.encode())


def _write_if_there(path: str, text: str) -> None:
    if os.path.exists(path):
        _write(path, text)
