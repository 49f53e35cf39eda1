"""The driver of a queue engine: what its commands mean."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

from router.dispatch.request_ids import RequestIds
from router.mapping import queue_events as q
from router.mapping.budget import COPIES, Aside, Budget
from router.mapping.driver import Clock, Driver
from router.mapping.engine import SettingsChanged
from router.mapping.queue_engine import QueueEngine
from router.mapping.queue_journal import QueueJournal
from router.mapping.view import problem_of
from router.mapping.visibility import hidden_until_ms, receive_visibility_s
from router.model.errors import NotInvoked, RouterError
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, not_invoked
from router.model.queue_message import QueueMessage
from router.model.trace_header import common_header
from router.sources.sieve import Documents, Sieve
from router.telemetry.chaos import chaos_point
from router.telemetry.mapping_metrics import MappingMetrics

TURN_S_MAX = 30.0
"""Longest wait for a turn; after that the attempt counts as throttled."""

TURN_S_MIN = 1.0
"""Shortest, also when the visibility timeout is nearly over."""

TOO_LARGE = "RequestEntityTooLargeException"


class QueueSource(Protocol):
    """One queue, whoever keeps it. Raises `RouterError`."""

    @property
    def receive_max(self) -> int:
        """Most messages of one receive."""

    async def visibility_s(self) -> int:
        """The queue's own visibility timeout."""

    async def receive(
        self, messages_max: int, wait_ms: int, visibility_s: int | None, stop: asyncio.Event
    ) -> Sequence[QueueMessage]:
        """Messages, as many as there are up to the most; waits for the first one.

        Ends the wait early, with what there is, when `stop` is set: what was handed out by then
        is never lost on the way. None as visibility timeout: the queue's own.
        """

    async def delete(self, receipts: Sequence[str]) -> Sequence[int]:
        """Remove messages. The indexes of those that are still there."""

    async def backlog(self) -> int:
        """Messages that are there, also those that somebody has received. As of a moment ago."""


class QueueFormat(Documents, Protocol):
    """What a queue's messages look like."""

    def message(
        self, spec: MappingSpec, received: QueueMessage, position: int, until_ms: int
    ) -> q.Message:
        """A received message as an engine holds it."""

    def build_event(self, messages: Sequence[q.Message]) -> bytes:
        """The event JSON of a batch."""

    def interpret(
        self, spec: MappingSpec, messages: Sequence[q.Message], reply: InvokeReply
    ) -> Outcome:
        """What a reply means."""


class TurnTaker(Protocol):
    """Runs functions in a mapping's turn: `dispatch.dispatcher.Dispatcher`."""

    async def invoke_for(
        self,
        claimant: str,
        request: InvokeRequest,
        *,
        wait_s_max: float,
        on_turn: Callable[[], None],
    ) -> InvokeReply:
        """Raises `NotInvoked`. `on_turn` is called when a slot was free."""


