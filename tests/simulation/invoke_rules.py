"""What an invocation may carry, and when (D2, D5, D6, D8, D10, D11, D12)."""

import itertools
from collections.abc import Iterator

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model.mapping_spec import MappingSpec
from router.model.progress import ShardProgress
from tests.simulation.heads import ENVELOPE_BYTES, Head, Kind, Plan, Verdict, is_expired
from tests.simulation.shard_state import LaneBook, ShardState, Violation
from tests.simulation.window_book import WindowBook

RETRY_MS_MIN = 250
"""A failed attempt is not repeated sooner (half the first back-off leaves room for jitter)."""


class InvokeRules(ShardState):
    """Checks every `Invoke` of one shard and follows what became of it."""

    windows: WindowBook

    def started(self, spec: MappingSpec, stored: ShardProgress, now_ms: int) -> None:
        """A new life begins with what was stored."""
        super().started(spec, stored, now_ms)
        self.windows = WindowBook(self.shard, self._seen)
        self.windows.begin_life(stored, spec)

    def changed(self, spec: MappingSpec, now_ms: int) -> None:
        """New settings."""
        super().changed(spec, now_ms)
        self.windows.changed(spec)

    def note_read(self, event: e.RecordsFetched, wall_ms: int) -> None:
        """Windows end by the time of the stream."""
        self.windows.read(event.records, wall_ms)
        if event.last_arrival_ms is not None:
            self.windows.read_time(event.last_arrival_ms)

    def invoke(self, command: e.Invoke, spec: MappingSpec, now_ms: int, wall_ms: int) -> None:
        """An attempt starts."""
        batch = tuple(record.position for record in command.records)
        self._check_slot(command)
        front = next(iter(self.fetched), None)
        self.windows.invoke(
            command,
            None if front is None else self.records[front],
            is_end=self.is_end_read,
            is_sole=self.factors == {1},
        )
        if not batch:
            self.open_lanes[command.lane] = command
            self._check_stored(command.lane)
            return
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
        lane.gathered_max = 0
        if command.attempt > 1:
            self._seen.add("retry")

    def _check_slot(self, command: e.Invoke) -> None:
        if command.lane in self.open_lanes or command.lane in self.busy_lanes:
            raise Violation("D6", f"{self.shard}: lane {command.lane} is busy")
        if not 0 <= command.lane < max(self.factors):
            raise Violation("D6", f"{self.shard}: no lane {command.lane}")
        if len(self.open_lanes) >= max(self.factors):
            raise Violation("L1", f"{self.shard}: more invocations than lanes")

    def _check_order(self, command: e.Invoke, batch: tuple[int, ...]) -> None:
        """Each key's unfinished records, in order, none left out (D5), none repeated (D12)."""
        if any(a >= b for a, b in itertools.pairwise(batch)):
            raise Violation("D5", f"{self.shard}: not in order: {batch}")
        nexts: dict[str, Iterator[int]] = {}
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
        if len(batch) > max(spec.batch_size, lane.gathered_max):
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
        is_full = len(batch) >= spec.batch_size
        factor = self._lane_map(command)
        if factor is None:
            lane.is_cut = spec.record_age_ms_max >= 0  # perhaps: it does not show
            return
        following = None if is_full else self._next_in_lane(command, batch, factor)
        if is_full:
            self._seen.add("batch_full")
        elif following is not None:
            record = self.records[following]
            if command.window is not None and record.arrival_ms >= command.window.end_ms:
                is_full = True
            elif size_bytes + record.size_bytes > spec.event_bytes_max:
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
        is_switching = len(self.factors) > 1
        is_reading = self.open_fetch is not None or (self.is_fetch_failing and not is_switching)
        is_early_allowed = (
            is_full
            or not is_reading
            or size_bytes >= spec.event_bytes_max
            or (command.window is not None and self.windows.may_be_over(command.window))
        )
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
                head.promise_of(batch),
                f"{self.shard}: attempt {command.attempt} of {batch}, not one of {head}",
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
        self.windows.ended(command, verdict)
        if not batch:
            return
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
            command = self.open_lanes.pop(lane, None)
            if command is None or command.records:  # a window's own call begins no other wait
                book.window_from_ms = now_ms
            book.is_discarding = False
            for head in self.heads:
                if head.lane == lane and head.failed_ms == -1:
                    head.failed_ms = now_ms
        else:
            book.is_discarding |= book.window_from_ms is None
            self.busy_lanes.discard(lane)
        self._sweep()
