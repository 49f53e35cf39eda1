"""An environment whose process speaks the Runtime API. For the pool it is one like any other.

The frame socket is closed by exec; until then it brings what went wrong before. From there on the
session says what frames say elsewhere: ready, initialisation failed, result, error.
"""

import asyncio
import contextlib
import functools
import math
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from router.model.function import FunctionVersion
from router.model.sink import Sink
from router.workers import platform_lines, wire
from router.workers.extensions.calls import Extensions, Facts
from router.workers.extensions.telemetry import Telemetry
from router.workers.log_files import Line
from router.workers.output import Output
from router.workers.process import Answer, Environment
from router.workers.runtime_api import answers, peers
from router.workers.runtime_api.server import RuntimeServer
from router.workers.zygote_client import Zygote

NEXT_S_MIN = 2.0
"""After an answer a runtime has the rest of its timeout to ask for more, and this at least."""

LAST_WORDS_S = 1.0
"""After the process is gone: how long what it sent may take to be read."""

EXIT_POLL_S = 0.01
"""How often it is looked whether the last connections of an ended process are read."""

RUNTIME_TERM_S = 0.5
"""After SIGTERM, which a runtime gets when it has extensions within it (Lambda)."""

MEMORY_READ_S = 0.1
"""The memory of a process is read this often at most."""

_MEMORY_PEAK = re.compile(r"^VmHWM:\s+(\d+)", re.MULTILINE)


