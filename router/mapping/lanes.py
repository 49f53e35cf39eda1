"""A lane: what keeps the order of the records of some keys of one shard."""

from collections import deque
from enum import Enum, auto
from functools import lru_cache
from hashlib import blake2b

import msgspec

from router.mapping import batching, windows
from router.mapping.bisect import with_parts
from router.mapping.timers import Timer
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.progress import LaneHead, LaneProgress
from router.model.record import Record

Place = tuple[str, int | None]
"""Who waits: a shard and one of its lanes, or None for the reading of the shard."""


KEYS_REMEMBERED = 4_096
"""Keys whose lane is remembered: the keys of a stream mostly repeat, and hashing costs six times
as much. With 256 characters a key (`ingress/keys.py`) they take some 2 MB."""


@lru_cache(maxsize=KEYS_REMEMBERED)
def lane_of(key: str, factor: int) -> int:
    """The lane of a key. Stored positions depend on it: it must never change.

    Not the MD5 that places keys on shards: one hash used twice would leave lanes empty.
    """
    if factor == 1:
        return 0
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % factor


class Phase(Enum):
    """What a lane is doing; at most one command of it is open at any time (D6)."""

    GATHERING = auto()
    """Has no batch; the next one waits for records, size, bytes or window."""
    READY = auto()
    """Has a batch whose next attempt may start at `Lane.attempt_from_ms`."""
    RUNNING = auto()
    """Its batch is with the function."""
    SAVING = auto()
    """Its progress must be durable before anything else starts."""
    DISCARDING = auto()
    """`Lane.doomed` must be stored as given up before anything else starts."""


class Doom(msgspec.Struct, frozen=True):
    """Records given up, with what the on-failure record says about them."""

    records: tuple[Record, ...]
    condition: str
    invoke_count: int
    outcome: Outcome | None = None


