"""The zygote: a clean interpreter that forks environments, reaps them and says how they ended.

Started by exec with an empty environment (`python -I -S zygote.py FD`), so it never held a secret.
Single-threaded, standard library only. Messages are JSON, one per packet of the control socket:

    router → zygote   prepare {isolation, folder, runtime, preload}
                      spawn {id, start, plan, fresh, wrapper, commands, folder, extensions}
                            with descriptors: frames, output, output of extensions if there are any
                      kill {pid, signal}
    zygote → router   ready {preloaded}, spawned {id, pid}, refused {id, text}, exited {pid, status}

It ends, with everything it forked, when the router closes the socket or dies.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import time
import types
from typing import Any, NoReturn

MESSAGE_BYTES_MAX = 192 * 1024
"""A spawn message carries 4 KiB of variables and an isolation plan."""

FRAMES_FD_MIN = 512
"""The frame socket is moved up here, out of reach of a handler that closes low descriptors."""

PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that an interpreter ignores and other programs count on."""

PR_SET_CHILD_SUBREAPER = 36
SWEEP_S_MAX = 10.0
"""How long the zygote keeps killing what goes on forking."""

MANY_ORPHANS = 50
"""From so many on the zygote takes the highest priority it can get: they take its time."""

PRELOADED = (
    *("base64", "collections", "copy", "datetime", "decimal", "functools", "hashlib", "hmac"),
    *("itertools", "math", "operator", "random", "re", "string", "time", "typing", "uuid"),
)
"""Parts of the standard library that handlers import most, shared by all environments.

Not more: each module makes every fork slower and dirties pages of its own.
"""

Message = dict[str, Any]


def load_package(name: str, folder: str) -> None:
    """Make the modules in `folder` importable as `name.module`, without running its `__init__`."""
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


