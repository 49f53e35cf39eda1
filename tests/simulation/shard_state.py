"""What one shard's records have been through, in sets of positions (D1, L2)."""

import itertools
from collections.abc import Iterable

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model import limits
from router.model.mapping_spec import MappingSpec
from router.model.progress import LaneHead, LaneProgress, ShardProgress
from router.model.record import Record
from tests.simulation.heads import Head, Plan
from tests.simulation.options import is_wanted


class Violation(AssertionError):
    """A promise was broken; `promise` is its id."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}" if promise else text)
        self.promise = promise
        self._text = text

    def __reduce__(self) -> tuple[type["Violation"], tuple[str, str]]:
        """Violations travel between processes."""
        return Violation, (self.promise, self._text)


def effective_factor(spec: MappingSpec) -> int:
    """A tumbling window is one state after the other, so its shard has one lane."""
    return 1 if spec.tumbling_window_ms else spec.factor


class LaneBook:
    """Times of one lane, for the window and the back-off."""

    def __init__(self, now_ms: int) -> None:
        self.free_ms = now_ms
        """When its last command was answered."""
        self.window_from_ms: int | None = None
        """When its last invocation ended; None before the first one of this life."""
        self.is_discarding = False
        """It gave up records before its first invocation: its window may have begun with them."""
        self.gathered_max = 0
        """Size of a batch that was gathered, and lost its front, before settings changed."""
        self.is_cut = False
        """Its new batch ends before an expired record."""
        self.is_blurred = False
        """Something happened that makes the exact time of the next batch unknowable here."""


class ShardState:
    """The records of one shard over all lives of the router, and what the engine has read."""

    def __init__(
        self,
        shard: str,
        parents: tuple[str, ...],
        progress: ShardProgress,
        seen: set[str],
        *,
        tick_ms: int,
        run_ahead: tuple[int, int],
    ) -> None:
        self.shard = shard
        self.parents = parents
        self.records: dict[int, Record] = {}
        self.start = progress.position
        self.trimmed_to = 0
        self.handed: set[int] = set()
        """Ever given to the function."""
        self.durable: set[int] = set()
        """Finished, and a restart knows it."""
        self.discarded: set[int] = set()
        self.stored = progress
        self.is_restarted = False
        self._seen = seen
        self._tick_ms = tick_ms
        self._records_max, self._bytes_max = run_ahead
        self._begin_life(now_ms=0)

    def _begin_life(self, now_ms: int) -> None:
        self.undone = {
            position: None
            for position in self.records
            if position not in self.durable and position > self.trimmed_to
        }
        self.by_key: dict[str, dict[int, None]] = {}
        for position in self.undone:
            self.by_key.setdefault(self.records[position].key, {})[position] = None
        self.not_durable: dict[int, int] = {}
        """Finished in this life but not stored yet, with the lane."""
        self.filtered: set[int] = set()
        """Left out by the mapping's filters: read again after a restart before the checkpoint."""
        self.fetched: dict[int, int] = {}
        """Unfinished records the engine holds, with when it got them."""
        self.held_bytes = 0
        self.heads: list[Head] = []
        self.owner: dict[int, Head] = {}
        self.open_lanes: dict[int, e.Invoke] = {}
        self.busy_lanes: set[int] = set()
        self.lanes: dict[int, LaneBook] = {}
        self.open_fetch: e.Fetch | None = None
        self.room_bytes: int | None = None
        self.is_fetch_failing = False
        self.read_to = self.stored.position
        self.horizon = self.stored.position
        self.is_end_read = False
        self.factors: set[int] = {self.stored.factor}
        self.opened_ms = now_ms

    # The world

    def appended(self, record: Record) -> None:
        """One more record is offered."""
        self.records[record.position] = record
        self.undone[record.position] = None
        self.by_key.setdefault(record.key, {})[record.position] = None

    def trimmed(self, trimmed_to: int) -> bool:
        """The source forgot; what the engine holds already must still be finished."""
        self.trimmed_to = max(self.trimmed_to, trimmed_to)
        lost = [p for p in self.undone if p <= self.trimmed_to and p not in self.fetched]
        for position in lost:
            self._forget(position)
        gone = set(lost)
        if gone:
            for head in self.heads:
                head.drop(gone.__contains__)
        return bool(lost)

    def _forget(self, position: int) -> None:
        del self.undone[position]
        del self.by_key[self.records[position].key][position]

    def started(self, spec: MappingSpec, stored: ShardProgress, now_ms: int) -> None:
        """A new life begins with what was stored."""
        self.is_restarted = now_ms > 0
        self.room_bytes = None
        self.stored = stored
        self._begin_life(now_ms)
        self.factors.add(effective_factor(spec))
        for lane in stored.lanes:
            if lane.head is not None:
                self._recover(lane, lane.head, spec)
            self.horizon = max(
                self.horizon,
                lane.position,
                *((lane.head.last, *lane.head.ends) if lane.head else ()),
            )

    def _recover(self, lane: LaneProgress, found: LaneHead, spec: MappingSpec) -> None:
        own = [
            p
            for p in self.undone
            if p > lane.position and lane_of(self.records[p].key, self.stored.factor) == lane.lane
        ]
        parts, begin = [], 0
        for end in (found.last, *found.ends):
            parts.append(tuple(p for p in own if begin < p <= end))
            begin = end
        attempts = found.attempts if parts[0] else 0
        alive = tuple(part for part in parts if part)
        if not alive:
            return
        self._begin_head(Head(lane.lane, [Plan(alive, attempts, spec)]), self.opened_ms)
        head = self.owner[alive[0][0]]
        head.is_recovered = True

    def changed(self, spec: MappingSpec, now_ms: int) -> None:
        """New settings."""
        self.factors.add(effective_factor(spec))
        if any(head.failed_ms is not None for head in self.heads):
            self._seen.add("settings_changed_in_retry")
        self.unsettle_times(now_ms)

    def unsettle_times(self, now_ms: int) -> None:
        """Windows may be counted from here: their exact ends are not checked once."""
        for lane in self.lanes.values():
            lane.is_blurred = True
            lane.free_ms = now_ms
        for head in self.heads:
            head.ready_ms = max(head.ready_ms, now_ms)
        self.opened_ms = now_ms

    # Reading (D1, L2)

    def fetch(self, command: e.Fetch) -> None:
        """The engine wants to read on."""
        if self.open_fetch is not None:
            raise Violation("L2", f"{self.shard}: two fetches at once")
        if self.is_end_read:
            raise Violation("L2", f"{self.shard}: fetch after its end")
        if command.after != self.read_to:
            raise Violation("D1", f"{self.shard}: fetch after {command.after}, read {self.read_to}")
        self.open_fetch = command
        if not 1 <= command.records_max <= limits.FETCH_RECORDS_MAX:
            raise Violation("L2", f"fetch of {command.records_max} records")
        if not 1 <= command.bytes_max <= limits.FETCH_BYTES_MAX:
            raise Violation("L2", f"fetch of {command.bytes_max} bytes")
        if self.read_to < self.horizon:
            return
        if len(self.fetched) + command.records_max > self._records_max:
            raise Violation("L2", f"{self.shard}: room for too many records asked for")
        if self.held_bytes + command.bytes_max > self._bytes_max:
            raise Violation("L2", f"{self.shard}: room for too many bytes asked for")
        if self.room_bytes is not None and self.held_bytes + command.bytes_max > self.room_bytes:
            raise Violation("L2", f"{self.shard}: more asked for than all mappings leave to it")

    def fetch_answered(
        self,
        event: e.RecordsFetched | e.FetchFailed,
        spec: MappingSpec,
        now_ms: int,
        wall_ms: int,
    ) -> None:
        """The engine gets what it asked for."""
        self.open_fetch = None
        self.is_fetch_failing = isinstance(event, e.FetchFailed)
        if isinstance(event, e.FetchFailed):
            self._seen.add("fetch_failed")
            return
        if not event.records:
            self._seen.add("fetch_empty")
        self.note_read(event, wall_ms)
        for record in event.records:
            if not is_wanted(record, spec):
                raise Violation("D1", f"{self.shard}: {record.position} passed {spec.filters}")
            if record.position in self.undone:
                self.fetched[record.position] = now_ms
                self.held_bytes += record.size_bytes
        self._leave_out(event, spec)
        self.read_to = event.read_to
        self.is_end_read = event.is_end
        if self.room_bytes is not None and self.held_bytes * 4 > self.room_bytes * 3:
            self._seen.add("room_full")
        if len(self.fetched) * 4 > self._records_max * 3 or self.held_bytes > self._bytes_max * 0.7:
            self._seen.add("run_ahead_full")

    def note_read(self, event: e.RecordsFetched, wall_ms: int) -> None:
        """For the rules above this one."""

    def _leave_out(self, event: e.RecordsFetched, spec: MappingSpec) -> None:
        """What was read and did not come must have been left out by the filters, and ends so."""
        left = [
            position
            for position in itertools.takewhile(lambda p: p <= event.read_to, self.undone)
            if position > self.read_to and position not in self.fetched
        ]
        for position in left:
            if is_wanted(self.records[position], spec):
                raise Violation("D1", f"{self.shard}: {position} was read, and is not there")
            self._forget(position)
            self.filtered.add(position)
        if left:
            self._seen.add("filtered" if event.records else "stretch_filtered")
            gone = set(left)
            for head in self.heads:
                head.drop(gone.__contains__)

    # Batches that have begun

    def _begin_head(self, head: Head, now_ms: int) -> Head:
        self.heads.append(head)
        head.ready_ms = now_ms
        for position in head.positions:
            self.owner[position] = head
        return head

    def _sweep(self) -> None:
        self.heads = [
            head for head in self.heads if head.invoked or any(p.parts for p in head.plans)
        ]

    def _finish(self, batch: Iterable[int], lane: int) -> None:
        for position in batch:
            if position in self.undone:
                self._forget(position)
            self.not_durable[position] = lane
            self._let_go(position)

    def _let_go(self, position: int) -> None:
        self.owner.pop(position, None)
        if self.fetched.pop(position, None) is not None:
            self.held_bytes -= self.records[position].size_bytes
