"""The engine for queues: SQS, standard and FIFO (`event-source-mappings.md` 8).

    Receive ─► gathered ─► READY ─► Invoke ─► (turn) running ─► Delete what succeeded
                 window,      ▲                  │      └──────► leave what failed to its
                 size, bytes  └── no slot, while ┘               visibility timeout (P25)
                                  it is hidden

It receives no more than can be run, so that waiting burns no receive count. What it was given it
runs, also when it drains: a message that was received and not run would have been received in
vain. On a FIFO queue message groups are lanes: a batch may hold several, a group is never in two
batches at once (P24), and goes on only when what was handled of it is gone from the queue.
"""

from collections.abc import Iterable

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.batching import window_start_ms
from router.mapping.queue_batches import Batch, Gathered, groups_of, unexpired
from router.mapping.queue_deletes import Deletes
from router.mapping.queue_pace import Pace
from router.mapping.queue_view import view_queue
from router.mapping.view import LaneView
from router.model import backoff, limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.source_kind import SourceKind

RECEIVE_FULL = 10
"""Messages that one receive of SQS may bring."""

RECEIVE_BACKOFF_MS_MAX = 5_000
"""Ceiling of the wait before a queue that could not be read is read again (K4)."""

EARLY_PAUSE_MS = 500
"""A queue that says it is empty and did not wait for messages is asked again after this."""

WAITED_MS = 50
"""A batch whose turn came later than this had to wait for it."""

MESSAGE_BYTES = 64 * limits.KIB
"""Taken for the size of a message until larger ones were seen."""


