"""The router's end of a zygote: start it, ask it for processes, hear how they ended.

A zygote that dies takes its environments with it (they die with their parent); everything
waiting here then fails at once with `ZygoteDied`, and the pool starts another one.
"""

import asyncio
import collections
import itertools
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from router.model.errors import RouterError

FOLDER = Path(__file__).parent
READY_TIMEOUT_S = 120.0
"""Longest wait for an interpreter to start and to preload a runtime folder. A router that starts
gives up with it, so it is far beyond what a machine with too much to do takes."""

SPAWN_TIMEOUT_S = 30.0
"""Longest wait for a fork; over it the zygote is taken for stuck and killed."""

SWEEP_TIMEOUT_S = 12.0
"""How long a zygote that was given up may take to end what it forked. Killed before, it would leave
a fork bomb to nobody."""

MESSAGE_BYTES_MAX = 192 * 1024
KILLED_STATUS = 9
"""Wait status of a process ended by SIGKILL, reported for those that died with their zygote."""


class ZygoteDied(RouterError):
    """The zygote ended; its environments ended with it."""

    code = "zygote_died"
    retryable = True


class SpawnRefused(RouterError):
    """The host did not let the zygote fork (limit of processes, memory)."""

    code = "spawn_refused"
    retryable = True


class Zygote:
    """One zygote process."""

    def __init__(
        self, interpreter: str, *, runtime: str = "", preload: tuple[str, ...] = ()
    ) -> None:
        """`runtime` is a folder put on the path to import `preload` from."""
        self._interpreter = interpreter
        self._runtime = runtime
        self._preload = preload
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._exits: dict[int, Callable[[int], None]] = {}
        self._on_exit_of: dict[int, Callable[[int], None]] = {}
        self._outgoing: collections.deque[tuple[bytes, tuple[int, ...], bool]] = collections.deque()
        self._ready: asyncio.Future[list[str]] | None = None
        self.is_alive = False

    @property
    def pid(self) -> int:
        """Process id, for tests and for people."""
        return self._process.pid

    async def start(self, isolation: dict[str, Any]) -> None:
        """Exec the interpreter and wait until it can fork. Raises `ZygoteDied`."""
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  # returns once exec has happened, in about 2 ms
                [self._interpreter, "-I", "-S", str(FOLDER / "zygote.py"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.is_alive = True
        self._loop.add_reader(ours, self._on_readable)
        self._ready = self._loop.create_future()
        self._send(
            {
                "op": "prepare",
                "isolation": isolation,
                "folder": str(FOLDER),
                "runtime": self._runtime,
                "preload": self._preload,
            }
        )
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready
        except (TimeoutError, ZygoteDied):
            await self.stop()
            raise ZygoteDied(f"{self._interpreter} did not get ready as a zygote") from None
        except BaseException:  # cancelled: nobody else would end it
            await self.stop()
            raise

    def fork(
        self,
        message: dict[str, Any],
        fds: tuple[int, ...],
        on_exit: Callable[[int], None],
    ) -> "asyncio.Future[int]":
        """Ask for an environment at once; wait for it with `forked`, or say it is `unwanted`.

        `fds` (frames, output, that of extensions) belong to this call: they are closed here once
        sent. `on_exit` is called once with the wait status. Raises `ZygoteDied`.
        """
        if not self.is_alive:
            _close_all(fds)
            raise ZygoteDied("the zygote is gone")
        spawn_id = next(self._ids)
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[spawn_id] = future
        self._exits[spawn_id] = on_exit
        self._send({"op": "spawn", "id": spawn_id, **message}, fds)
        return future

    async def forked(self, forking: "asyncio.Future[int]") -> int:
        """The process id of what was asked for. Raises `ZygoteDied` or `SpawnRefused`."""
        try:
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                return await asyncio.shield(forking)
        except TimeoutError:
            if forking.done():  # all of the machine stood still: its answer came as soon as this
                return forking.result()
            self.give_up()
            raise ZygoteDied(f"no fork in {SPAWN_TIMEOUT_S:g} s") from None

    def unwanted(self, forking: "asyncio.Future[int]") -> None:
        """End what was asked for, as soon as it is there."""
        forking.add_done_callback(self._kill_unwanted)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """SIGKILL an environment and its group, or send its process another signal.

        Nothing happens if it is gone already.
        """
        if self.is_alive and pid in self._on_exit_of:
            self._send({"op": "kill", "pid": pid, "signal": number})

    async def stop(self) -> None:
        """End the zygote and all it forked."""
        self.give_up()
        try:
            await asyncio.to_thread(self._process.wait, SWEEP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _kill_unwanted(self, future: "asyncio.Future[int]") -> None:
        if not future.cancelled() and future.exception() is None:
            self.kill(future.result())

    def _send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        self._outgoing.append((orjson.dumps(message), fds, bool(fds)))
        if len(self._outgoing) == 1:
            self._write()

    def _write(self) -> None:
        while self._outgoing:
            data, fds, closes = self._outgoing[0]
            try:
                socket.send_fds(self._control, [data], list(fds))
            except BlockingIOError:
                self._loop.add_writer(self._control, self._write)
                return
            except OSError:
                self.give_up()
                return
            self._outgoing.popleft()
            if closes:
                _close_all(fds)
        self._loop.remove_writer(self._control)

    def _on_readable(self) -> None:
        for _ in range(64):  # not for ever: others want the loop too
            try:
                data = self._control.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.give_up()
                return
            self._on_message(orjson.loads(data))
            if not self.is_alive:
                return

    def _on_message(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "ready":
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(message["preloaded"])
            case "spawned":
                self._on_exit_of[message["pid"]] = self._exits.pop(message["id"])
                self._waiting.pop(message["id"]).set_result(message["pid"])
            case "refused":
                del self._exits[message["id"]]
                self._waiting.pop(message["id"]).set_exception(SpawnRefused(message["text"]))
            case "exited":
                self._on_exit_of.pop(message["pid"])(message["status"])

    def give_up(self) -> None:
        """Take the zygote for dead: fail what waits, and make sure that it ends."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        for _, fds, _ in self._outgoing:
            _close_all(fds)
        self._outgoing.clear()
        error = ZygoteDied("the zygote ended")
        waiting: list[asyncio.Future[Any]] = list(self._waiting.values())
        if self._ready is not None:
            waiting.append(self._ready)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits sees it; nobody waiting is no warning
        self._waiting.clear()
        self._exits.clear()
        exits, self._on_exit_of = self._on_exit_of, {}
        for on_exit in exits.values():
            on_exit(KILLED_STATUS)
        # With the socket closed it kills its children and ends; one that is stuck is ended here.
        self._loop.call_later(SWEEP_TIMEOUT_S, self._make_sure)
        self._process.poll()

    def _make_sure(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._loop.call_later(0.1, self._process.poll)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
