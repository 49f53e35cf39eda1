"""What may be stored, and when (D3, D4, D7, D10), and the state in which everything must end."""

from collections.abc import Iterator

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model.mapping_spec import MappingSpec
from router.model.progress import ProgressUpdate, ShardProgress
from router.model.record import Record
from tests.simulation.heads import Head, Plan
from tests.simulation.invoke_rules import InvokeRules
from tests.simulation.shard_state import LaneBook, Violation


class ShardBook(InvokeRules):
    """All books of one shard: reading, invoking, and here storing."""

    def save(self, update: ProgressUpdate, spec: MappingSpec) -> None:
        """The engine wants this to be durable."""
        self._check_claim(update, frozenset())
        self.windows.check_update(update)
        self._begin_write(update)
        self._check_head(update, spec)

    def discard(self, command: e.Discard, spec: MappingSpec, wall_ms: int) -> None:
        """The engine gives up on records."""
        update = command.update
        gone = tuple(record.position for record in command.records)
        lane = update.lane.lane
        self._check_order_of_discard(command, gone)
        self._check_claim(update, frozenset(gone))
        self.windows.check_update(update)
        self._begin_write(update)
        if lane in self.open_lanes:
            raise Violation("D6", f"{self.shard}: discard beside an open invocation")

        def age(position: int) -> int:
            return wall_ms - self.records[position].arrival_ms

        head = self.owner.get(gone[0])
        if head is None:
            # What was gathered with it goes on as a batch (P10): it shows with the next attempt.
            times = self.lanes.setdefault(lane, LaneBook(self.opened_ms))
            times.is_blurred = True
            times.gathered_max = max(times.gathered_max, spec.batch_size)
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
        nexts: dict[str, Iterator[int]] = {}
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
            raise Violation(
                head.promise_of_head(stored),
                f"{self.shard}: stored {update.lane}, not one of {head}",
            )
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
            for position in (*self.not_durable, *self.filtered)
            if position <= stored.position
            or (position <= top and lane_of(self.records[position].key, update.factor) == lane.lane)
        ]
        for position in kept:
            self.not_durable.pop(position, None)
            self.filtered.discard(position)
        self.durable.update(kept)

    def given_up(self, command: e.Discard) -> None:
        """The on-failure record is kept, though the mapping is deleted and its progress is not."""
        positions = [record.position for record in command.records]
        self._finish(positions, command.update.lane.lane)

    # The end

    @property
    def is_bisecting(self) -> bool:
        """A split batch is not finished."""
        return any(len(plan.parts) > 1 for head in self.heads for plan in head.plans)

    @property
    def is_settled(self) -> bool:
        """Everything is finished and stored."""
        is_over = not self.undone and not self.not_durable and self.windows.is_settled
        return is_over and self.stored.position >= self._last

    @property
    def _last(self) -> int:
        return max(next(reversed(self.records), 0), self.start)

    def check_settled(self) -> None:
        """D1 at the end."""
        if self.undone:
            raise Violation("D1", f"{self.shard}: never finished: {list(self.undone)[:20]}")
        if self.not_durable:
            raise Violation("D12", f"{self.shard}: never stored: {list(self.not_durable)[:20]}")
        if not self.windows.is_settled:
            raise Violation("W1", f"{self.shard}: never ended: {self.windows.window}")
        if self.stored.position < self._last:
            raise Violation("D3", f"{self.shard}: stuck at {self.stored}, last is {self._last}")