class QueueEngine:
    """One mapping on one queue."""

    def __init__(self, spec: MappingSpec, slots_max: int, receive_max: int = RECEIVE_FULL) -> None:
        """`slots_max`: invocations the router runs at a time, whoever asks.

        `receive_max`: messages that one receive of this source may bring.
        """
        self._spec = spec
        self._receive_max = receive_max
        self._pace = Pace(spec, slots_max)
        self.held_bytes = 0
        """Of messages that were received and are not finished."""
        self._gathered = Gathered()
        self._window_from_ms = 0
        self._ended_ms: int | None = None
        """When an invocation ended last: windows start there."""
        self._ready: list[Batch] = []
        self._open: dict[int, Batch] = {}
        """Batches with the function, or waiting for their turn, by their Invoke."""
        self._busy: set[str] = set()
        """The groups of these."""
        self._held: set[str] = set()
        """Ids of all messages that are gathered, ready or open."""
        self._again: dict[str, q.Message] = {}
        """Received again while the function has them: what becomes of them it will say."""
        self._receives: dict[int, tuple[int, int]] = {}
        """Receives that are open: how many messages were asked for, and when."""
        self._receive_from_ms = 0
        self._receive_misses = 0
        self.largest_bytes = MESSAGE_BYTES
        """Of one message, as far as is known."""
        self._bytes_max = limits.BUFFER_BYTES_MAX
        self._deletes = Deletes(spec)
        self._last_id = 0
        self._last_batch = 0
        self._is_open = False
        self._is_draining = False
        self._commands: list[q.Command] = []
        self._now_ms = 0

    def handle(self, event: q.Event, now_ms: int, _wall_ms: int) -> list[q.Command]:
        """Take in one event and return what to do now. Raises `EngineError`; see `Engine`."""
        if now_ms < self._now_ms:
            raise EngineError(f"time went back from {self._now_ms} to {now_ms}")
        self._now_ms = now_ms
        self._commands = []
        match event:
            case q.MessagesReceived():
                self._received(event)
            case q.InvocationStarted(command_id):
                self._started(command_id)
            case q.InvocationFinished(command_id, outcome):
                self._finished(command_id, outcome)
            case q.MessagesDeleted(command_id, failed):
                self._left(self._deletes.answered(command_id, failed, now_ms))
            case q.DeleteFailed(command_id):
                self._left(self._deletes.failed(command_id, now_ms))
            case q.ReceiveFailed(command_id):
                self._receive_failed(command_id)
            case e.Tick():
                pass
            case q.QueueOpened():
                self._is_open = True
            case e.SettingsChanged(spec):
                self._spec = spec
                self._pace.change(spec)
                self._deletes.change(spec)
            case e.RoomChanged(bytes_max):
                self._bytes_max = limits.BUFFER_BYTES_MAX if bytes_max is None else bytes_max
            case e.DrainRequested():
                self._is_draining = True
                while (batch := next((it for it in self._ready if it.misses), None)) is not None:
                    self._give_up(batch)
            case e.Resumed():
                self._is_draining = False
        self._work()
        return self._commands

    def next_wakeup_ms(self) -> int | None:
        """When to send the next `Tick` (monotonic), None if only an event can change anything."""
        wishes = [batch.attempt_from_ms for batch in self._ready]
        if self._gathered:
            wishes.append(self._window_from_ms + self._spec.window_ms)
        if not self._is_draining:
            wishes.append(self._receive_from_ms)
        if (due_ms := self._deletes.next_ms()) is not None:
            wishes.append(due_ms)
        return min((wish for wish in wishes if wish > self._now_ms), default=None)

    @property
    def is_drained(self) -> bool:
        """After `DrainRequested`: nothing is received, held or on its way any more."""
        return (
            self._is_draining
            and not self._receives
            and not self._held
            and not self._again
            and self._deletes.is_idle
        )

    @property
    def held_records(self) -> int:
        """Messages received and not finished."""
        return len(self._held) + len(self._again)

    @property
    def running(self) -> int:
        """Batches the function has."""
        return sum(batch.has_started for batch in self._open.values())

    def lanes(self, now_ms: int) -> list[LaneView]:
        """What is received and not finished, to look at."""
        return view_queue((*self._open.values(), *self._ready), self._gathered, now_ms)

    # Facts.

    def _received(self, event: q.MessagesReceived) -> None:
        asked, asked_ms = self._close_receive(event.command_id)
        self._receive_misses = 0
        count = len(event.messages) + len(event.left_out)
        if not count:
            self._pace.was_quiet()
            if self._now_ms - asked_ms < EARLY_PAUSE_MS:
                self._receive_from_ms = self._now_ms + EARLY_PAUSE_MS
            return
        is_plenty = 2 * count >= min(asked, RECEIVE_FULL)
        self._pace.received(is_plenty=is_plenty, now_ms=self._now_ms)
        if event.left_out:
            self._deletes.add(event.left_out)
        for message in event.messages:
            self.largest_bytes = max(self.largest_bytes, message.size_bytes)
            self._take_in(message)

    def _take_in(self, message: q.Message) -> None:
        """One message; when it is here, or handled, already its visibility timeout has ended."""
        name = message.event_id
        if name in self._deletes:
            self._deletes.renew(_receipt(message), self._now_ms)
        elif name not in self._held:
            self._gather(message)
        elif any(one.event_id == name for batch in self._open.values() for one in batch.messages):
            self._hold(message)
            if (older := self._again.get(name)) is not None:
                self._release(older)
            self._again[name] = message
        else:
            self._replace(message)

    def _replace(self, message: q.Message) -> None:
        """A newer receipt of a message that waits here takes its place."""
        older = self._gathered.replace(message)
        for batch in self._ready if older is None else ():
            older = older or batch.replace(message)
        if older is not None:
            self._release(older)
            self._hold(message)

    def _gather(self, message: q.Message) -> None:
        if not self._gathered:
            self._window_from_ms = window_start_ms(
                self._ended_ms, self._now_ms, self._spec.window_ms
            )
        self._held.add(message.event_id)
        self._hold(message)
        self._gathered.add(message)

    def _receive_failed(self, command_id: int) -> None:
        self._close_receive(command_id)
        self._receive_misses += 1
        self._pace.was_quiet()
        self._receive_from_ms = self._now_ms + self._backoff_ms(
            "receive", self._receive_misses, RECEIVE_BACKOFF_MS_MAX
        )

    def _started(self, command_id: int) -> None:
        batch = self._open.get(command_id)
        if batch is None or batch.has_started:
            raise EngineError(f"no Invoke with id {command_id} waits for its turn")
        batch.has_started = True
        if self._now_ms - batch.issued_ms > WAITED_MS:
            self._pace.waited()

    def _finished(self, command_id: int, outcome: Outcome) -> None:
        batch = self._open.pop(command_id, None)
        if batch is None:
            raise EngineError(f"no Invoke with id {command_id} waits for an answer")
        self._busy -= batch.groups
        self._ended_ms = self._now_ms
        match outcome:
            case NotRun():
                self._not_run(batch)
            case Succeeded():
                self._conclude(batch.messages, ())
            case PartlySucceeded(failed=indexes):
                self._partly_succeeded(batch, indexes)
            case Failed():
                self._conclude((), batch.messages)
        if not isinstance(outcome, NotRun | Succeeded) and not self._spec.is_reporting_failures:
            self._pace.failed(self._now_ms)

    def _not_run(self, batch: Batch) -> None:
        """No slot, or nothing to run: the same batch again, while nobody else can get it."""
        self._pace.failed(self._now_ms)
        self._pace.waited()
        batch.has_started = False
        batch.misses += 1
        batch.keep(tuple(self._newest(message) for message in batch.messages))
        wait_ms = self._backoff_ms("invoke", batch.misses, self._spec.backoff_ms_max)
        batch.attempt_from_ms = min(self._now_ms + wait_ms, max(self._now_ms + 1, batch.until_ms))
        self._ready.append(batch)
        self._ready.sort(key=lambda one: one.number)
        if self._is_draining:
            self._give_up(batch)

    def _partly_succeeded(self, batch: Batch, indexes: tuple[int, ...]) -> None:
        size = len(batch.messages)
        if not indexes or not 0 <= min(indexes) <= max(indexes) < size:
            raise EngineError(f"reported failures outside a batch of {size} messages")
        failed = set(indexes)
        self._conclude(
            tuple(one for index, one in enumerate(batch.messages) if index not in failed),
            tuple(one for index, one in enumerate(batch.messages) if index in failed),
        )

    def _conclude(self, done: Iterable[q.Message], failed: tuple[q.Message, ...]) -> None:
        """What is done is deleted; what failed is left, and what came behind it in its group."""
        receipts = []
        for message in done:
            self._forget(message)
            again = self._again.pop(message.event_id, None)
            if again is None or not message.key:  # a FIFO queue takes the last receipt only
                receipts.append(_receipt(message))
            if again is not None:
                receipts.append(_receipt(again))
                self._release(again)
        if receipts:
            self._deletes.add(receipts)
        if not failed:
            return
        for message in failed:
            self._forget(message)
        self._drop_groups(groups_of(failed))
        for message in failed:
            if (again := self._again.pop(message.event_id, None)) is not None:
                # It is visible again, and here is its next receipt, if that is not over as well.
                self._release(again)
                if again.until_ms > self._now_ms:
                    self._gather(again)

    def _left(self, receipts: Iterable[q.Receipt]) -> None:
        """They were handled and come again, and what is behind them in their groups after them."""
        self._drop_groups({receipt.group for receipt in receipts if receipt.group})

    def _newest(self, message: q.Message) -> q.Message:
        again = self._again.pop(message.event_id, None)
        if again is None:
            return message
        self._release(message)
        return again

    def _drop_groups(self, groups: Iterable[str], behind: Batch | None = None) -> None:
        """Nothing behind a message that was left may overtake it.

        `behind`: the batch it was in, which goes on with what was in front of it.
        """
        lost = frozenset(groups)
        if not lost:
            return
        for message in self._gathered.drop(lost):
            self._forget(message)
        for batch in [it for it in self._ready if it is not behind and it.groups & lost]:
            for message in batch.messages:
                if message.key in lost:
                    self._forget(message)
            batch.keep(tuple(one for one in batch.messages if one.key not in lost))
            if not batch.messages:
                self._ready.remove(batch)

    def _give_up(self, batch: Batch) -> None:
        """Leave a batch that never ran to its visibility timeout."""
        self._ready.remove(batch)
        for message in batch.messages:
            self._forget(message)
        self._drop_groups(batch.groups)

    # Work: everything that can be done now is done.

    def _work(self) -> None:
        self._form()
        for receipts, number in self._deletes.due(self._now_ms):
            command_id = self._next_id()
            self._deletes.issued(command_id, number)
            self._commands.append(q.Delete(command_id, receipts))
        is_waiting = self._launch()
        if self._is_open and not is_waiting and not self._is_draining:
            self._receive()

    def _form(self) -> None:
        """Close the batches that are complete: by size, bytes or window."""
        spec, gathered = self._spec, self._gathered
        while gathered and (
            self._is_draining
            or self._now_ms >= self._window_from_ms + spec.window_ms
            or gathered.is_full(spec)
        ):
            self._last_batch += 1
            self._ready.append(Batch(self._last_batch, gathered.take(spec), self._now_ms))
            if spec.window_ms:
                self._window_from_ms = self._now_ms

    def _launch(self) -> bool:
        """Hand out what may run. Whether a batch waits for something besides its groups."""
        is_waiting = any(not batch.has_started for batch in self._open.values())
        blocked = self._busy.union(self._deletes.groups)
        for batch in tuple(self._ready):
            if batch not in self._ready:
                continue  # gone with a group
            if batch.groups & blocked:
                blocked |= batch.groups
                continue
            is_late = batch.attempt_from_ms > self._now_ms
            if is_late or len(self._open) >= self._pace.batches_max:
                blocked |= batch.groups
                is_waiting = True
                continue
            if batch.formed_ms != self._now_ms and not self._is_hidden(batch):
                continue
            self._invoke(batch)
            blocked |= batch.groups
            is_waiting = True
        return is_waiting

    def _is_hidden(self, batch: Batch) -> bool:
        """Drop from a batch that has waited what others may have by now; False: nothing is left."""
        kept, expired = unexpired(batch.messages, self._now_ms)
        if expired:
            batch.keep(kept)
            for message in expired:
                self._forget(message)
            if not kept:
                self._ready.remove(batch)
            self._drop_groups(groups_of(expired), behind=batch)
        return bool(kept)

    def _invoke(self, batch: Batch) -> None:
        self._ready.remove(batch)
        command_id = self._next_id()
        batch.issued_ms = self._now_ms
        self._open[command_id] = batch
        self._busy |= batch.groups
        self._commands.append(
            q.Invoke(command_id, batch.messages, batch.misses + 1, batch.until_ms)
        )

    def _receive(self) -> None:
        """Ask for more while it can be run, and there is room for it."""
        if self._now_ms < self._receive_from_ms or self._deletes.is_crowded:
            return
        while len(self._receives) < self._pace.receives_max:
            messages_max = min(self._room(), self._spec.batch_size, self._receive_max)
            if messages_max < 1:
                return
            command_id = self._next_id()
            self._receives[command_id] = (messages_max, self._now_ms)
            self._commands.append(q.Receive(command_id, messages_max))

    def _room(self) -> int:
        """Messages that can be run, less those that are here or were asked for."""
        asked = sum(count for count, _ms in self._receives.values())
        batches = self._pace.batches_max - len(self._open) - len(self._ready)
        messages = batches * self._spec.batch_size - len(self._gathered) - asked
        by_bytes = (self._bytes_max - self.held_bytes) // self.largest_bytes - asked
        if by_bytes < 1 and not asked and not self.held_bytes:
            by_bytes = 1  # however little room there is, it moves on
        return min(messages, by_bytes)

    # What is held.

    def _hold(self, message: q.Message) -> None:
        self.held_bytes += message.size_bytes

    def _release(self, message: q.Message) -> None:
        self.held_bytes -= message.size_bytes

    def _forget(self, message: q.Message) -> None:
        self._held.discard(message.event_id)
        self._release(message)

    def _close_receive(self, command_id: int) -> tuple[int, int]:
        asked = self._receives.pop(command_id, None)
        if asked is None:
            raise EngineError(f"no Receive with id {command_id} waits for an answer")
        return asked

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _backoff_ms(self, what: str, misses: int, wait_ms_max: int) -> int:
        return backoff.backoff_ms(
            misses,
            limits.BACKOFF_MS_MIN,
            min(wait_ms_max, self._spec.backoff_ms_max),
            f"{self._spec.uuid}\0{what}",
        )


def is_fifo(spec: MappingSpec) -> bool:
    """Whether the mapping's queue keeps the order of its groups."""
    return spec.kind is SourceKind.FIFO


def _receipt(message: q.Message) -> q.Receipt:
    return q.Receipt(message.event_id, message.receipt, message.until_ms, message.key)
