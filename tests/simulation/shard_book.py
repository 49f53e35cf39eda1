"""What one shard's records have been through, in sets of positions."""

import itertools
from collections.abc import Iterable

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model import limits
from router.model.mapping_spec import MappingSpec
from router.model.progress import LaneHead, LaneProgress, ProgressUpdate, ShardProgress
from router.model.record import Record
from tests.simulation.heads import ENVELOPE_BYTES, Head, Kind, Plan, Verdict, is_expired

RETRY_MS_MIN = 250
"""A failed attempt is not repeated sooner (half the first back-off leaves room for jitter)."""


class Violation(AssertionError):
    """A promise was broken; `promise` is its id."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}" if promise else text)
        self.promise = promise


class LaneBook:
    """Times of one lane, for the window and the back-off."""

    def __init__(self, now_ms: int) -> None:
        self.free_ms = now_ms
        """When its last command was answered."""
        self.window_from_ms: int | None = None
        """When its last invocation ended; None before the first one of this life."""
        self.is_discarding = False
        """It gave up records before its first invocation: its window may have begun with them."""
        self.is_cut = False
        """Its new batch ends before an expired record."""
        self.is_blurred = False
        """Something happened that makes the exact time of the next batch unknowable here."""


class ShardBook:
    """Books of one shard over all lives of the router."""

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
        self.fetched: dict[int, int] = {}
        """Unfinished records the engine holds, with when it got them."""
        self.held_bytes = 0
        self.heads: list[Head] = []
        self.owner: dict[int, Head] = {}
        self.open_lanes: dict[int, e.Invoke] = {}
        self.busy_lanes: set[int] = set()
        self.lanes: dict[int, LaneBook] = {}
        self.open_fetch: e.Fetch | None = None
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
        self.stored = stored
        self._begin_life(now_ms)
        self.factors.add(spec.factor)
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
        self.factors.add(spec.factor)
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

    def fetch_answered(self, event: e.RecordsFetched | e.FetchFailed, now_ms: int) -> None:
        """The engine gets what it asked for."""
        self.open_fetch = None
        self.is_fetch_failing = isinstance(event, e.FetchFailed)
        if isinstance(event, e.FetchFailed):
            self._seen.add("fetch_failed")
            return
        if not event.records:
            self._seen.add("fetch_empty")
        for record in event.records:
            if record.position in self.undone:
                self.fetched[record.position] = now_ms
                self.held_bytes += record.size_bytes
        self.read_to = event.read_to
        self.is_end_read = event.is_end
        if len(self.fetched) * 4 > self._records_max * 3 or self.held_bytes > self._bytes_max * 0.7:
            self._seen.add("run_ahead_full")

    # Invoking (D2, D5, D6, D8, D10, D11, D12)

    def invoke(self, command: e.Invoke, spec: MappingSpec, now_ms: int, wall_ms: int) -> None:
        """An attempt starts."""
        batch = tuple(record.position for record in command.records)
        self._check_slot(command)
        self._check_order(command, batch)
        lane = self.lanes.setdefault(command.lane, LaneBook(self.opened_ms))
        self._check_stored(command.lane)
        head = self.owner.get(batch[0])
        if head is None:
            self._check_new_batch(command, batch, spec, now_ms, wall_ms, lane)
            head = self._begin_head(Head(command.lane, [Plan((batch,), 0, spec)]), now_ms)
            head.is_open_ended, lane.is_cut = lane.is_cut, False
        else:
            self._check_again(command, batch, head, spec, now_ms, wall_ms)
        head.lane = command.lane
        head.invoked = batch
        self.open_lanes[command.lane] = command
        lane.is_blurred = False
        if command.attempt > 1:
            self._seen.add("retry")

    def _check_slot(self, command: e.Invoke) -> None:
        if command.lane in self.open_lanes or command.lane in self.busy_lanes:
            raise Violation("D6", f"{self.shard}: lane {command.lane} is busy")
        if not 0 <= command.lane < max(self.factors):
            raise Violation("D6", f"{self.shard}: no lane {command.lane}")
        if len(self.open_lanes) >= max(self.factors):
            raise Violation("L1", f"{self.shard}: more invocations than lanes")
        if not command.records:
            raise Violation("D11", f"{self.shard}: an empty batch")

    def _check_order(self, command: e.Invoke, batch: tuple[int, ...]) -> None:
        """Each key's unfinished records, in order, none left out (D5), none repeated (D12)."""
        if any(a >= b for a, b in itertools.pairwise(batch)):
            raise Violation("D5", f"{self.shard}: not in order: {batch}")
        nexts: dict[str, Iterable[int]] = {}
        for record in command.records:
            if self.records.get(record.position) != record:
                raise Violation("D1", f"{self.shard}: not a record of the source: {record}")
            if record.position not in self.undone:
                raise Violation("D12", f"{self.shard}: {record.position} is finished already")
            if record.position not in self.fetched:
                raise Violation("D1", f"{self.shard}: {record.position} was never read")
            key = nexts.setdefault(record.key, iter(self.by_key[record.key]))
            expected = next(key)
            if record.position != expected:
                raise Violation(
                    "D5", f"{self.shard}: {record.position} of {record.key} before {expected}"
                )
        if self.factors == {1}:
            expected_all = [p for p, _ in zip(self.undone, batch, strict=False)]
            if list(batch) != expected_all:
                raise Violation("D5", f"{self.shard}: {batch} before {expected_all}")

    def _check_stored(self, lane: int) -> None:
        """Persist before the next batch of the same lane starts (3.2)."""
        waiting = [p for p, index in self.not_durable.items() if index == lane]
        if waiting:
            raise Violation("D12", f"{self.shard}: lane {lane} goes on, not stored: {waiting}")

    def _check_new_batch(
        self,
        command: e.Invoke,
        batch: tuple[int, ...],
        spec: MappingSpec,
        now_ms: int,
        wall_ms: int,
        lane: LaneBook,
    ) -> None:
        if command.attempt != 1:
            raise Violation("D10", f"{self.shard}: new batch with attempt {command.attempt}")
        if any(position in self.owner for position in batch):
            raise Violation("D8", f"{self.shard}: {batch} mixes begun and new records")
        for record in command.records:
            if is_expired(wall_ms - record.arrival_ms, spec):
                raise Violation("D10", f"{self.shard}: {record.position} is too old")
        size_bytes = ENVELOPE_BYTES + sum(record.size_bytes for record in command.records)
        if len(batch) > spec.batch_size:
            raise Violation("D11", f"{self.shard}: {len(batch)} records in a batch")
        if size_bytes > spec.event_bytes_max:
            raise Violation("D11", f"{self.shard}: an event of {size_bytes} bytes")
        self._check_window(command, batch, spec, now_ms, wall_ms, lane, size_bytes)

    def _check_window(
        self,
        command: e.Invoke,
        batch: tuple[int, ...],
        spec: MappingSpec,
        now_ms: int,
        wall_ms: int,
        lane: LaneBook,
        size_bytes: int,
    ) -> None:
        """A batch closes on size, bytes or window, whichever comes first, and then at once."""
        is_full = len(batch) == spec.batch_size
        factor = self._lane_map(command)
        if factor is None:
            return
        following = None if is_full else self._next_in_lane(command, batch, factor)
        if is_full:
            self._seen.add("batch_full")
        elif following is not None:
            record = self.records[following]
            if size_bytes + record.size_bytes > spec.event_bytes_max:
                is_full = True
                self._seen.add("batch_hit_6_mib")
            elif is_expired(wall_ms - record.arrival_ms, spec):
                lane.is_cut = True  # before it: how much was gathered does not show
                return
            elif not lane.is_blurred:
                raise Violation("D11", f"{self.shard}: {following} would have fitted in {batch}")
        if lane.is_blurred:
            return
        closed_ms = self.fetched[batch[0]]
        if is_full:
            closed_ms = max(self.fetched[p] for p in (batch[-1], following or batch[-1]))
        due_ms = max(lane.free_ms, closed_ms, self.opened_ms)
        if not is_full:
            due_ms += spec.window_ms
        if now_ms > due_ms + self._tick_ms:
            raise Violation("D11", f"{self.shard}: {batch} waited until {now_ms}, due {due_ms}")
        # While nothing more is read for want of room, waiting could not fill the batch.
        is_reading = self.open_fetch is not None or self.is_fetch_failing
        is_early_allowed = is_full or not is_reading or size_bytes >= spec.event_bytes_max
        if spec.window_ms and not is_early_allowed and not lane.is_discarding:
            from_ms = lane.window_from_ms
            started_ms = self.fetched[batch[0]] if from_ms is None else from_ms
            if now_ms < started_ms + spec.window_ms:
                raise Violation("D11", f"{self.shard}: {batch} sent before its window was over")
            self._seen.add("window_fired_short")

    def _lane_map(self, command: e.Invoke) -> int | None:
        """The factor this batch was drawn with; None while a change makes it a guess."""
        fitting = [
            factor
            for factor in self.factors
            if all(lane_of(record.key, factor) == command.lane for record in command.records)
        ]
        if not fitting:
            raise Violation("D6", f"{self.shard}: lane {command.lane} holds keys of other lanes")
        return fitting[0] if len(fitting) == 1 else None

    def _next_in_lane(self, command: e.Invoke, batch: tuple[int, ...], factor: int) -> int | None:
        """The record that could have come next in this batch, were there room."""
        for position in self.fetched:
            if position > batch[-1] and lane_of(self.records[position].key, factor) == command.lane:
                return position
        return None

    def _check_again(
        self,
        command: e.Invoke,
        batch: tuple[int, ...],
        head: Head,
        spec: MappingSpec,
        now_ms: int,
        wall_ms: int,
    ) -> None:
        """An attempt of a batch that has begun (D8, D10)."""

        def age(position: int) -> int:
            return wall_ms - self.records[position].arrival_ms

        self._check_head_stored(head)
        plans = head.try_invoke(batch, command.attempt, spec, age, self.records.__getitem__)
        if not plans:
            raise Violation(
                "D10", f"{self.shard}: attempt {command.attempt} of {batch}, not one of {head}"
            )
        head.plans = plans
        if head.failed_ms is not None and not head.is_recovered:
            if head.is_surely_again and now_ms < head.failed_ms + RETRY_MS_MIN:
                raise Violation("D10", f"{self.shard}: {batch} repeated without a back-off")
            wait_ms_max = spec.backoff_ms_max
        else:
            wait_ms_max = 0 if not head.is_recovered else spec.backoff_ms_max
        lane = self.lanes[command.lane]
        due_ms = max(head.ready_ms, lane.free_ms, *(self.fetched[p] for p in batch)) + wait_ms_max
        if now_ms > due_ms + self._tick_ms and not lane.is_blurred:
            raise Violation("D11", f"{self.shard}: {batch} tried at {now_ms}, due {due_ms}")
        if head.is_recovered:
            self._seen.add("restart_resumed_head")
            head.is_recovered = False
        if len(head.plans[0].parts) > 2:
            self._seen.add("bisect_nested")

    def _check_head_stored(self, head: Head) -> None:
        """A record that kills the router must not reset its own budget (7a)."""
        if head.was_refused:
            return
        found = next((lane for lane in self.stored.lanes if lane.lane == head.lane), None)
        stored = found.head if found is not None else None
        if not head.fits_stored(stored, self.trimmed_to):
            raise Violation(
                "D10", f"{self.shard}: lane {head.lane} retries {head}, stored {stored}"
            )

    def _begin_head(self, head: Head, now_ms: int) -> Head:
        self.heads.append(head)
        head.ready_ms = now_ms
        for position in head.positions:
            self.owner[position] = head
        return head

    def started_running(self, command: e.Invoke) -> int:
        """The function gets the batch. Returns how many records it has seen before (D12)."""
        batch = [record.position for record in command.records]
        repeated = sum(position in self.handed for position in batch)
        self.handed.update(batch)
        if repeated and command.attempt == 1 and self.is_restarted:
            self._seen.add("duplicate_after_crash")
        return repeated

    def ended(self, command: e.Invoke, verdict: Verdict, spec: MappingSpec) -> None:
        """An invocation's truth (D2)."""
        batch = tuple(record.position for record in command.records)
        head = self.owner[batch[0]]
        size = len(batch)
        head.finish(verdict, spec)
        match verdict.kind:
            case Kind.FINISHED:
                self._finish(batch, command.lane)
            case Kind.PARTLY if verdict.lowest > 0:
                self._finish(batch[: verdict.lowest], command.lane)
                self._seen.add("partial_progress")
            case Kind.PARTLY:
                self._seen.add("partial_without_progress")
            case Kind.INVALID:
                self._seen.add("invalid_response")
            case Kind.NOT_RUN:
                self._seen.add("throttled")
        if size > 1 and any(plan.parts and len(plan.parts[0]) == 1 for plan in head.plans):
            self._seen.add("bisect_reached_one")
        again = [bool(plan.parts) and plan.parts[0] == batch for plan in head.plans]
        head.failed_ms = -1 if any(again) else None
        head.is_surely_again = all(again)

    def lane_answered(self, lane: int, now_ms: int, *, is_invocation: bool) -> None:
        """A command of this lane has its answer."""
        book = self.lanes.setdefault(lane, LaneBook(now_ms))
        book.free_ms = now_ms
        if is_invocation:
            self.open_lanes.pop(lane, None)
            book.window_from_ms = now_ms
            book.is_discarding = False
            for head in self.heads:
                if head.lane == lane and head.failed_ms == -1:
                    head.failed_ms = now_ms
        else:
            book.is_discarding |= book.window_from_ms is None
            self.busy_lanes.discard(lane)
        self._sweep()

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

    # Storing (D3, D4, D7)

    def save(self, update: ProgressUpdate, spec: MappingSpec) -> None:
        """The engine wants this to be durable."""
        self._check_claim(update, frozenset())
        self._begin_write(update)
        self._check_head(update, spec)

    def discard(self, command: e.Discard, spec: MappingSpec, wall_ms: int) -> None:
        """The engine gives up on records."""
        update = command.update
        gone = tuple(record.position for record in command.records)
        lane = update.lane.lane
        self._check_order_of_discard(command, gone)
        self._check_claim(update, frozenset(gone))
        self._begin_write(update)
        if lane in self.open_lanes:
            raise Violation("D6", f"{self.shard}: discard beside an open invocation")

        def age(position: int) -> int:
            return wall_ms - self.records[position].arrival_ms

        head = self.owner.get(gone[0])
        if head is None:
            # What was gathered with it goes on as a batch (P10): it shows with the next attempt.
            self.lanes.setdefault(lane, LaneBook(self.opened_ms)).is_blurred = True
            parts = (gone, *self._told_parts(update))
            head = self._begin_head(Head(lane, [Plan(parts, 0, spec)]), 0)
        plans = head.try_discard(command, spec, age, self.records.__getitem__)
        if not plans:
            raise Violation(
                "D10",
                f"{self.shard}: {command.condition} of {gone} after {command.invoke_count}, "
                f"not one of {head}",
            )
        head.begin_discard(command, plans)
        head.lane = lane
        self._check_head(update, spec)
        self._seen.add(
            {
                "RecordAgeExceeded": "discard_by_age",
                "RetryAttemptsExhausted": "discard_by_retries",
                "MaximumPayloadSizeExceeded": "discard_by_size",
            }[command.condition]
        )

    def _told_parts(self, update: ProgressUpdate) -> list[tuple[int, ...]]:
        """Parts gathered together with what is given up first, as the engine stores them."""
        head = update.lane.head
        if head is None:
            return []
        own = [
            position
            for position in self.fetched
            if position > update.lane.position
            and lane_of(self.records[position].key, update.factor) == update.lane.lane
        ]
        parts, begin = [], update.lane.position
        for end in (head.last, *head.ends):
            parts.append(tuple(position for position in own if begin < position <= end))
            begin = end
        return [part for part in parts if part]

    def _check_order_of_discard(self, command: e.Discard, gone: tuple[int, ...]) -> None:
        if not gone:
            raise Violation("D7", f"{self.shard}: an empty discard")
        nexts: dict[str, Iterable[int]] = {}
        for record in command.records:
            if record.position in self.discarded:
                raise Violation("D7", f"{self.shard}: {record.position} is discarded twice")
            if record.position not in self.undone or record.position not in self.fetched:
                raise Violation("D7", f"{self.shard}: {record.position} is not there to discard")
            key = nexts.setdefault(record.key, iter(self.by_key[record.key]))
            if (expected := next(key)) != record.position:
                raise Violation("D5", f"{self.shard}: discard of {gone} passes {expected}")

    def _begin_write(self, update: ProgressUpdate) -> None:
        lane = update.lane.lane
        if lane in self.busy_lanes:
            raise Violation("D4", f"{self.shard}: two writes of lane {lane} at once")
        self.busy_lanes.add(lane)

    def _check_claim(self, update: ProgressUpdate, gone: frozenset[int]) -> None:
        """What an update says is finished must be (D3)."""
        lane = update.lane
        if update.position > self.read_to or lane.position > max(self.read_to, self.horizon):
            raise Violation("D3", f"{self.shard}: {update} passes what was read: {self.read_to}")
        top = max(update.position, lane.position)
        for position in self.undone:
            if position > top:
                break
            if position in gone:
                continue
            if position <= update.position:
                raise Violation("D3", f"{self.shard}: {update} passes {position}")
            if lane_of(self.records[position].key, update.factor) == lane.lane:
                raise Violation("D3", f"{self.shard}: {lane} passes {position}")
        if lane.position > update.position:
            self._seen.add("lanes_ran_ahead")

    def _check_head(self, update: ProgressUpdate, spec: MappingSpec) -> None:
        """What is stored of a lane's head is what a restart needs (D10)."""
        stored = update.lane.head
        head = next((head for head in self.heads if head.lane == update.lane.lane), None)
        if head is None:
            if stored is None or max(stored.last, *stored.ends, 0) <= self.trimmed_to:
                return
            parts = self._told_parts(update)
            if stored.attempts or not parts:
                raise Violation("D10", f"{self.shard}: a head that never began: {update.lane}")
            # Gathered with a batch that was cut before an expired record.
            self._begin_head(Head(update.lane.lane, [Plan(tuple(parts), 0, spec)]), 0)
            return
        if head.is_open_ended and stored is not None:
            head.extend(self._told_parts(update))
            self.owner.update(dict.fromkeys(head.positions, head))
        plans = head.fits_stored(stored, self.trimmed_to)
        if not plans:
            raise Violation("D10", f"{self.shard}: stored {update.lane}, not one of {head}")
        head.plans = plans

    def discard_failed(self, lane: int) -> None:
        """Nothing was stored: the same records must be given up again."""
        for head in self.heads:
            if head.lane == lane and head.doomed:
                head.end_discard(is_stored=False)

    def applied(
        self, update: ProgressUpdate, gone: tuple[Record, ...], stored: ShardProgress
    ) -> None:
        """A write is durable (D4, D7)."""
        if stored.position < self.stored.position:
            raise Violation("D4", f"{self.shard}: back from {self.stored} to {stored}")
        self.stored = stored
        lane = update.lane
        for record in gone:
            self.discarded.add(record.position)
        if gone:
            self._finish([record.position for record in gone], lane.lane)
            for head in self.heads:
                if head.lane == lane.lane and head.doomed:
                    head.end_discard(is_stored=True)
        top = max(stored.position, lane.position)
        kept = [
            position
            for position in self.not_durable
            if position <= stored.position
            or (position <= top and lane_of(self.records[position].key, update.factor) == lane.lane)
        ]
        for position in kept:
            del self.not_durable[position]
        self.durable.update(kept)

    # The end

    @property
    def is_bisecting(self) -> bool:
        """A split batch is not finished."""
        return any(len(plan.parts) > 1 for head in self.heads for plan in head.plans)

    @property
    def is_settled(self) -> bool:
        """Everything is finished and stored."""
        return not self.undone and not self.not_durable and self.stored.position >= self._last

    @property
    def _last(self) -> int:
        return max(next(reversed(self.records), 0), self.start)

    def check_settled(self) -> None:
        """D1 at the end."""
        if self.undone:
            raise Violation("D1", f"{self.shard}: never finished: {list(self.undone)[:20]}")
        if self.not_durable:
            raise Violation("D12", f"{self.shard}: never stored: {list(self.not_durable)[:20]}")
        if self.stored.position < self._last:
            raise Violation("D3", f"{self.shard}: stuck at {self.stored}, last is {self._last}")
