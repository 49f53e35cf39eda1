"""Entering a rung: everything a forked child does to itself before a function's code runs.

The zygote calls `prepare` once and each of its children `enter`, with plans made by `plan.py`. What
the plan names is done or `enter` raises; it never goes on with less. Nothing is imported or built
after the fork: the child may no longer be able to.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import cgroup, files, landlock, mounts, plain, rootfs, seccomp, uid


class IsolationFailed(Exception):
    """A step of the plan did not work; the process must end without running the function."""


class _Prepared:
    """What the zygote made ready for its children."""

    def __init__(self, host: dict[str, Any]) -> None:
        self.zygote_pid = os.getpid()
        self.landlock_abi = landlock.abi()
        self.filters = {is_open: seccomp.Filter(network_open=is_open) for is_open in (True, False)}
        prefixes = [*host["prefixes"], sys.base_prefix, sys.base_exec_prefix]
        self.view = mounts.View(prefixes)
        if host["mounts"]:
            self.view.build(
                user_namespace=host["user_namespace"], private_proc=host["private_proc"]
            )
        self.stdlib_file = os.__file__
        paths = [*files.SYSTEM_FOLDERS, *prefixes, *files.SYSTEM_FILES, *files.USER_FILES]
        self.host_grants = [
            *((path, _read_rights(path)) for path in files.outermost(paths)),
            *((path, landlock.DEVICE) for path in files.DEVICES if os.path.exists(path)),
            ("/proc", landlock.READ),
        ]


_prepared: _Prepared | None = None


def prepare(host: dict[str, Any]) -> None:
    """Make ready what all children share. Once, in the zygote, before its first fork.

    `host` is `Planner.host()`. The calling process is the one its children will die with; for a
    private file view it moves to a mount namespace of its own, which looks like the host's.
    Raises `IsolationFailed`.
    """
    global _prepared  # noqa: PLW0603 - one zygote, one preparation, read by its forks
    try:
        _prepared = _Prepared(host)
    except OSError as error:
        raise IsolationFailed(f"isolation cannot be prepared: {error}") from error


def enter(plan: dict[str, Any], keep_fds: Iterable[int] = (0, 1, 2)) -> None:
    """Lock this process in as `plan` (`Planner.environment()`) says, for good.

    To be called in a fresh fork of the zygote, single-threaded, before anything of the function.
    Closes every file descriptor but `keep_fds`. Raises `IsolationFailed`, with a text for people.
    """
    ready = _prepared
    if ready is None:
        raise IsolationFailed("enter() was called before prepare()")
    step = ""
    try:
        for step, act in _steps(plan, ready, keep_fds):  # noqa: B007 - named when it fails
            act()
    except (OSError, ValueError) as error:
        raise IsolationFailed(f"isolation step '{step}' failed: {error}") from error


_Step = tuple[str, Callable[[], object]]


def _steps(plan: dict[str, Any], ready: _Prepared, keep_fds: Iterable[int]) -> Iterator[_Step]:
    """What to do, in the only order that works.

    Groups while their files are in reach; the file view while there are capabilities; Landlock's
    paths in the new view but before the user changes; the death signal after that change, which
    clears it; seccomp when nothing it denies is needed any more.
    """
    mechanisms = frozenset(plan["mechanisms"])
    user: int | None = plan["uid"] if "uid" in mechanisms else None
    yield "close file descriptors", lambda: plain.close_files(keep_fds)
    yield "new session", plain.own_session
    yield "scheduling", plain.give_way
    if "plain" not in mechanisms:  # housekeeping alone: to be ended with its group or its parent
        yield "die with the parent", lambda: plain.die_with(ready.zygote_pid)
        return
    yield "limits", lambda: plain.limit(plan["file_bytes_max"], processes=user is not None)
    if "cgroup" in mechanisms:
        yield "join control groups", lambda: cgroup.join(plan["cgroup"])
    if user is not None:
        yield "own /tmp", lambda: uid.own(plan["tmp"], user)
    yield "own /proc entry", plain.be_inspectable
    if "mounts" in mechanisms:
        view = rootfs.enter if plan["root"] else ready.view.enter
        yield "private file view", lambda: view(plan)
    rules: list[int] = []
    if "landlock" in mechanisms:
        yield "Landlock rules", lambda: rules.append(_ruleset(plan, ready))
    if user is not None:
        yield "change user", lambda: uid.become(user)
        yield "own /proc entry again", plain.be_inspectable
    yield "drop privileges", plain.forgo_privileges
    if rules:
        yield "Landlock", lambda: landlock.restrict(rules[0])
    yield "read own files", lambda: _check_files(plan, ready.stdlib_file)
    yield "write to file systems", lambda: _check_file_systems(plan)
    yield "die with the parent", lambda: plain.die_with(ready.zygote_pid)
    if "seccomp" in mechanisms:
        yield "seccomp", ready.filters[plan["ports"] is None].install


def _ruleset(plan: dict[str, Any], ready: _Prepared) -> int:
    return landlock.ruleset(_grants(plan, ready), plan["ports"], ready.landlock_abi)


def _grants(plan: dict[str, Any], ready: _Prepared) -> list[tuple[str, int]]:
    """Paths and rights for Landlock; in a private view everything but `/tmp` can only be read."""
    paths: dict[str, str] = plan["paths"]
    own = [(path, landlock.CHANGE) for path in (paths["tmp"], *_file_systems(plan))]
    if "mounts" in plan["mechanisms"]:
        return [("/", landlock.READ), ("/dev", landlock.DEVICE), *own]
    readable = [paths["task"], paths["opt"], paths["runtime"], *plan["read_only"]]
    given = [(path, _read_rights(path)) for path in readable if path]
    return [*ready.host_grants, *given, *own]


def _file_systems(plan: dict[str, Any]) -> list[str]:
    """Where the function sees the folders it shares with others."""
    return [target for _, target in plan["writable"]]


def _read_rights(path: str) -> int:
    rights = landlock.READ
    return rights if os.path.isdir(path) else landlock.file_rights(rights)


def _check_files(plan: dict[str, Any], stdlib_file: str) -> None:
    """Find out now, not in the handler, that the user or the rules keep a needed file away."""
    paths = plan["paths"]
    if root := plan["root"]:
        _check_image(root)
    for path in () if root else (stdlib_file, paths["task"]):
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    if not os.access(paths["tmp"], os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to {paths['tmp']}")


def _check_image(root: str) -> None:
    if not os.access("/", os.R_OK | os.X_OK):
        raise PermissionError(
            f"user {os.getuid()} cannot read the image's folder {root}: chmod o+rx {root}"
        )


def _check_file_systems(plan: dict[str, Any]) -> None:
    """Say what an operator has to do before a function fails in the middle of its work."""
    for source, target in plan["writable"]:
        if not os.access(target, os.R_OK | os.W_OK | os.X_OK):
            user = os.getuid()
            raise PermissionError(
                f"user {user} cannot write to {source}, its {target}: "
                f"chown {user} {source}, or chmod o+rwx {source}"
            )