class Zygote:
    """State: the control socket and the environments that live."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._environments: set[int] = set()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._ladder: Any = None
        self._bootstrap: Any = None
        self._spare: Any = None
        self._api_client: Any = None
        self._supervisor: Any = None
        self._runtime = ""

    def run(self) -> None:
        """Serve until the router is gone."""
        self._become_subreaper()
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(wake_read, select.POLLIN)
        is_open = True
        while is_open:
            ready = [fd for fd, _ in poller.poll()]
            if wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
                self._reap()
            if self._control.fileno() in ready:
                is_open = self._receive()
        for pid in self._environments:
            self._kill(pid)
        if self._spare is not None:
            self._spare.dismiss()
        # What handlers started becomes a child of ours only when its environment is gone.
        while self._environments:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._environments.pop(), 0)
        self._sweep()

    def _receive(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, 4)
        except OSError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if message["op"] == "spawn":
            self._spawn(message, data, fds)
        elif message["op"] == "kill" and message["pid"] in self._environments:
            if message["signal"] == signal.SIGKILL:
                self._kill(message["pid"])
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(message["pid"], message["signal"])
        elif message["op"] == "prepare":
            self._prepare(message)
        return True

    def _send(self, message: Message) -> None:
        # Blocking: the router reads all the time. When it is gone there is nobody to tell.
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())

    def _prepare(self, message: Message) -> None:
        folder = message["folder"]
        load_package("_router_workers", folder)
        load_package("_router_isolation", os.path.join(folder, "isolation"))
        self._bootstrap = importlib.import_module("_router_workers.bootstrap")
        self._api_client = importlib.import_module("_router_workers.api_client")
        self._supervisor = importlib.import_module("_router_workers.supervisor")
        self._ladder = importlib.import_module("_router_isolation.ladder")
        self._ladder.prepare(message["isolation"])
        for name in PRELOADED:
            importlib.import_module(name)
        self._runtime = message["runtime"]
        preloaded = []
        if message["preload"]:
            sys.path.append(self._runtime)
            sys.dont_write_bytecode = True
            for name in message["preload"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
                    preloaded.append(name)
        # The first compilation makes types for each kind of node: 0.4 MB that every environment
        # would make for itself whose code comes without bytecode, as that of small packages does.
        compile("", "", "exec")
        self._bootstrap.prepare()
        self._bootstrap.warm_up()
        # No collection first: it would leave holes all over, which forks fill page by page.
        gc.freeze()
        self._send({"op": "ready", "preloaded": preloaded})
        spare = importlib.import_module("_router_workers.spare")
        self._spare = spare.Spare(self._become_spare, self._become_environment)
        self._spare.breed()

    def _spawn(self, message: Message, data: bytes, fds: list[int]) -> None:
        try:
            pid = self._spare.give(data, fds) or os.fork()
        except OSError as error:
            self._send({"op": "refused", "id": message["id"], "text": f"fork: {error}"})
        else:
            if pid == 0:
                self._step_out()
                self._become_environment(message, fds)
            self._environments.add(pid)
            self._send({"op": "spawned", "id": message["id"], "pid": pid})
        finally:
            for fd in fds:
                os.close(fd)
        self._spare.breed()

    def _step_out(self) -> None:
        """In a fork, first of all: be the zygote no more."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()  # the router is to see when the zygote is gone
        self._become_subreaper()
        gc.enable()

    def _become_spare(self) -> None:
        self._step_out()
        self._bootstrap.warm_up(1)  # copies the pages that an invocation writes to

    def _become_environment(self, message: Message, fds: list[int]) -> NoReturn:
        error: BaseException | None = None
        try:
            frames_fd, *others = self._place_descriptors(*fds)
            start_fd = _keep_for_exec(message["start"]) if message["fresh"] else -1
            kept = [0, 1, 2, frames_fd, *others, *([start_fd] if start_fd >= 0 else [])]
            try:
                self._ladder.enter(message["plan"], keep_fds=kept)
            except Exception as failure:  # noqa: BLE001  # told to the router, whatever it is
                self._refuse(frames_fd, f"isolation: {failure}")
            if others:
                self._supervise(message, frames_fd, start_fd, others[0])
            self._become_runtime(message, frames_fd, start_fd)
        except BaseException as caught:  # noqa: BLE001  # ends the process as `leave` says
            error = caught
        finally:
            self._bootstrap.leave(error)
        os._exit(1)

    def _supervise(self, message: Message, frames_fd: int, start_fd: int, output_fd: int) -> None:
        """Launch extensions, and the runtime in a process of its own when the router says so."""
        extensions = message["extensions"]

        def become_runtime() -> None:
            error: BaseException | None = None
            try:
                os.close(output_fd)
                self._become_runtime(message, frames_fd, start_fd)
            except BaseException as caught:  # noqa: BLE001  # ends the process as `leave` says
                error = caught
            finally:
                self._bootstrap.leave(error)

        die_with = sys.modules["_router_isolation.plain"].die_with
        supervisor = self._supervisor.Supervisor(frames_fd, output_fd, become_runtime, die_with)
        os.chdir(extensions["folder"])
        supervisor.run(extensions["paths"], extensions["environment"])

    def _become_runtime(self, message: Message, frames_fd: int, start_fd: int) -> None:
        """Run the function's program, or its Python in this process; returns at its end."""
        start = message["start"]
        if message["fresh"]:
            os.set_inheritable(frames_fd, not start["is_api"])
            _exec_fresh(start, -1 if start["is_api"] else frames_fd, start_fd, message["wrapper"])
        if message["commands"]:
            self._exec_first(message, frames_fd)
        if start["is_api"]:
            os.close(frames_fd)
        self._bootstrap.enter(start)
        if start["is_api"]:
            self._api_client.run(start)
        else:
            self._bootstrap.run(start, frames_fd)

    def _exec_first(self, message: Message, frames_fd: int) -> NoReturn:
        """Become the first program that is there. The frame socket closes with that."""
        wire = sys.modules["_router_workers.wire"]
        commands, folder = message["commands"], message["folder"]
        variables = message["start"]["environment"]
        try:
            os.chdir(folder)
        except OSError as error:
            text = f"chdir {folder}: {_reason(error)}"
            self._say(frames_fd, wire.EXEC_FAILED, text, "Runtime.InvalidWorkingDir")
        for number in PYTHON_IGNORES:  # exec would hand that on
            signal.signal(number, signal.SIG_DFL)
        for command in commands:
            if program := _found(command[0], variables.get("PATH", "")):
                break
        else:
            places = " ".join(command[0] for command in commands)
            self._say(frames_fd, wire.EXEC_FAILED, f"Couldn't find valid bootstrap(s): [{places}]")
        try:
            os.execve(program, command, variables)  # noqa: S606  # a list, no shell
        except OSError as error:
            self._say(frames_fd, wire.EXEC_FAILED, f"fork/exec {program}: {_reason(error)}")

    def _refuse(self, frames_fd: int, text: str) -> NoReturn:
        self._say(frames_fd, sys.modules["_router_workers.wire"].START_FAILED, text)

    def _say(self, frames_fd: int, kind: int, text: str, error_type: str = "") -> NoReturn:
        """Tell the router why there is no environment, and end."""
        header = json.dumps({"text": text[:1000], "type": error_type}).encode()
        os.write(frames_fd, sys.modules["_router_workers.wire"].encode(kind, header))
        os._exit(1)

    def _place_descriptors(self, frames_fd: int, output_fd: int, *others: int) -> list[int]:
        null_fd = os.open(os.devnull, os.O_RDWR)
        for target, source in ((0, null_fd), (1, output_fd), (2, output_fd)):
            os.dup2(source, target)
        return [_moved_up(fd) for fd in (frames_fd, *others)]

    def _become_subreaper(self) -> None:
        # Orphans of a handler stay below its environment; when that ends they come to the zygote.
        self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _kill(self, pid: int) -> None:
        # Only for processes not reaped yet, so the number cannot have been given to another.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        ended: list[Message] = []
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if found is None:
                break
            pid = found.si_pid
            if pid in self._environments:
                self._kill(pid)  # its group, while the dead leader still keeps the number
            _, status = os.waitpid(pid, 0)
            self._spare.forget(pid)
            if pid in self._environments:
                self._environments.discard(pid)
                ended.append({"op": "exited", "pid": pid, "status": status})
        if ended:
            self._sweep()
        for message in ended:
            self._send(message)

    def _sweep(self) -> None:
        """Kill what handlers left behind: children of ours that are no environments.

        With all below them, at once: killed one level at a time, a bomb grows faster.
        """
        deadline = time.monotonic() + SWEEP_S_MAX
        known = {*self._environments, self._spare.pid if self._spare is not None else 0}
        while time.monotonic() < deadline and not known.issuperset(_own_children()):
            children = _children_of_all()
            orphans = [pid for pid in children.get(os.getpid(), []) if pid not in known]
            if not orphans:
                break
            _hurry(is_hurried=len(orphans) > MANY_ORPHANS)
            below = [(child, pid) for pid in orphans for child in children.get(pid, ())]
            for pid, parent in below:
                _kill_child_of(parent, pid)
                below += [(child, pid) for child in children.get(pid, ())]
            for pid in orphans:
                self._kill(pid)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        _hurry(is_hurried=False)


