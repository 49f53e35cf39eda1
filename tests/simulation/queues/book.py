"""What became of each message, and what the router was allowed to do with it.

Checked after every step, by names and never by counts: D1, D2, D5, D6, D9, D11, D12, L1, L2, S1
(`reliability.md` 2) and P20, P24, P25 (`event-source-mappings.md`).
"""

from collections.abc import Callable, Iterable, Sequence

from router.mapping import engine as e
from router.mapping import queue_events as q
from router.model import limits
from router.model.mapping_spec import MappingSpec
from router.model.outcome import NotRun, PartlySucceeded, Succeeded
from tests.simulation.queues.naive import NaiveMessage
from tests.simulation.queues.options import QueueOptions
from tests.simulation.shard_state import Violation

SOMETIMES = (
    "window_fired_short",
    "batch_full",
    "batch_hit_6_mib",
    "several_groups_in_a_batch",
    "filtered",
    "partial",
    "failed",
    "throttled",
    "concurrency_limit_reached",
    "receive_lost",
    "received_twice",
    "received_while_it_runs",
    "receipt_expired",
    "delete_failed",
    "delete_lost",
    "dead",
    "handled_and_dead",
    "waited_behind_its_group",
    "came_again_after_a_failure",
    "crash_with_open_invocation",
    "duplicate_after_crash",
    "drained_and_restarted",
    "paused_and_resumed",
    "settings_changed_in_flight",
    "fault_free",
    "never_in_vain",
    "dead_exactly_poison",
)
"""Each must be seen in so many seeds: else the options are drawn too tamely."""

CEILING = 1_250
"""Batches of one queue at a time (8.2)."""

POLLER_BATCHES = 10

CROWD = 10_000


def batches_max(spec: MappingSpec, slots: int) -> int:
    """How many batches may run at a time, as the contract has it (8.2, 8.3)."""
    own = CEILING if spec.concurrency_max is None else spec.concurrency_max
    if spec.pollers is not None:
        own = spec.pollers.maximum * POLLER_BATCHES
    return min(own, slots)


class Message:
    """One message over all lives of the router."""

    __slots__ = (
        "group", "handed", "handed_in", "is_dead", "is_filtered", "is_gone", "is_handled",
        "name", "number", "received",
    )  # fmt: skip

    def __init__(self, name: str, number: int, group: str) -> None:
        self.name, self.number, self.group = name, number, group
        self.is_handled = False
        """Some invocation said so."""
        self.is_filtered = False
        self.is_gone = False
        """Deleted."""
        self.is_dead = False
        self.handed = 0
        self.handed_in = 0
        """Life that handed it over last."""
        self.received = 0

    @property
    def is_over(self) -> bool:
        """Nothing is left to do."""
        return self.is_gone or self.is_dead


