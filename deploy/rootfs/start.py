"""Starts what `build` made, as an engine starts a container with `--read-only --cap-drop ALL`.

The process is the first of its namespace, so it also has to do what process 1 does. It may not make
user namespaces, as in a container with an engine's default profile. Its network is this machine's.
"""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from deploy.rootfs import namespaces
from deploy.rootfs.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    bind,
    mount,
)

DEVICES: Final = ("full", "null", "random", "urandom", "zero")
SHARED: Final = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
"""What an engine writes for each container."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def start(
    folder: Path,
    data: Path,
    etc: Path,
    environment: Mapping[str, str],
    command: Sequence[str],
) -> int:
    """Run it to its end; its status. `command` instead of the image's own, when there is one.

    Signals are passed on. Raises `Refused`.
    """
    folder, data, etc = folder.absolute(), data.absolute(), etc.absolute()
    config = read_config(folder)
    user, group = user_of(config)
    if os.geteuid() == 0:
        os.chown(data, user, group)
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS

    def child() -> NoReturn:
        _mounts(folder / "rootfs", data, etc)
        _become(config, environment, command)

    def first() -> NoReturn:
        """The namespace of processes is the children's of the one who made it."""
        pid = os.fork()
        if pid == 0:
            namespaces.die_with_parent()
            child()
        _pass_signals_to(pid)
        os._exit(_status(pid))

    pid = namespaces.spawn(flags, user, first)
    _pass_signals_to(pid)
    return _status(pid)


def execute(folder: Path, pid: int, command: Sequence[str]) -> int:
    """Run one more command beside the process `pid` of a started one; its status.

    Raises `Refused`.
    """
    config = read_config(folder.absolute())
    outside = os.fork()
    if outside == 0:
        namespaces.join(pid)
        inside = os.fork()
        if inside == 0:
            _become(config, {}, command, entry=[])
        os._exit(_status(inside))
    return _status(outside)


def read_config(folder: Path) -> dict[str, Any]:
    """The image's configuration."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())["config"]
    return config


def user_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """User and group it runs as."""
    user, _, group = config["User"].partition(":")
    return int(user), int(group)


def _mounts(root: Path, data: Path, etc: Path) -> None:
    """In the child: the root with everything an engine puts into it, read-only."""
    bind(root, root, is_read_only=True)
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", root / "proc", "proc", quiet)
    # Before it becomes read-only, as engines have it: nobody below makes a user namespace.
    (root / "proc/sys/user/max_user_namespaces").write_text("0")
    bind(root / "proc/sys", root / "proc/sys", is_read_only=True)
    bind(Path("/sys"), root / "sys", is_read_only=True)
    _devices(root / "dev")
    mount("tmp", root / "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    bind(data, root / "var/lib/router")
    bind(etc, root / "etc/router", is_read_only=True)
    for name in SHARED:
        if (Path("/") / name).exists():
            bind(Path("/") / name, root / name, is_read_only=True)
    namespaces.enter(root)


def _devices(place: Path) -> None:
    mount("dev", place, "tmpfs", MS_NOSUID, "mode=755")
    for name in DEVICES:
        (place / name).touch()
        bind(Path("/dev") / name, place / name)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        (place / name).symlink_to(f"/proc/self/fd/{number}")
    (place / "fd").symlink_to("/proc/self/fd")
    (place / "shm").mkdir()
    mount("shm", place / "shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777")


def _become(
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    command: Sequence[str],
    entry: Sequence[str] | None = None,
) -> NoReturn:
    """In the child: the image's user and its program."""
    variables = dict(pair.split("=", 1) for pair in config["Env"]) | dict(environment)
    words = [*(config["Entrypoint"] if entry is None else entry), *(command or config["Cmd"])]
    os.chdir(config["WorkingDir"])
    os.umask(0o022)
    namespaces.drop_privileges(*user_of(config))
    namespaces.die_with_parent()  # forgotten when the user changed
    for folder in variables["PATH"].split(":"):
        program = f"{folder}/{words[0]}"
        if os.access(program, os.X_OK):
            os.execve(program, words, variables)  # noqa: S606 - as the image says
    raise namespaces.Refused(f"{words[0]} is not in {variables['PATH']}")


def _pass_signals_to(pid: int) -> None:
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: os.kill(pid, number))


def _status(pid: int) -> int:
    """Wait for a child; as a shell tells it."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status