class QueueShell(Driver[q.Event, q.Command]):
    """One running mapping on a queue. `start`, then `drain`, then `stop`."""

    def __init__(
        self,
        spec: MappingSpec,
        engine: QueueEngine,
        *,
        source: QueueSource,
        source_format: QueueFormat,
        runner: TurnTaker,
        resolve: Callable[[], FunctionVersion],
        slowest: Callable[[], FunctionVersion] | None = None,
        numbers: MappingMetrics,
        clock: Clock,
        budget: Budget,
        on_broken: Callable[[], None],
    ) -> None:
        super().__init__(spec, engine, clock, budget, on_broken)
        self._messages = engine
        """Knows how large messages are."""
        self._is_quiet = True
        """The last receive brought less than half of what it might, or there was none."""
        self._source = source
        self._format = source_format
        self._runner = runner
        self._resolve = resolve
        self._slowest = slowest or resolve
        self._numbers = numbers
        self._sieve = Sieve(spec, source_format, numbers)
        self._request_ids = RequestIds()
        self._positions = itertools.count(1)
        self._journal = QueueJournal(numbers, self._log)
        self._no_more = asyncio.Event()
        self.trouble = ""
        """Why nothing could be received, the last time it was tried."""

    def start(self) -> None:
        """Begin to read."""
        self.see_room()
        self._feed(q.QueueOpened())

    def change_settings(self, spec: MappingSpec) -> None:
        """New settings; filters from the next receive on. Raises `PatternError`."""
        self._sieve.change(spec)
        self._spec = spec
        self._feed(SettingsChanged(spec))

    def resume(self) -> None:
        """See `Driver.resume`."""
        self._no_more = asyncio.Event()
        super().resume()

    async def stop(self) -> None:
        """See `Driver.stop`."""
        self._no_more.set()  # sources listen for it
        await super().stop()

    def _end_waits(self) -> None:
        """Receives end by themselves: one that is cut off may have been given messages."""
        self._no_more.set()

    @property
    def last_result(self) -> str:
        """For people; the API shows none."""
        return self._journal.last_result

    @last_result.setter
    def last_result(self, text: str) -> None:
        self._journal.last_result = text

    # Commands

    def _is_wait(self, command: q.Command) -> bool:
        return isinstance(command, q.Receive)

    def _cut_short(self, command: q.Command) -> q.Event:
        return q.ReceiveFailed(command.command_id, "cancelled")

    async def _answer(self, command: q.Command) -> q.Event:
        match command:
            case q.Receive():
                return await self._receive(command)
            case q.Invoke():
                return await self._invoke(command)
            case q.Delete():
                return await self._delete(command)

    async def _receive(self, command: q.Receive) -> q.Event:
        if self._no_more.is_set():
            return q.MessagesReceived(command.command_id)
        aside = Aside(self._budget)
        try:
            return await self._receive_within(command, self._fitting(command.messages_max, aside))
        finally:
            # In this same step the engine takes in what came, or nothing ever does.
            aside.give_back()

    def _fitting(self, messages_max: int, aside: Aside) -> int:
        """Of the messages the engine asks for, as many as all mappings together have room for.

        The long poll of a quiet queue sets nothing aside: it may bring what is this mapping's own.
        """
        if self._budget.room_bytes is None:
            return messages_max
        size_bytes = self._messages.largest_bytes
        room_bytes = (
            self._budget.part_bytes // COPIES
            if self._is_quiet
            else aside.take(messages_max * size_bytes)
        )
        return max(1, min(messages_max, room_bytes // size_bytes))

    async def _receive_within(self, command: q.Receive, messages_max: int) -> q.Event:
        spec = self._spec
        try:
            queue_s = await self._source.visibility_s()
            # Without a function nothing is received: it would be in vain, and counted.
            timeout_ms = self._slowest().timeout_ms
            longer_s = receive_visibility_s(spec.window_ms, timeout_ms, queue_s)
            with self._numbers.pollers.one_more():
                found = await self._source.receive(
                    messages_max, command.wait_ms, longer_s, self._no_more
                )
        except RouterError as error:
            self._numbers.poll_errors.inc()
            self._cannot_receive(error)
            return q.ReceiveFailed(command.command_id, error.code)
        self.trouble = ""
        self._is_quiet = 2 * len(found) < messages_max
        if not found:
            return q.MessagesReceived(command.command_id)
        until_ms = hidden_until_ms(self._clock.now_ms(), queue_s if longer_s is None else longer_s)
        chaos_point("after_fetch")
        self._numbers.polled.inc(len(found))
        messages = [
            self._format.message(spec, one, next(self._positions), until_ms) for one in found
        ]
        passed = await self._sieve.sift("", messages)
        left_out: tuple[q.Receipt, ...] = ()
        if len(passed) < len(messages):
            kept = {message.position for message in passed}
            left_out = tuple(
                q.Receipt(one.event_id, one.receipt, one.until_ms)
                for one in messages
                if one.position not in kept
            )
        self.see_room()
        return q.MessagesReceived(command.command_id, passed, left_out)

    def _cannot_receive(self, error: RouterError) -> None:
        """Said once, however often it is tried: a queue may be away for days."""
        said, self.trouble = self.trouble, f"cannot receive: {error}"
        self.went_wrong(self.trouble)
        if said != self.trouble:
            self._log.warning("receive_failed", error=str(error))

    async def _invoke(self, command: q.Invoke) -> q.Event:
        request_id = self._request_ids.next()
        started_ms = self._clock.now_ms()
        error_text: str | None = None
        outcome: Outcome
        self.in_flight += 1
        self._numbers.in_flight.inc()
        try:
            reply = await self._run(command, request_id)
            if reply is None:
                outcome, error_text = Failed(TOO_LARGE, reason="the event is too large"), TOO_LARGE
            else:
                outcome = self._format.interpret(self._spec, command.messages, reply)
                error_text = reply.error_type
        except NotInvoked as error:
            outcome = not_invoked(error)
            error_text = str(error)
        finally:
            self.in_flight -= 1
            self._numbers.in_flight.dec()
        chaos_point("after_invoke")
        if problem := problem_of(outcome, error_text):
            self.went_wrong(problem)
        self._journal.invoked(
            command,
            outcome,
            duration_ms=self._clock.now_ms() - started_ms,
            wall_ms=self._clock.wall_ms(),
            request_id=request_id,
            error=error_text,
        )
        return q.InvocationFinished(command.command_id, outcome)

    async def _run(self, command: q.Invoke, request_id: str) -> InvokeReply | None:
        """The reply; None where no event can carry the batch, a single message then."""
        function = self._resolve()
        payload = self._format.build_event(command.messages)
        if len(payload) > self._spec.event_bytes_max:
            return None
        chaos_point("before_invoke")
        request = InvokeRequest(
            function=function,
            invoked_arn=self._spec.function_arn,
            request_id=request_id,
            payload=payload,
            trace_id=common_header(one.trace_header for one in command.messages),
        )
        left_s = (command.until_ms - self._clock.now_ms()) / 1000
        return await self._runner.invoke_for(
            self._spec.uuid,
            request,
            wait_s_max=min(TURN_S_MAX, max(TURN_S_MIN, left_s)),
            on_turn=lambda: self._feed(q.InvocationStarted(command.command_id)),
        )

    async def _delete(self, command: q.Delete) -> q.Event:
        chaos_point("before_settle")
        receipts = [receipt.receipt for receipt in command.receipts]
        try:
            failed = tuple(await self._source.delete(receipts))
        except RouterError as error:
            self.went_wrong(f"cannot delete: {error}")
            self._log.warning("delete_failed", records=len(receipts), error=str(error))
            return q.DeleteFailed(command.command_id, error.code)
        self._journal.deleted(len(receipts), len(failed))
        chaos_point("after_settle")
        return q.MessagesDeleted(command.command_id, failed)