class QueueBook:
    """Books over all lives of one mapping. Raises `Violation`."""

    def __init__(
        self,
        options: QueueOptions,
        seen: set[str],
        now_ms: Callable[[], int],
        hidden_until_ms: Callable[[str], int],
    ) -> None:
        """`hidden_until_ms`: until when nobody else gets a message; 0 when it is not there."""
        self._options = options
        self._seen = seen
        self._now_ms = now_ms
        self._hidden_until_ms = hidden_until_ms
        self.messages: dict[str, Message] = {}
        self._groups: dict[str, list[Message]] = {}
        self.duplicates = 0
        self._life = 0
        self._spec = options.spec
        self._begin_life()

    def _begin_life(self) -> None:
        self._life += 1
        self._open: dict[int, q.Command] = {}
        self._running: dict[int, q.Invoke] = {}
        """Batches with the function."""
        self._ended: dict[int, tuple[frozenset[str], bool]] = {}
        """Invocations that ended: what failed, and whether the whole reply counted."""
        self._unrun: dict[str, int] = {}
        """Received for the function and not handed over yet, with when."""
        self._filtered_receipts: set[str] = set()
        self._last_id = 0
        self._is_draining = False
        self._blurred_ms = self._now_ms()

    # The queue

    def sent(self, name: str, number: int, group: str) -> None:
        """One more message."""
        message = self.messages[name] = Message(name, number, group)
        if group:
            self._groups.setdefault(group, []).append(message)

    def lost(self, names: Iterable[str]) -> None:
        """A receive whose answer never came."""
        self._seen.add("receive_lost")

    def twice(self, name: str) -> None:
        """A standard queue handed out what was hidden."""
        self._seen.add("received_twice")

    def received(
        self, found: Sequence[tuple[str, str, bool]], visibility_s: int, spec: MappingSpec
    ) -> None:
        """An answer is on its way to the router: name, receipt, whether filters let it through.

        `spec`: the settings it was asked for under.
        """
        options = self._options
        needed_ms = spec.window_ms + FUNCTION_MS
        if found and spec.window_ms and visibility_s * 1_000 < needed_ms:
            raise Violation("Q1", f"hidden for {visibility_s} s, needed: {needed_ms} ms")
        running = {one.event_id for batch in self._running.values() for one in batch.messages}
        for name, receipt, is_passing in found:
            message = self.messages[name]
            message.received += 1
            if not is_passing:
                message.is_filtered = True
                self._filtered_receipts.add(receipt)
                self._seen.add("filtered")
                continue
            if name in running:
                self._seen.add("received_while_it_runs")
                continue
            if options.is_never_in_vain and message.received > 1:
                raise Violation("Q2", f"{name} was received {message.received} times, in vain")
            if message.received > 1 and message.handed:
                self._seen.add("came_again_after_a_failure")
            self._unrun[name] = self._now_ms()

    def deleting(self, name: str, receipt: str) -> None:
        """The router asks for it to be gone: only what is handled or filtered (D1, P20)."""
        message = self.messages[name]
        if not message.is_handled and not message.is_filtered:
            raise Violation("D1", f"{receipt} is deleted, and was never handled")
        is_left_out = receipt in self._filtered_receipts
        if not message.is_handled and not is_left_out:
            raise Violation("D1", f"{receipt} is deleted, and was not what filters left out")

    def deleted(self, names: Iterable[str]) -> None:
        """They are gone."""
        for name in names:
            self.messages[name].is_gone = True

    def died(self, one: NaiveMessage) -> None:
        """It went to the dead-letter queue."""
        message = self.messages[one.id]
        message.is_dead = True
        self._seen.add("dead")
        if message.is_handled:
            self._seen.add("handled_and_dead")

    # The router

    def started(self, spec: MappingSpec) -> None:
        """Another life."""
        self._spec = spec
        self._begin_life()

    def crashed(self) -> None:
        """What it had goes back by itself."""
        if self._running:
            self._seen.add("crash_with_open_invocation")

    def running(self, names: tuple[str, ...]) -> q.Invoke:
        """The function gets a batch: the very one that the engine asked for."""
        for command in self._open.values():
            number = command.command_id
            if not isinstance(command, q.Invoke) or number in {*self._running, *self._ended}:
                continue
            if tuple(one.event_id for one in command.messages) == names:
                self._running[number] = command
                self._check_start(command)
                return command
        raise Violation("D1", f"the function got what nobody asked for: {names}")

    def _check_start(self, command: q.Invoke) -> None:
        now_ms = self._now_ms()
        for one in command.messages:
            message = self.messages[one.event_id]
            if message.handed and message.is_handled:
                self.duplicates += 1
                if message.handed_in < self._life:
                    self._seen.add("duplicate_after_crash")
            message.handed += 1
            message.handed_in = self._life
            self._unrun.pop(one.event_id, None)
            hidden_ms = self._hidden_until_ms(one.event_id)
            late_ms = self._options.tick_late_ms_max
            if self._options.visibility_s >= 10 and hidden_ms and hidden_ms + late_ms < now_ms:
                raise Violation("Q3", f"{one.event_id} runs, hidden until {hidden_ms}")
        if self._options.is_fifo:
            self._check_order(command)

    def _check_order(self, command: q.Invoke) -> None:
        """Nothing overtakes what is before it in its group, also around failures (D5, P25)."""
        first: dict[str, int] = {}
        before: dict[str, set[str]] = {}
        for one in command.messages:
            message = self.messages[one.event_id]
            inside = before.setdefault(one.key, set())
            if message.number <= first.get(one.key, 0):
                raise Violation("D5", f"{message.name} after {first[one.key]} in its batch")
            first[one.key] = message.number
            for earlier in self._groups[one.key]:
                if earlier.number >= message.number:
                    break
                if earlier.is_over or earlier.name in inside or earlier.is_filtered:
                    continue
                raise Violation("D5", f"{message.name} before {earlier.name} of {one.key}")
            inside.add(message.name)

    def ended(self, command_id: int, failed: frozenset[str], *, is_valid: bool) -> None:
        """The truth about an invocation, before the engine hears of it."""
        command = self._running.pop(command_id)
        self._ended[command_id] = (failed, is_valid)
        for one in command.messages:
            if one.event_id not in failed:
                self.messages[one.event_id].is_handled = True
        if failed:
            self._seen.add("partial" if len(failed) < len(command.messages) else "failed")

    # The conversation with the engine

    def heard(self, event: q.Event) -> None:
        """The engine is about to hear this."""
        match event:
            case q.InvocationFinished(command_id, outcome):
                command = self._open.pop(command_id)
                assert isinstance(command, q.Invoke)
                if isinstance(outcome, NotRun):
                    self._seen.add("throttled")
                    if command_id in self._ended:
                        raise Violation("D2", f"{command} ran, the engine hears {outcome}")
                    return
                if command_id not in self._ended:
                    raise Violation("D2", f"{command} never ended, but {outcome}")
                failed, _ = self._ended.pop(command_id)
                self._check_told(command, outcome, failed)
            case q.MessagesReceived() | q.ReceiveFailed():
                self._open.pop(event.command_id)
            case q.MessagesDeleted(command_id, failed_indexes):
                self._open.pop(command_id)
                if failed_indexes:
                    self._seen.add("delete_failed")
            case q.DeleteFailed(command_id):
                self._open.pop(command_id)
                self._seen.add("delete_lost")
            case e.SettingsChanged(spec):
                if self._running:
                    self._seen.add("settings_changed_in_flight")
                self._spec = spec
                self._blurred_ms = self._now_ms()
            case e.DrainRequested():
                self._is_draining = True
            case e.Resumed():
                self._is_draining = False
                self._blurred_ms = self._now_ms()

    def _check_told(self, command: q.Invoke, outcome: object, failed: frozenset[str]) -> None:
        """The engine hears what the function said (D2, D9)."""
        names = [one.event_id for one in command.messages]
        if isinstance(outcome, Succeeded):
            told = frozenset[str]()
        elif isinstance(outcome, PartlySucceeded):
            told = frozenset(names[index] for index in outcome.failed)
        else:
            told = frozenset(names)
        if told != failed:
            raise Violation("D9", f"failed: {sorted(failed)}, the engine hears {outcome}")

    def said(self, commands: Sequence[q.Command]) -> None:
        """The engine asked for this."""
        for command in commands:
            if command.command_id <= self._last_id:
                raise Violation("", f"command id {command.command_id} used again")
            self._last_id = command.command_id
            match command:
                case q.Receive():
                    self._check_receive(command)
                case q.Invoke():
                    self._check_invoke(command)
            self._open[command.command_id] = command

    def _check_receive(self, command: q.Receive) -> None:
        """No more is received than can be run (L2): waiting burns no receive count."""
        if self._is_draining:
            raise Violation("S1", f"received during a drain: {command}")
        asked = [it.messages_max for it in self._open.values() if isinstance(it, q.Receive)]
        most = batches_max(self._spec, self._options.slots) * self._spec.batch_size
        open_now = len(self._invokes) * self._spec.batch_size
        if command.messages_max + sum(asked) + open_now > most:
            raise Violation("L2", f"{asked} and {open_now} and then {command}, {most} can run")
        if command.messages_max > min(self._options.receive_max, self._spec.batch_size):
            raise Violation("D11", f"{command} for batches of {self._spec.batch_size}")

    def _check_invoke(self, command: q.Invoke) -> None:
        spec, now_ms = self._spec, self._now_ms()
        names = [one.event_id for one in command.messages]
        size_bytes = sum(one.size_bytes for one in command.messages)
        if command.until_ms <= now_ms:
            raise Violation("Q3", f"{names} are to run, hidden until {command.until_ms}")
        if not names or len(names) != len(set(names)):
            raise Violation("D1", f"a batch of {names}")
        if len(names) > 1 and size_bytes > limits.EVENT_BYTES_MAX:
            raise Violation("D11", f"{size_bytes} bytes in a batch")
        if len(names) > spec.batch_size and command.attempt == 1 and now_ms > self._blurred_ms:
            self._check_size(command)
        if len(names) == spec.batch_size:
            self._seen.add("batch_full")
        elif size_bytes > limits.EVENT_BYTES_MAX - limits.MIB:
            self._seen.add("batch_hit_6_mib")
        elif spec.window_ms:
            self._seen.add("window_fired_short")
        limit = batches_max(spec, self._options.slots)
        if len(self._invokes) >= limit:
            raise Violation("L1", f"{len(self._invokes) + 1} batches, {limit} may run")
        if len(self._invokes) + 1 == limit:
            self._seen.add("concurrency_limit_reached")
        self._check_apart(command)
        self._check_window(command)

    def _check_size(self, command: q.Invoke) -> None:
        """Settings hold for batches made since they came."""
        since = [self._unrun.get(one.event_id, 0) for one in command.messages]
        if max(since) > self._blurred_ms:
            raise Violation("D11", f"{len(since)} messages, at most {self._spec.batch_size}")

    def _check_apart(self, command: q.Invoke) -> None:
        """A message, and a group, is in one batch at a time (D6, P24)."""
        names = {one.event_id for one in command.messages}
        groups = {one.key for one in command.messages if one.key}
        if len(groups) > 1:
            self._seen.add("several_groups_in_a_batch")
        for other in self._invokes:
            if twice := names & {one.event_id for one in other.messages}:
                raise Violation("D6", f"{twice} in two batches at a time")
            if twice := groups & {one.key for one in other.messages}:
                raise Violation("P24", f"group {twice} in two batches at a time")
        if any(self._now_ms() - self._unrun.get(it, self._now_ms()) > 1_000 for it in names):
            self._seen.add("waited_behind_its_group")

    def _check_window(self, command: q.Invoke) -> None:
        """A batch does not wait longer than its window while it could run (D11)."""
        spec, options = self._spec, self._options
        is_free = options.is_without("slots", "rival", "throttles", "pauses", "drains", "settings")
        if not is_free or spec.concurrency_max or options.is_fifo or command.attempt > 1:
            return
        if len(self._invokes) >= 4:  # the pace may hold it back
            return
        since = [self._unrun[it.event_id] for it in command.messages if it.event_id in self._unrun]
        late_ms = options.tick_late_ms_max + 1
        if since and self._now_ms() - min(since) > spec.window_ms + late_ms:
            waited_ms = self._now_ms() - min(since)
            raise Violation("D11", f"a batch waited {waited_ms} ms, its window: {spec.window_ms}")

    @property
    def _invokes(self) -> list[q.Invoke]:
        return [it for it in self._open.values() if isinstance(it, q.Invoke)]

    def drained(self, is_drained: bool) -> None:
        """What the engine says about its drain must be true (S1)."""
        if is_drained and self._open:
            raise Violation("S1", f"drained with open commands: {list(self._open.values())}")

    # The end

    @property
    def is_settled(self) -> bool:
        """Every message is handled and gone, filtered and gone, or dead."""
        return all(message.is_over for message in self.messages.values())

    @property
    def backlog(self) -> int:
        """Messages that are not over."""
        return sum(not message.is_over for message in self.messages.values())

    def check_settled(self, poison: set[str]) -> None:
        """Liveness and the sum of it all: called when the time to settle is over."""
        left = [message.name for message in self.messages.values() if not message.is_over]
        if left:
            raise Violation("D1", f"never finished: {left[:20]}")
        for message in self.messages.values():
            if message.is_gone and not (message.is_handled or message.is_filtered):
                raise Violation("D1", f"{message.name} is gone and was never handled")
        if self._options.is_fault_free:
            self._seen.add("fault_free")
            if self.duplicates:
                raise Violation("D12", f"{self.duplicates} duplicates without a fault")
        if self._options.is_never_in_vain:
            self._seen.add("never_in_vain")
        if self._options.is_dead_exactly_poison:
            self._check_dead(poison)

    def _check_dead(self, poison: set[str]) -> None:
        """The dead-letter queue has what is poison, and nothing else (8.5)."""
        dead = {name for name, message in self.messages.items() if message.is_dead}
        spared = {name for name in poison if self.messages[name].is_filtered}
        if self._options.receives_max is not None and dead != poison - spared:
            raise Violation("Q4", f"dead: {dead - poison}, not dead: {poison - spared - dead}")
        if dead:
            self._seen.add("dead_exactly_poison")


FUNCTION_MS = 15_000
"""The function's timeout."""
