"""One shard: how far it is read, what of it is unfinished, and its lanes."""

import msgspec

from router.mapping.lanes import Lane, Place, lane_of
from router.mapping.timers import Timer
from router.mapping.windows import is_ahead
from router.model import limits
from router.model.errors import EngineError
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.model.record import Record

ROOM_DIVISOR = 4
"""A shard is read again when a quarter of a full fetch fits: no trickle of tiny fetches."""


class RunAhead(msgspec.Struct, frozen=True):
    """How much of one shard is held in memory while a lane of it is not finished (L2)."""

    records_max: int = limits.RUN_AHEAD_RECORDS_MAX
    bytes_max: int = limits.RUN_AHEAD_BYTES_MAX
    total_bytes_max: int = limits.BUFFER_BYTES_MAX
    """Of all shards that are read side by side."""
    room_bytes: int | None = None
    """As much of it as all mappings together leave to this one; None: all of it."""

    def share(self, shards: int) -> "RunAhead":
        """For each of so many shards; never less than a whole event, or a record when tight."""
        shards = max(1, shards)
        part = min(self.bytes_max, max(limits.FETCH_BYTES_MAX, self.total_bytes_max // shards))
        if self.room_bytes is not None:
            part = min(part, max(1, self.room_bytes // shards))
        return msgspec.structs.replace(self, bytes_max=part)


class Shard:
    """The records of one shard that are read and not finished, spread over lanes."""

    def __init__(self, name: str, parents: tuple[str, ...], progress: ShardProgress) -> None:
        self.name = name
        self.parents = set(parents)
        """Those that are not finished: it is not read before they are (P28)."""
        self.factor = progress.factor
        """The lane map in use; another one is taken only when nothing is unfinished under it."""
        self.lanes = _recover_lanes(name, progress)
        self.read_to = progress.position
        self.stored_position = progress.position
        """The highest position known to be durable; it never goes back (D4)."""
        self.horizon = max(
            (end for lane in self.lanes for end in (lane.position, *lane.ends, *lane.done)),
            default=progress.position,
        )
        """Found in the store: up to here records were spread by the stored lane map."""
        self.held_records = 0
        self.held_bytes = 0
        self.is_ended = False
        """The source has nothing after `read_to` and never will."""
        self.is_fetching = False
        self.is_revoked = False
        """Somebody else's; kept while something of it still runs."""
        self.quiet_wall_ms: int | None = None
        """When the source last said that it has nothing more; None since it had something."""
        self.last_arrival_ms: int | None = None
        """Arrival of the last record read, also of one that the mapping's filters left out."""
        self.is_paused = False
        """Not read at the moment, so that waiting for a window cannot fill a batch."""
        self.misses = 0
        """Failed fetches in a row."""
        self.fetch_from_ms = 0
        self.settle_from_ms = 0
        """When a position that no batch carries may be stored again."""
        self.timer: Timer[Place] = Timer((name, None))

    @property
    def is_idle(self) -> bool:
        """Nothing that was read is unfinished or on its way to the store."""
        return not self.held_records and all(lane.is_idle for lane in self.lanes)

    def is_past(self, end_ms: int) -> bool:
        """No record of a window that ends then is still to be read, as far as can be known."""
        if self.is_ended:
            return True
        if self.last_arrival_ms is not None and self.last_arrival_ms >= end_ms:
            return True
        if (quiet_ms := self.quiet_wall_ms) is None:
            return False
        return quiet_ms >= end_ms + limits.WINDOW_GRACE_MS or is_ahead(end_ms, quiet_ms)

    @property
    def is_ahead(self) -> bool:
        """More is read than is stored as finished."""
        return self.stored_position < self.read_to

    @property
    def is_running(self) -> bool:
        """A command of a lane waits for its answer."""
        return any(lane.is_open for lane in self.lanes)

    def may_go_on_from(self, progress: ShardProgress) -> bool:
        """Whether everything here still holds: nothing is finished that is not known here.

        Then nobody else went on since the shard was revoked, and nobody set it back.
        """
        if progress.factor != self.factor or progress.position > self.read_to:
            return False
        if progress.position < self.stored_position:
            return False
        ends = {lane.lane: lane.position for lane in progress.lanes}
        return all(
            lane.may_go_on_from(max(progress.position, ends.get(lane.index, progress.position)))
            for lane in self.lanes
        ) and all(end <= self.read_to for end in ends.values())

    def go_on_from(self, progress: ShardProgress) -> None:
        """It was revoked and is back; what is stored may name later positions of its lanes."""
        self.is_revoked = False
        ends = {lane.lane: lane.position for lane in progress.lanes}
        for lane in self.lanes:
            lane.know(max(progress.position, ends.get(lane.index, progress.position)))

    def room(self, run_ahead: RunAhead) -> tuple[int, int]:
        """Records and bytes the next fetch may bring; (0, 0) when that is not worth a fetch.

        A lane head found in the store needs everything up to the horizon to be formed again:
        that much the shard held before, so it may do so once more.
        """
        records_max = min(limits.FETCH_RECORDS_MAX, run_ahead.records_max)
        bytes_max = min(limits.FETCH_BYTES_MAX, run_ahead.bytes_max)
        if self.read_to < self.horizon:
            return records_max, bytes_max
        records = min(records_max, run_ahead.records_max - self.held_records)
        size_bytes = min(bytes_max, run_ahead.bytes_max - self.held_bytes)
        if records * ROOM_DIVISOR < records_max or size_bytes * ROOM_DIVISOR < bytes_max:
            return 0, 0
        return records, size_bytes

    def can_read(self, factor: int) -> bool:
        """False once there is nothing more, or a new lane map waits for the old one to empty."""
        is_switching = self.factor != factor
        return not self.is_ended and not (is_switching and self.read_to >= self.horizon)

    def remap(self, factor: int) -> None:
        """Take another lane map. Only when settled: the shard's position then says everything.

        The last tumbling window is kept: the next one, if there ever is one, comes after it.
        """
        window = self.lanes[0].window
        if window is not None and window.is_open:
            raise EngineError(f"{self.name}: a new lane map while a window is open")
        self.factor = factor
        self.lanes = [
            Lane(
                self.name,
                LaneProgress(index, self.read_to, None, window if index == 0 else None),
                is_sole=factor == 1,
            )
            for index in range(factor)
        ]

    def take_in(
        self, records: tuple[Record, ...], read_to: int, now_ms: int, window_ms: int
    ) -> None:
        """Spread what was just read over the lanes; skip what a lane had finished before.

        Raises `EngineError` when records are not in order or were read before.
        """
        lanes, factor, last = self.lanes, self.factor, self.read_to
        sole = lanes[0] if factor == 1 else None
        taken_records = taken_bytes = 0
        for record in records:
            position = record.position
            if position <= last:
                raise EngineError(f"{self.name}: position {position} read after {last}")
            last = position
            lane = sole or lanes[lane_of(record.key, factor)]
            if position > lane.position and position not in lane.done:
                lane.take_in(record, now_ms, window_ms)
                taken_records += 1
                taken_bytes += record.size_bytes
        self.held_records += taken_records
        self.held_bytes += taken_bytes
        if read_to < last:
            raise EngineError(f"{self.name}: read to {read_to}, but saw {last}")
        self.read_to = read_to

    def end(self) -> None:
        """The source has nothing after what was read."""
        self.is_ended = True
        # What a stored lane head still waited for, if anything, is gone from the source.
        self.read_to = max(self.read_to, self.horizon)

    def release(self, records: tuple[Record, ...]) -> int:
        """These records are finished; their bytes."""
        self.held_records -= len(records)
        size_bytes = sum(record.size_bytes for record in records)
        self.held_bytes -= size_bytes
        return size_bytes

    def update(self, lane: Lane) -> ProgressUpdate:
        """What to store for a lane, with how far the shard is finished.

        Records that are being given up are unfinished for everyone but the update that is
        stored together with their on-failure record (D3, D7).
        """
        firsts = (
            other.first_undoomed if other is lane else other.first_unfinished
            for other in self.lanes
        )
        position = min((first - 1 for first in firsts if first is not None), default=self.read_to)
        if position < self.stored_position:
            raise EngineError(f"{self.name}: finished to {position}, was {self.stored_position}")
        return ProgressUpdate(
            shard=self.name, position=position, factor=self.factor, lane=lane.progress
        )


def _recover_lanes(shard: str, progress: ShardProgress) -> list[Lane]:
    """Lanes as the store knows them; what the shard's own position covers is history."""
    stored = {lane.lane: lane for lane in progress.lanes}
    lanes: list[Lane] = []
    for index in range(progress.factor):
        found = stored.get(index, LaneProgress(index, progress.position))
        position = max(found.position, progress.position)
        lane = LaneProgress(index, position, found.head, found.window)
        lanes.append(Lane(shard, lane, is_sole=progress.factor == 1))
    return lanes
