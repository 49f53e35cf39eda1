"""First process of an environment with extensions: launches them and the runtime, tells their ends.

It has locked itself in before, so all of them are in one sandbox. Orders come and news go over the
frame socket (`wire.ORDER`, `wire.PROCESS`); when the router closes it, or the supervisor ends, the
others end with it. Runs in a fork of the zygote: single-threaded, standard library only.
"""

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import wire

READ_BYTES = 16 * 1024

RUNTIME = ""
"""The name of the runtime, which no file can have."""

Become = Callable[[], None]


class Supervisor:
    """State: the processes that live, by name, and the orders half read."""

    def __init__(
        self, frames_fd: int, output_fd: int, runtime: Become, die_with: Callable[[int], None]
    ) -> None:
        """`output_fd`: what extensions write to. `runtime` becomes it, in a process of its own.

        `die_with` has a process end when its parent does.
        """
        self._frames_fd = frames_fd
        self._output_fd = output_fd
        self._runtime = runtime
        self._die_with = die_with
        self._pids: dict[str, int] = {}
        self._orders = wire.FrameReader()
        self._wake_fds: tuple[int, int] = (-1, -1)

    def run(self, paths: "list[str]", environment: "dict[str, str]") -> NoReturn:
        """Launch the extensions at `paths`, then do as told until the router is gone."""
        self._wake_fds = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_fds[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for path in paths:
            self._launch_extension(path, environment)
        poller = select.poll()
        poller.register(self._frames_fd, select.POLLIN)
        poller.register(self._wake_fds[0], select.POLLIN)
        is_open = True
        while is_open:
            ready = [fd for fd, _ in poller.poll()]
            if self._wake_fds[0] in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_fds[0], READ_BYTES)
                self._reap()
            if self._frames_fd in ready:
                is_open = self._obey()
        os._exit(0)

    def _obey(self) -> bool:
        try:
            data = os.read(self._frames_fd, READ_BYTES)
        except OSError:
            return False
        for kind, header, _ in self._orders.feed(data):
            order = json.loads(header)
            if kind != wire.ORDER:
                continue
            if order["do"] == "runtime":
                self._launch(RUNTIME, self._runtime)
            elif order["name"] in self._pids:
                self._signal(self._pids[order["name"]], order["signal"])
        return bool(data)

    def _signal(self, pid: int, number: int) -> None:
        """SIGKILL ends all the process has started too, other signals are for it alone."""
        for send in (os.killpg, os.kill) if number == signal.SIGKILL else (os.kill,):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                send(pid, number)

    def _launch_extension(self, path: str, environment: "dict[str, str]") -> None:
        name = os.path.basename(path)
        failure_fd, report_fd = os.pipe2(os.O_CLOEXEC)

        def become() -> None:
            os.dup2(self._output_fd, 1)
            os.dup2(self._output_fd, 2)
            try:
                os.execve(path, [path], environment)  # noqa: S606  # a list, no shell
            except OSError as error:
                os.write(report_fd, b"%d" % (error.errno or 0))
                os._exit(1)

        pid = self._fork(become)
        os.close(report_fd)
        failure = os.read(failure_fd, READ_BYTES)  # ends with exec
        os.close(failure_fd)
        if failure or pid is None:
            number = int(failure or b"0")
            reason = os.strerror(number).lower() if number else "resource temporarily unavailable"
            text = f"fork/exec {path}: {reason}"
            self._say({"name": name, "text": text, "errno": number})
        else:
            self._pids[name] = pid
            self._say({"name": name, "pid": pid})

    def _launch(self, name: str, become: Become) -> None:
        if name in self._pids:
            return
        pid = self._fork(become)
        if pid is None:
            self._say({"name": name, "text": "fork: resource temporarily unavailable", "errno": 0})
            return
        self._pids[name] = pid
        self._say({"name": name, "pid": pid})

    def _fork(self, become: Become) -> "int | None":
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            return None
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGPIPE, signal.SIGXFSZ) if become != self._runtime else ():
                signal.signal(number, signal.SIG_DFL)  # exec would hand on that they are ignored
            for fd in self._wake_fds:
                os.close(fd)
            os.setsid()
            self._die_with(parent)
            become()
        except BaseException as error:  # noqa: BLE001  # a fork never goes on as its parent
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, one in list(self._pids.items()):
                if one == pid:
                    del self._pids[name]
                    self._say({"name": name, "status": status})

    def _say(self, news: "dict[str, Any]") -> None:
        data = wire.encode(wire.PROCESS, json.dumps(news).encode())
        with contextlib.suppress(OSError):
            os.write(self._frames_fd, data)