class RuntimeEnvironment(Environment):
    """The process, its listener, its output pipe and its private folder."""

    def __init__(
        self,
        zygote: Zygote,
        output: Output,
        *,
        listener: socket.socket,
        uid: int | None,
        facts: Facts,
        function: FunctionVersion,
        can_listen: bool,
        tmp_path: str,
        group: str = "",
        on_end: Callable[[Environment], None],
    ) -> None:
        """`uid`: the user it will run as, if that is its function's own.

        `can_listen`: whether the isolation lets an extension in it take telemetry.
        """
        super().__init__(zygote, output, tmp_path=tmp_path, group=group, on_end=on_end)
        self.extensions = Extensions(self, facts, self._external_names())
        self._server = RuntimeServer(self, listener, self.extensions)
        self._uid = uid
        self._function = function
        self._can_listen = can_listen
        self._settling: dict[asyncio.Future[None], float] = {}
        """Who waits for it to be ready, and until when."""
        self._settle_timer: asyncio.TimerHandle | None = None
        self._memory_kb = 0
        self._memory_read_at = 0.0
        self._next_by = math.inf
        """When it has to have asked for more."""
        self._next_timer: asyncio.TimerHandle | None = None
        self._next_timer_at = 0.0
        self._is_ending = False

    @property
    def is_alive(self) -> bool:
        """Whether it can take another invocation."""
        is_over = self._is_ended or self._is_ending or self.has_timed_out
        return self.status is None and not is_over

    @property
    def is_ready(self) -> bool:
        """Whether its runtime and all extensions have asked for an event."""
        return self._server.session.is_ready and self.extensions.are_ready and self.is_alive

    async def settle(self, wait_s: float | None) -> bool:
        """Wait until the runtime asks for an event (True), the process is gone, or for so long."""
        if self.is_ready or not self.is_alive:
            return self.is_ready
        settled = self._loop.create_future()
        self._settling[settled] = math.inf if wait_s is None else time.monotonic() + wait_s
        # Nearly every call in a row waits here for a moment: one timer serves many of them.
        if wait_s is not None and self._settle_timer is None:
            self._settle_timer = self._loop.call_later(wait_s, self._on_settle_timer)
        try:
            await settled
        finally:
            self._settling.pop(settled, None)
        return self.is_ready

    def _on_settle_timer(self) -> None:
        self._settle_timer = None
        now, first = time.monotonic(), math.inf
        for settled, until in self._settling.items():
            if until <= now:
                _finish(settled)
            else:
                first = min(first, until)
        if first < math.inf:
            self._settle_timer = self._loop.call_later(first - now, self._on_settle_timer)

    def send(
        self, header: dict[str, Any], payload: bytes, timeout_ms: int, sink: Sink | None = None
    ) -> Answer:
        """Give the runtime one invocation; `result` waits for what it answers.

        What it streams goes to the sink, and the result is empty then.
        """
        answer = self._expect(timeout_ms)
        if not answer.done():
            deadline_ms = time.time_ns() // 1_000_000 + timeout_ms
            if self.extensions.has_any:
                self.extensions.invoke(header, deadline_ms)
            self._server.session.offer(answers.event(header, payload, deadline_ms, sink))
        return answer

    def end(self) -> None:
        """Have it end; a runtime with extensions within it gets a moment to do so by itself."""
        if not self.extensions.has_any:
            self.kill()
        elif self.status is None and not self._is_ending:
            self._begin_end()

    def _begin_end(self) -> None:
        self._is_ending = True
        self._wake()
        self._zygote.kill(self.pid, signal.SIGTERM)
        self._loop.call_later(RUNTIME_TERM_S, self.kill)

    # What the session tells.

    def on_ready(self) -> None:
        """The runtime asks for an event and has none: the first time it has started."""
        self.extensions.registry.close()
        self.on_settled()

    def on_registered(self) -> None:
        """Every external extension has registered; there are none here."""

    def on_settled(self) -> None:
        """The runtime or an extension waits for an event: perhaps all of them do now."""
        if self.is_ready:
            self._next_by = math.inf
            self._wake()
            if self.telemetry is not None:
                self._settle_telemetry(self.telemetry)
            self._hear(wire.READY, {}, b"")

    def on_init_error(self, error_type: str, document: bytes) -> None:
        """The runtime could not start."""
        self._hear(wire.INIT_FAILED, {"type": error_type}, document)

    def on_answer(self, error_type: str | None, payload: bytes) -> None:
        """The runtime has answered; it has yet to ask for more."""
        facts: dict[str, Any] = {"rss_kb": self._memory_peak_kb()}
        now = time.monotonic()
        self._next_by = max(self._deadline, now + NEXT_S_MIN)
        if self._next_timer is None or self._next_by < self._next_timer_at:
            self._set_next_timer(now)
        if error_type is None:
            self._hear(wire.RESULT, facts, payload)
        else:
            self._hear(wire.ERROR, {"type": error_type, **facts}, payload)

    def _set_next_timer(self, now: float) -> None:
        # One timer serves many invocations, as that of their answers.
        self._stop_next_timer()
        self._next_timer_at = self._next_by
        self._next_timer = self._loop.call_later(self._next_by - now, self._on_next_timer)

    def _on_next_timer(self) -> None:
        self._next_timer = None
        now = time.monotonic()
        if now < self._next_by < math.inf:
            self._set_next_timer(now)
        elif now >= self._next_by:
            # The time of its invocation is over, and somebody in it is still busy with that.
            self.has_timed_out = True
            self.end()

    def telemetry_for_subscription(self) -> Telemetry | None:
        """For the extensions in it, made when the first one asks for it."""
        if not self._can_listen:
            return None
        if self.telemetry is None:
            self.telemetry = self._new_telemetry()
        return self.telemetry

    def _new_telemetry(self) -> Telemetry:
        self.output.tap = functools.partial(self._tell_lines, "function")
        return Telemetry(lambda port: peers.listens(port, self.pid, self._uid), self._on_subscribed)

    def _settle_telemetry(self, telemetry: Telemetry) -> None:
        telemetry.close_subscription()
        if not telemetry.has_any:
            self.telemetry = self.output.tap = None

    def _tell_lines(self, category: str, lines: list[Line]) -> None:
        if self.telemetry is not None:
            self.telemetry.lines(category, lines, is_json=self._function.logs.is_json)

    def _on_subscribed(self, name: str, types: Sequence[str]) -> None:
        self.output.write(platform_lines.subscribed(self._function, name, types))

    def _external_names(self) -> tuple[str, ...]:
        """The extensions to be launched."""
        return ()

    def _hear(self, kind: int, facts: dict[str, Any], payload: bytes) -> None:
        answer = self._answer
        if answer is not None and not answer.done():
            answer.set_result((kind, orjson.dumps(facts), payload))

    def _wake(self) -> None:
        for settled in self._settling:
            _finish(settled)

    def _processes(self) -> list[int]:
        """Those whose memory is the function's."""
        return [self.pid]

    def _memory_peak_kb(self) -> int:
        """What its processes have held at most. Asking the kernel costs as much as all the rest."""
        now = time.monotonic()
        if now - self._memory_read_at > MEMORY_READ_S:
            self._memory_read_at = now
            peaks = [_memory_peak_kb(pid) for pid in self._processes()]
            self._memory_kb = max(self._memory_kb, sum(peaks))
        return max(self._memory_kb, self.memory_kb_max)

    # What differs from the other kind.

    def connection_lost(self, _error: Exception | None) -> None:
        """Exec has closed the frame socket, or the process is gone."""
        self._is_connected = False

    def _on_forked(self) -> None:
        self._server.begin(self.pid, self._uid)

    def _on_exit(self, status: int) -> None:
        self.status = status
        self._hear_last_words()
        self._end_when_quiet(time.monotonic() + LAST_WORDS_S)

    def _end_when_quiet(self, deadline: float) -> None:
        """What the process sent before it ended is still to be read from its connections."""
        is_heard = self._answer is None or self._answer.done() or self._server.is_quiet
        if is_heard or time.monotonic() > deadline:
            self._end()
        else:
            self._loop.call_later(EXIT_POLL_S, self._end_when_quiet, deadline)

    def _end(self) -> None:
        self._server.close()
        self._stop_next_timer()
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None
        if self.telemetry is not None:
            self.telemetry.close()
        super()._end()
        self._wake()

    def _stop_next_timer(self) -> None:
        if self._next_timer is not None:
            self._next_timer.cancel()
            self._next_timer = None


def _memory_peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        if found := _MEMORY_PEAK.search(status):
            return int(found[1])
    return 0


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