def _found(program: str, path: str) -> str:
    """The file behind a program's name, which without a slash is looked for on PATH; or empty."""
    folders = [""] if "/" in program else [f"{folder or '.'}/" for folder in path.split(":")]
    return next((place for folder in folders if os.path.isfile(place := folder + program)), "")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def _hurry(*, is_hurried: bool) -> None:
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20 if is_hurried else 0)


def _own_children() -> list[int]:
    """Children of this process, which has one thread.

    Found among all processes where the kernel keeps no list (without CONFIG_PROC_CHILDREN).
    """
    try:
        with open("/proc/thread-self/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return _children_of_all().get(os.getpid(), [])


def _kill_child_of(parent: int, pid: int) -> None:
    """Kill a process that is no child of ours, unless its number is another's by now."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if _parent_of(pid) in (parent, os.getpid()):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def _children_of_all() -> dict[int, list[int]]:
    """Parent → children, of every process there is."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found.setdefault(_parent_of(int(name)), []).append(int(name))
    return found


def _moved_up(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FRAMES_FD_MIN)
    except OSError:  # a host with a very low limit of open files
        return fd


def _keep_for_exec(start: Message) -> int:
    """Put the start message where it survives exec; argv and environment would show it."""
    start_fd = os.memfd_create("start")
    os.write(start_fd, json.dumps(start).encode())
    os.lseek(start_fd, 0, os.SEEK_SET)
    return start_fd


def _exec_fresh(start: Message, frames_fd: int, start_fd: int, wrapper: list[str]) -> NoReturn:
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fresh.py")
    os.chdir(start["paths"]["task"])
    os.set_inheritable(start_fd, True)
    command = [*wrapper, sys.executable, "-s", "-S", script, str(frames_fd), str(start_fd)]
    os.execve(command[0], command, start["environment"])  # noqa: S606  # a list, no shell


if __name__ == "__main__":
    gc.disable()
    Zygote(socket.socket(fileno=int(sys.argv[1]))).run()
