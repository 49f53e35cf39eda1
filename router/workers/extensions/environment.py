"""An environment with extensions: a supervisor, the extensions, then the runtime, in one sandbox.

Its first process is the supervisor (`workers/supervisor.py`). The runtime is launched once every
extension has registered; when it or an extension ends by itself, all of it is reset.
"""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from router.model.sink import Sink
from router.workers import payloads, platform_lines, wire
from router.workers.extensions import calls, states
from router.workers.extensions.telemetry import Telemetry
from router.workers.invocation import facts_in
from router.workers.output import Output
from router.workers.process import Answer, Environment
from router.workers.runtime_api.environment import EXIT_POLL_S, LAST_WORDS_S, RuntimeEnvironment
from router.workers.supervisor import RUNTIME

SHUTDOWN_S: Final = 2.0
"""From the beginning of an environment's end until everything in it is killed (Lambda)."""

RUNTIME_TERM_S: Final = 0.3
"""What the runtime gets of it, after SIGTERM."""

TIMEOUT: Final = "timeout"
FAILURE: Final = "failure"
SPINDOWN: Final = "spindown"
"""Why an environment ends, as extensions are told."""

PERMISSION_DENIED: Final = 13
"""`errno` of a file that cannot be run."""


class ExtendedEnvironment(RuntimeEnvironment):
    """The supervisor, its listener, two output pipes and the private folder."""

    def __init__(
        self,
        *arguments: Any,
        extensions: tuple[str, ...],
        extension_output: Output,
        on_end: Callable[[Environment], None],
        **named: Any,
    ) -> None:
        """`extensions`: names of files in `/opt/extensions`."""
        self._names = extensions
        super().__init__(*arguments, on_end=on_end, **named)
        self._extension_output = extension_output
        self._pids: dict[str, int] = {}
        """Of what lives; the runtime's name is empty."""
        self._early: tuple[str, str] | None = None
        """What failed before it was known which process this is."""
        self._reason = SPINDOWN
        self._is_told = False
        """The extensions have been told of the end."""
        self._is_shown = False
        self._began = 0.0
        """When its last invocation did."""
        if self._can_listen:
            self.telemetry = self._new_telemetry()
            instance = self.output.stream.instance
            record = platform_lines.init_start_record(self._function, instance)
            self.telemetry.platform([record])
        self._timers: list[asyncio.TimerHandle] = []
        self._ends_at = 0.0

    # What happens in it.

    def data_received(self, data: bytes) -> None:
        """News from the supervisor, or why there is none."""
        try:
            frames = self._frames.feed(data)
        except wire.FrameError:
            self._distrust()
            return
        for kind, header, payload in frames:
            if kind == wire.PROCESS:
                self._on_news(facts_in(header))
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result((kind, header, payload))

    def _on_news(self, news: dict[str, Any]) -> None:
        name = str(news.get("name", ""))
        pid, status = news.get("pid"), news.get("status")
        if isinstance(pid, int):
            self._pids[name] = pid
        elif isinstance(status, int):
            self._pids.pop(name, None)
            self._on_process_end(name, status)
        else:
            self._on_launch_failure(name, str(news.get("text", "")), news.get("errno"))

    def _on_launch_failure(self, name: str, text: str, number: object) -> None:
        if (extension := self.extensions.registry.named(name)) is not None:
            is_denied = number == PERMISSION_DENIED
            extension.fail_launch("PermissionDenied" if is_denied else "UnknownError")
        self._fail(calls.LAUNCH_FAILED, text)

    def _on_process_end(self, name: str, status: int) -> None:
        if self._is_ending:
            self._go_on_ending()
        elif name == RUNTIME:
            deadline = self._loop.time() + LAST_WORDS_S
            self._hear_runtime_out(payloads.exit_text(status), deadline)
        else:
            self._fail(self.extensions.error_type(calls.CRASH), extension_exit_text(status))

    def _hear_runtime_out(self, text: str, deadline: float) -> None:
        """What the runtime sent before it ended is still to be read."""
        is_heard = self._answer is None or self._answer.done() or self._server.is_quiet
        if self._is_ending or self._is_ended:
            return
        if is_heard or self._loop.time() > deadline:
            self._fail(payloads.EXITED, text)
        else:
            self._loop.call_later(EXIT_POLL_S, self._hear_runtime_out, text, deadline)

    def _fail(self, error_type: str, text: str) -> None:
        """Something in it ended or could not begin: reset all of it, and say why."""
        if self._is_ending or self._is_ended:
            return
        if not self.pid:  # it is not known yet which process is to be ended
            self._early = self._early or (error_type, text)
            return
        if self._answer is not None and not self._answer.done():
            self.failure = (error_type, text)
        self._reason = FAILURE
        self.end()

    # The beginning.

    def on_registered(self) -> None:
        """All extensions have registered: it is the runtime's turn."""
        self._order({"do": "runtime"})

    def on_init_error(self, error_type: str, document: bytes) -> None:
        """The runtime could not start."""
        self._reason = FAILURE
        super().on_init_error(error_type, document)

    def on_settled(self) -> None:
        """Everything in it waits for an event, perhaps for the first time."""
        if self.is_ready and not self._is_shown:
            self._show_extensions()
        super().on_settled()

    def _external_names(self) -> tuple[str, ...]:
        return self._names

    def _further_fds(self) -> tuple[int, ...]:
        return (self._extension_output.write_fd,)

    def _on_forked(self) -> None:
        super()._on_forked()
        if self._early is not None:
            self._fail(*self._early)
        if len(self._names) > states.EXTENSIONS_MAX:
            self._fail(calls.LAUNCH_FAILED, "ErrTooManyExtensions")

    def send(
        self, header: dict[str, Any], payload: bytes, timeout_ms: int, sink: Sink | None = None
    ) -> Answer:
        """As without extensions."""
        self._began = self._loop.time()
        return super().send(header, payload, timeout_ms, sink)

    def _new_telemetry(self) -> Telemetry:
        self._extension_output.tap = functools.partial(self._tell_lines, "extension")
        return super()._new_telemetry()

    def _settle_telemetry(self, telemetry: Telemetry) -> None:
        super()._settle_telemetry(telemetry)
        if self.telemetry is None:
            self._extension_output.tap = None

    def _tell_what_failed(self) -> None:
        """The invocation in it will have no answer: who listens hears so before the end."""
        request_id = self._server.session.current_id
        if self.telemetry is not None and request_id:
            failed = self.failure[0] if self.failure is not None else payloads.EXITED
            error_type = payloads.TIMED_OUT if self._reason == TIMEOUT else failed
            duration_ms = (self._loop.time() - self._began) * 1000
            record = platform_lines.done_record(request_id, duration_ms, error_type)
            self.telemetry.platform([record])

    def _processes(self) -> list[int]:
        return list(self._pids.values())

    def _show_extensions(self) -> None:
        """One line about each, at the end of the initialisation."""
        self._is_shown = True
        if self.telemetry is not None:
            records = platform_lines.extension_records(self.extensions.registry.all)
            self.telemetry.platform(records)
        self.output.write(platform_lines.extensions(self._function, self.extensions.registry.all))

    # The end.

    def end(self) -> None:
        """Have it end: the runtime first, then the extensions, everything within `SHUTDOWN_S`."""
        if self.status is not None or self._is_ending:
            return
        if not self.pid:
            self.kill()
            return
        if self.has_timed_out:
            self._reason = TIMEOUT
        elif self._answer is not None:
            self._reason = FAILURE
        self._begin_end()

    def _begin_end(self) -> None:
        self._is_ending = True
        self._wake()
        if not self._is_shown:
            self._show_extensions()
        if self._answer is not None and not self._answer.done():
            self._tell_what_failed()
        if self.telemetry is not None:
            self.telemetry.flush()
        self._ends_at = self._loop.time() + SHUTDOWN_S
        self._timers = [
            self._loop.call_later(RUNTIME_TERM_S, self._kill_runtime),
            self._loop.call_later(SHUTDOWN_S, self.kill),
        ]
        if RUNTIME in self._pids:
            self._signal(RUNTIME, signal.SIGTERM)
        else:
            self._end_extensions()

    def _kill_runtime(self) -> None:
        if RUNTIME in self._pids:
            self._signal(RUNTIME, signal.SIGKILL)

    def _end_extensions(self) -> None:
        """The runtime is gone: those that want to hear of it are told, the others killed."""
        left_ms = (self._ends_at - self._loop.time()) * 1000
        registry = self.extensions.registry
        told = {one.name for one in registry.external if states.SHUTDOWN in one.events}
        for name in [name for name in self._pids if name not in told]:
            self._signal(name, signal.SIGKILL)
        self.extensions.shut_down(self._reason, _epoch_ms() + int(left_ms))
        self._is_told = True
        if not self._pids:
            self.kill()

    def _go_on_ending(self) -> None:
        """One more of its processes is gone."""
        if RUNTIME not in self._pids and not self._is_told:
            self._end_extensions()
        elif not self._pids:
            self.kill()

    def _end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        super()._end()
        self._extension_output.close()

    def _signal(self, name: str, number: int) -> None:
        self._order({"do": "signal", "name": name, "signal": int(number)})

    def _order(self, order: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire.encode(wire.ORDER, orjson.dumps(order)))


def extension_exit_text(status: int) -> str:
    """How the end of an extension reads."""
    if os.WIFSIGNALED(status):
        return payloads.signal_text(status)
    code = os.WEXITSTATUS(status)
    return f"exit status {code}" if code else "exit code 0"


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000