class Lane:
    """The unfinished records of one lane, in order: doomed, batch, queue.

    After a split the parts go back to the queue, `ends` remembers where each of them ends.
    """

    __slots__ = (
        "attempt_from_ms",
        "attempts",
        "batch",
        "bounds",
        "call",
        "call_failures",
        "done",
        "doomed",
        "ends",
        "first_failure_wall_ms",
        "index",
        "is_open",
        "is_sole",
        "latest_ms",
        "misses",
        "phase",
        "position",
        "queue",
        "queue_bytes",
        "shard",
        "store_from_ms",
        "timer",
        "window",
        "window_start_ms",
    )

    def __init__(self, shard: str, progress: LaneProgress, *, is_sole: bool = True) -> None:
        self.shard = shard
        self.index = progress.lane
        self.is_sole = is_sole
        """The only lane of its shard: the only kind that has tumbling windows."""
        self.position = progress.position
        """Everything of this lane at or below it is finished."""
        self.queue: deque[Record] = deque()
        self.queue_bytes = 0
        self.latest_ms = 0
        """No record in the queue arrived later; the last one may be earlier, as clocks are set."""
        self.batch: tuple[Record, ...] = ()
        self.doomed: Doom | None = None
        """Being given up: unfinished until it is stored."""
        self.ends: tuple[int, ...] = ()
        """Last positions of the parts at the front of the queue, nearest first."""
        self.done: set[int] = set()
        """Finished positions above `position`, all of them at or below the end of the last part."""
        self.attempts = 0
        """Failed attempts of the batch; while there is none, of the first part to come."""
        self.first_failure_wall_ms = 0
        self.phase = Phase.GATHERING
        self.is_open = False
        """A command of this lane waits for its answer."""
        self.misses = 0
        """Failures in a row that count against no budget: not run, or nothing stored."""
        self.attempt_from_ms = 0
        self.store_from_ms = 0
        self.window_start_ms: int | None = None
        """Of the batching window, monotonic."""
        self.window = progress.window
        """The last tumbling window, with the state after everything up to `position`."""
        self.bounds: windows.Bounds | None = None
        """Of the batch's tumbling window; None: it is an ordinary batch."""
        self.call: windows.WindowCall | None = None
        """A call of the window itself takes the place of the next batch."""
        self.call_failures = 0
        """Failed attempts of it; they count against nothing."""
        self.timer: Timer[Place] = Timer((shard, progress.lane))
        if (head := progress.head) is not None:
            self._recover(head)

    @property
    def is_idle(self) -> bool:
        """Nothing of it that was read is unfinished or on its way to the store."""
        return self.phase is Phase.GATHERING and not self.queue

    @property
    def is_busy(self) -> bool:
        """Something of it was started and has not come to its end (a drain waits for it)."""
        return self.phase not in {Phase.GATHERING, Phase.READY}

    def may_go_on_from(self, position: int) -> bool:
        """Whether all of it that is unfinished comes after what somebody says is finished."""
        first = self.first_unfinished
        return first is None or first > position

    def know(self, position: int) -> None:
        """Everything of it up to there is finished, says who went on with it meanwhile."""
        self.position = max(self.position, position)
        self.done = {it for it in self.done if it > self.position}

    @property
    def first_unfinished(self) -> int | None:
        """Lowest position that is read and not finished."""
        if self.doomed is not None:
            return self.doomed.records[0].position
        return self.first_undoomed

    @property
    def first_undoomed(self) -> int | None:
        """Lowest unfinished position once what is being given up is stored."""
        if self.batch:
            return self.batch[0].position
        return self.queue[0].position if self.queue else None

    @property
    def progress(self) -> LaneProgress:
        """What to store: as if what is being given up were stored already."""
        position = self.position if self.doomed is None else self.doomed.records[-1].position
        if self.done:
            position = self._beyond(position)
        return LaneProgress(self.index, position, self._head(position), self.window)

    def take_in(self, record: Record, now_ms: int, window_ms: int) -> None:
        """Queue a record that was just read."""
        if not self.queue:
            self.window_start_ms = batching.window_start_ms(self.window_start_ms, now_ms, window_ms)
        self.queue.append(record)
        self.queue_bytes += record.size_bytes
        if record.arrival_ms > self.latest_ms:  # noqa: PLR1730 - a call takes 0.1 us more
            self.latest_ms = record.arrival_ms

    def take_part(self, spec: MappingSpec, read_to: int) -> bool:
        """Make the next part of a batch that was split the batch; False when there is none yet.

        A part found in the store is formed once everything up to its end is read again.
        """
        while self.ends and read_to >= self.ends[0]:
            end = self.ends[0]
            if self.queue and self.queue[0].position <= end:
                self.take_batch(spec, end)
                if not self.queue or self.queue[0].position > end:
                    self.ends = self.ends[1:]
                return True
            # Its records are gone from the source: trimmed, or filtered by new settings.
            self.ends = self.ends[1:]
            self.attempts = 0
        return False

    def take_batch(self, spec: MappingSpec, end: int | None = None) -> None:
        """Make the front of the queue the batch."""
        self.bounds = bounds = self.queue_bounds(0, spec) if spec.tumbling_window_ms else None
        if bounds is None:
            self.batch = batching.take_batch(self.queue, spec, end)
        else:
            frame_bytes = self.frame_bytes(bounds, spec)
            self.batch = batching.take_batch(self.queue, spec, end, frame_bytes, bounds[1])
        self.queue_bytes -= sum(record.size_bytes for record in self.batch)
        self.phase = Phase.READY

    def is_full(self, spec: MappingSpec) -> bool:
        """The queue makes a batch that cannot grow, so there is nothing to wait for."""
        bounds = self.queue_bounds(0, spec) if spec.tumbling_window_ms else None
        if bounds is None:
            return batching.is_full(len(self.queue), self.queue_bytes, spec)
        frame_bytes = self.frame_bytes(bounds, spec)
        if self.latest_ms >= bounds[1]:
            self.latest_ms = max(record.arrival_ms for record in self.queue)
            if self.latest_ms >= bounds[1]:
                return True
        return batching.is_full(len(self.queue), self.queue_bytes, spec, frame_bytes)

    def queue_bounds(self, index: int, spec: MappingSpec) -> windows.Bounds | None:
        """The tumbling window of a record in the queue; None without windows or records."""
        if not self.queue or not self.is_sole or not spec.tumbling_window_ms:
            return None
        return windows.bounds_of(self.queue[index].arrival_ms, self.window, spec.tumbling_window_ms)

    def frame_bytes(self, bounds: windows.Bounds, spec: MappingSpec) -> int:
        """What the event of a batch in that window takes besides its records (D11)."""
        return windows.frame_bytes(bounds, self.window, self.shard, spec.source_arn)

    def window_end_ms(self, window_ms: int, now_ms: int) -> int:
        """When the batch is closed, however small."""
        return (now_ms if self.window_start_ms is None else self.window_start_ms) + window_ms

    def split(self, *cuts: int) -> None:
        """Put the batch back as parts that are batches of their own, cut before each index."""
        batch, self.batch = self.batch, ()
        self._put_back(batch)
        ends = [batch[cut - 1].position for cut in cuts]
        self.ends = with_parts(self.ends, *ends, batch[-1].position)
        self.attempts = 0

    def keep(self, count: int) -> None:
        """Go on with the first `count` records of the batch; the others are a part behind it."""
        rest, self.batch = self.batch[count:], self.batch[:count]
        self._put_back(rest)
        self.ends = with_parts(self.ends, rest[-1].position)

    def select(self, failed: tuple[int, ...]) -> tuple[Record, ...]:
        """Go on with the records at these indexes as a new batch; returns the finished ones."""
        batch, chosen = self.batch, frozenset(failed)
        finished = tuple(it for index, it in enumerate(batch) if index not in chosen)
        self.batch = tuple(batch[index] for index in failed)
        self.attempts = 0
        self.done.update(record.position for record in finished)
        self._move_to(batch[failed[0] - 1].position if failed[0] else self.position)
        return finished

    def finish(self, count: int) -> None:
        """The first `count` records of the batch are finished."""
        last = self.batch[count - 1].position
        self.batch = self.batch[count:]
        self._move_to(last)
        self._end_batch()

    def doom(self, doom: Doom) -> None:
        """Start giving up records at the front of the batch: they stay unfinished until stored."""
        self.doomed = doom
        self.batch = self.batch[len(doom.records) :]
        self.phase = Phase.DISCARDING
        self._end_batch()

    def stored(self) -> tuple[Record, ...]:
        """What was asked for is durable; returns the records that are finished by it."""
        self.misses = 0
        self.phase = Phase.READY if self.batch else Phase.GATHERING
        if self.doomed is None:
            return ()
        records, self.doomed = self.doomed.records, None
        self._move_to(records[-1].position)
        self._end_batch()
        return records

    def _move_to(self, position: int) -> None:
        """Everything of the lane at or below is finished, and what was finished before its turn."""
        self.position = position
        if self.done:
            self.position = position = self._beyond(position)
            self.done = {it for it in self.done if it > position}

    def _beyond(self, position: int) -> int:
        """How far all of it is finished, told by what was finished before its turn.

        Nothing is left between that and a position below the first record that is unfinished.
        """
        if not self.batch and not self.ends:
            return max(position, *self.done)
        first = self.first_undoomed
        if first is None:
            return position
        return max((it for it in self.done if position < it < first), default=position)

    def _end_batch(self) -> None:
        if not self.batch:
            self.attempts = 0
            if not self.ends and self.doomed is None:
                self.first_failure_wall_ms = 0

    def _put_back(self, records: tuple[Record, ...]) -> None:
        self.queue.extendleft(reversed(records))
        self.queue_bytes += sum(record.size_bytes for record in records)
        self.latest_ms = max(self.latest_ms, *(record.arrival_ms for record in records))

    def _head(self, position: int) -> LaneHead | None:
        failed_wall_ms = self.first_failure_wall_ms
        done = tuple(sorted(it for it in self.done if it > position)) if self.done else ()
        if self.batch:
            if not self.attempts and not self.ends and not done:
                return None
            first, last = self.batch[0].position, self.batch[-1].position
            return LaneHead(first, last, self.attempts, self.ends, failed_wall_ms, done)
        if not self.ends:
            return None
        first = self.queue[0].position if self.queue else position + 1
        return LaneHead(first, self.ends[0], self.attempts, self.ends[1:], failed_wall_ms, done)

    def _recover(self, head: LaneHead) -> None:
        self.ends = tuple(end for end in (head.last, *head.ends) if end > self.position)
        if not self.ends:
            # What was tried again is finished by now, and with it all of its batch.
            self.position = max((self.position, *head.done))
        if self.ends:
            self.done = {position for position in head.done if position > self.position}
            self.first_failure_wall_ms = head.first_failure_wall_ms
            self.attempts = head.attempts if head.last > self.position else 0
