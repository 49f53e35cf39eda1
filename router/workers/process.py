"""One environment: a process that runs one function version, one invocation at a time.

Nothing here trusts the process: it may send garbage, close its socket, stop, or die at any time.
Whatever it does, `call` ends: with a frame, or with None once the process is gone.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import orjson

from router.model.limits import KIB, MIB
from router.model.sink import Sink
from router.workers import wire
from router.workers.extensions.telemetry import Telemetry
from router.workers.output import Output
from router.workers.zygote_client import KILLED_STATUS, Zygote

SEND_BUFFER_BYTES = 1 * MIB
"""Kernel buffer of the frame socket: fewer wake-ups for a large event."""

READ_BYTES = 256 * KIB
"""Of its last words at a time."""

LAST_WORDS_S = 0.1
"""After the process is gone: how long its last bytes may take to arrive."""

CLOSED_GRACE_S = 1.0
"""After the socket is closed: how long the process may take to end by itself, and so to say how.
On a busy machine that takes time; killed meanwhile, it would be told as `signal: killed`."""

LATE_S = 0.1
"""A timer that fires this late says that this process was held up: what the other has answered
meanwhile is still unread, and is read before it is given up."""

KILL_TIMEOUT_S = 5.0
"""After SIGKILL: how long until its end is reported; else the zygote is taken for stuck."""


Answer = asyncio.Future[wire.Frame | None]
"""A frame to come; None when the process ended instead."""


class Environment(asyncio.Protocol):
    """The process, its frame socket, its output pipe and its private folder."""

    def __init__(
        self,
        zygote: Zygote,
        output: Output,
        *,
        tmp_path: str,
        group: str = "",
        on_end: Callable[["Environment"], None],
    ) -> None:
        """`on_end` is called once when the process is gone, in or between invocations."""
        self.output = output
        self.tmp_path = tmp_path
        self.group = group
        """Its control group; empty without one."""
        self.pid = 0
        self.idle_since = 0.0
        self.is_starting = True
        """Its cold start is not over: it is counted there."""
        self.is_retired = False
        """Its code or settings are no longer the current ones."""
        self.is_out_of_memory = False
        """It was killed for using more memory than the function has."""
        self.start_s = 0.0
        """How long its cold start took."""
        self.memory_kb_max = 0
        """Largest anonymous memory seen from outside."""
        self.status: int | None = None
        """Wait status once the process is gone."""
        self.has_timed_out = False
        self.failure: tuple[str, str] | None = None
        """Error type and text where its own end would not say what has failed in it."""
        self.telemetry: Telemetry | None = None
        """Where what happens in it is told of, if anybody in it may want to know."""
        self._zygote = zygote
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._frames = wire.FrameReader()
        self._answer: Answer | None = None
        self._transport: asyncio.Transport | None = None
        self._is_connected = False
        self._is_ended = False
        self._gone = asyncio.Event()
        self._deadline = 0.0
        self._has_waited = False
        """An answer was waited for beyond the deadline, once."""
        self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can take another invocation."""
        return self._is_connected and self.status is None and not self.has_timed_out

    @property
    def is_ready(self) -> bool:
        """Whether it waits for an event: this kind always does, once it has answered."""
        return True

    async def settle(self, _wait_s: float | None) -> bool:
        """Wait until it `is_ready` (True) or gone, or for so long."""
        return True

    async def start(self, message: dict[str, Any], timeout_ms: int) -> wire.Frame | None:
        """Fork, and wait for its first frame; None when it ended or ran out of time before.

        Raises `ZygoteDied` or `SpawnRefused`.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        ours.setblocking(False)
        self._socket = ours
        fds = (theirs.detach(), self.output.write_fd, *self._further_fds())
        answer = self._expect(timeout_ms)
        forking: asyncio.Future[int] | None = None
        try:
            # First of all: the process comes into being while this one gets ready for it.
            forking = self._zygote.fork(message, fds, self._on_exit)
            await self._connect()
            self.pid = await self._zygote.forked(forking)
            self._on_forked()
        except BaseException:
            if forking is not None:
                self._zygote.unwanted(forking)
            if self._transport is None:
                ours.close()
            self.status = KILLED_STATUS  # there is no process, or there soon is none any more
            self.is_retired = True
            self._end()
            raise
        return await self.result(answer)

    async def _connect(self) -> None:
        transport, _ = await self._loop.create_unix_connection(lambda: self, sock=self._socket)
        self._transport = transport
        if self._is_ended:  # it is gone already
            transport.abort()

    def send(
        self, header: dict[str, Any], payload: bytes, timeout_ms: int, sink: Sink | None = None
    ) -> Answer:
        """Send one invocation; `result` waits for what is returned.

        Functions of this kind do not stream: nothing goes to the sink.
        """
        del sink
        answer = self._expect(timeout_ms)
        if self._transport is None or self._transport.is_closing():
            self.kill()
            return answer
        # Two pieces: to put 100 KB together with their head costs more than to send them.
        head = wire.begin(wire.INVOKE, orjson.dumps(header), len(payload))
        try:  # at once, not at the end of the loop's turn: the process starts that much earlier
            sent = self._socket.sendmsg((head, payload))
        except BlockingIOError:
            sent = 0
        except OSError:
            self.kill()
            return answer
        if sent < len(head):
            self._transport.write(head[sent:])
            sent = len(head)
        if sent < len(head) + len(
            payload
        ):  # the event as it is: a copy would live until it is read
            self._transport.write(memoryview(payload)[sent - len(head) :])
        return answer

    async def result(self, answer: Answer) -> wire.Frame | None:
        """The answer; None when the process ended instead."""
        try:
            return await answer
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._answer = None

    def kill(self) -> None:
        """SIGKILL the process and its group. `on_end` follows."""
        if self.status is not None:
            return
        self._zygote.kill(self.pid)
        if self._stuck_timer is None:
            self._stuck_timer = self._loop.call_later(KILL_TIMEOUT_S, self._zygote.give_up)

    def end(self) -> None:
        """Have it end: at once, unless there is something in it that is to hear of it before."""
        self.kill()

    async def gone(self) -> None:
        """Wait until the process is gone and its output is read."""
        if not self._is_ended:
            await self._gone.wait()

    def _further_fds(self) -> tuple[int, ...]:
        """Descriptors its process gets besides frames and output."""
        return ()

    def _on_forked(self) -> None:
        """The process is known."""

    # asyncio.Protocol

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._is_connected = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the process: an answer, or the end of our trust in it."""
        answer, reader = self._answer, self._frames
        if (frame := reader.whole(data)) is None:
            try:
                frames = reader.feed(data)
            except wire.FrameError:
                self._distrust()
                return
            if not frames:
                return
            frame = frames[0]
            if len(frames) != 1 or reader.waiting_bytes:
                self._distrust()  # nobody asked for this
                return
        if answer is None or answer.done():
            self._distrust()
            return
        answer.set_result(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        """The process closed its end, or is gone."""
        self._is_connected = False
        if self.status is not None:
            self._end()
        else:
            self._loop.call_later(CLOSED_GRACE_S, self.kill)

    # the rest

    def _expect(self, timeout_ms: int) -> Answer:
        self._answer = answer = self._loop.create_future()
        if self._is_ended:
            answer.set_result(None)
            return answer
        self._deadline = time.monotonic() + timeout_ms / 1000
        self._has_waited = False
        if self._timer is None or self._deadline < self._timer_at:
            self._set_timer()
        return answer

    def _set_timer(self) -> None:
        # One timer serves many short calls: when it fires it looks at the current deadline.
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_later(self._deadline - time.monotonic(), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done() or self.status is not None:
            return
        late_s = time.monotonic() - self._deadline
        if late_s < 0:
            self._set_timer()
            return
        if late_s > LATE_S and not self._has_waited:
            self._has_waited = True
            self._timer_at = time.monotonic() + LATE_S
            self._timer = self._loop.call_later(LATE_S, self._on_timer)
            return
        self.has_timed_out = True
        self.end()

    def _distrust(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.kill()

    def _on_exit(self, status: int) -> None:
        self.status = status
        self._hear_last_words()
        if self._is_connected:
            self._loop.call_later(LAST_WORDS_S, self._end)
        else:
            self._end()

    def _hear_last_words(self) -> None:
        """Read what the process wrote before it ended; the loop may not have looked yet."""
        with contextlib.suppress(OSError):  # nothing more, or closed by us
            while self._answer is not None and not self._answer.done():
                if not (data := self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)):
                    return
                self.data_received(data)

    def _end(self) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
        if self._transport is not None:
            self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
        with contextlib.suppress(OSError):
            self.output.drain()
        self._gone.set()
        self._on_end(self)
