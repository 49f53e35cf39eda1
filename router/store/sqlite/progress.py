"""How far mappings have come, and discards: both in one transaction."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

import msgspec

from router.model.progress import LaneHead, LaneProgress, ProgressUpdate, ShardProgress
from router.model.window import Window
from router.store.base import EnqueuedMessage, OutboxRow
from router.store.sqlite import outbox, queues
from router.store.sqlite.outbox import SqliteOutbox
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import insert_rows
from router.store.sqlite.writer import Kind, Writer, each

_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(LaneHead).decode

# A position never goes back while its lane map stays (D4).
_SAVE_SHARD = """
INSERT INTO progress (mapping, shard, position, factor) VALUES (:row)
ON CONFLICT DO UPDATE
SET position = max(position, excluded.position), factor = excluded.factor
"""

_SAVE_LANE = """
INSERT INTO lanes (mapping, shard, lane, position, head) VALUES (:row)
ON CONFLICT DO UPDATE SET position = max(position, excluded.position), head = excluded.head
"""

# A window and the position its state was made at are one: an older pair never follows.
_SAVE_WINDOW = """
INSERT INTO windows (mapping, shard, position, start_ms, end_ms, state) VALUES (:row)
ON CONFLICT DO UPDATE SET position = excluded.position,
start_ms = excluded.start_ms, end_ms = excluded.end_ms, state = excluded.state
WHERE excluded.position >= position
"""

_FIND_FACTOR = "SELECT factor FROM progress WHERE mapping = ? AND shard = ?"

# Lanes of another lane map say nothing about the lanes of this one; the last window still counts.
_DROP_OLD_LANES = "DELETE FROM lanes WHERE mapping = ? AND shard = ?"

STEP_BYTES = 400
"""What a waiting step takes."""


class _Step(msgspec.Struct, frozen=True):
    mapping: str
    update: ProgressUpdate
    outbox: OutboxRow | None = None
    message: EnqueuedMessage | None = None
    now_ms: int = 0


class SqliteProgress:
    """Implements `ProgressStore`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        queues: SqliteQueues,
        outbox: SqliteOutbox,
        wall_ms: Callable[[], int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._queues = queues
        self._outbox = outbox
        self._wall_ms = wall_ms
        self._save_kind = Kind(self._save, rank=1)
        self._discard_kind = Kind(each(self._discard), self._discarded)
        self._start_kind = Kind(each(_start))
        # Of the storage thread alone: the lane map of each shard that is known to be started.
        self._factors: dict[tuple[str, str], int] = {}
        # Of that thread too: the window each shard stored last, so that a state is written once
        # and not with every position that leaves it as it is.
        self._windows: dict[tuple[str, str], Window] = {}
        writer.on_rollback(self.forget)

    async def load(self, mapping: str) -> Mapping[str, ShardProgress]:
        """See `ProgressStore.load`."""
        return await self._reader.submit(lambda db: _load(db, mapping))

    async def save(self, mapping: str, update: ProgressUpdate) -> None:
        """See `ProgressStore.save`."""
        await self._writer.submit(self._save_kind, _Step(mapping, update), _size_bytes(update))

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """See `ProgressStore.discard` (D7)."""
        size_bytes = _size_bytes(update)
        if outbox is not None:
            self._outbox.check_room(outbox)
            size_bytes += len(outbox.body)
        size_bytes += len(message.body) if message is not None else 0
        step = _Step(mapping, update, outbox, message, self._wall_ms())
        await self._writer.submit(self._discard_kind, step, size_bytes)

    async def start(self, mapping: str, positions: Mapping[str, int]) -> None:
        """See `ProgressStore.start`."""
        size_bytes = STEP_BYTES * (1 + len(positions))
        await self._writer.submit(self._start_kind, (mapping, dict(positions)), size_bytes)

    def forget(self) -> None:
        """In the storage thread: what it knows may not be true any more."""
        self._factors.clear()
        self._windows.clear()

    def _discarded(self, steps: Sequence[_Step], _results: object) -> None:
        for step in steps:
            if step.outbox is not None:
                self._outbox.grew(step.outbox.address, len(step.outbox.body))
            if step.message is not None:
                self._queues.wake(step.message.queue)

    def _save(self, db: sqlite3.Connection, steps: Sequence[_Step]) -> Sequence[None]:
        """All steps of a group in two statements; of several for one lane the last one counts.

        A shard that is not started, or was forgotten while the step was under way, stays so.
        """
        shards: dict[tuple[str, str], int] = {}
        lanes: dict[tuple[str, str, int], tuple[int, bytes | None]] = {}
        for step in steps:
            update, lane = step.update, step.update.lane
            shard = (step.mapping, update.shard)
            factor = self._factors.get(shard) or _find_factor(db, shard)
            if factor is None:
                continue
            if factor != update.factor:
                _write(db, shards, self._factors, lanes)
                shards, lanes = {}, {}
                db.execute(_DROP_OLD_LANES, shard)
            self._factors[shard] = update.factor
            shards[shard] = max(update.position, shards.get(shard, update.position))
            head = None if lane.head is None else _encode_head(lane.head)
            before, _ = lanes.get((*shard, lane.lane), (lane.position, None))
            lanes[(*shard, lane.lane)] = (max(lane.position, before), head)
            if (window := lane.window) is not None and self._windows.get(shard) is not window:
                row = (*shard, lane.position, window.start_ms, window.end_ms, window.state)
                insert_rows(db, _SAVE_WINDOW, [row])
                self._windows[shard] = window
        _write(db, shards, self._factors, lanes)
        return [None] * len(steps)

    def _discard(self, db: sqlite3.Connection, step: _Step) -> None:
        self._save(db, (step,))
        if step.outbox is not None:
            outbox.insert(db, step.outbox, step.now_ms)
        if step.message is not None:
            queues.enqueue(db, step.message, step.now_ms)


def _size_bytes(update: ProgressUpdate) -> int:
    """What a step takes while it waits."""
    window = update.lane.window
    return STEP_BYTES if window is None else STEP_BYTES + len(window.state or b"")


def _find_factor(db: sqlite3.Connection, shard: tuple[str, str]) -> int | None:
    row = db.execute(_FIND_FACTOR, shard).fetchone()
    return None if row is None else int(row[0])


def _write(
    db: sqlite3.Connection,
    shards: Mapping[tuple[str, str], int],
    factors: Mapping[tuple[str, str], int],
    lanes: Mapping[tuple[str, str, int], tuple[int, bytes | None]],
) -> None:
    rows = [(*shard, position, factors[shard]) for shard, position in shards.items()]
    insert_rows(db, _SAVE_SHARD, rows)
    insert_rows(db, _SAVE_LANE, [(*lane, *progress) for lane, progress in lanes.items()])


def _start(db: sqlite3.Connection, start: tuple[str, dict[str, int]]) -> None:
    mapping, positions = start
    for shard, position in positions.items():
        db.execute(
            "INSERT OR IGNORE INTO progress (mapping, shard, position, factor) VALUES (?, ?, ?, 1)",
            (mapping, shard, position),
        )


def _load(db: sqlite3.Connection, mapping: str) -> dict[str, ShardProgress]:
    lanes: dict[str, list[LaneProgress]] = {}
    for shard, lane, position, head in db.execute(
        "SELECT shard, lane, position, head FROM lanes WHERE mapping = ? ORDER BY shard, lane",
        (mapping,),
    ):
        progress = LaneProgress(lane, position, None if head is None else _decode_head(head))
        lanes.setdefault(shard, []).append(progress)
    for shard, position, start_ms, end_ms, state in db.execute(
        "SELECT shard, position, start_ms, end_ms, state FROM windows WHERE mapping = ?",
        (mapping,),
    ):
        window = Window(start_ms, end_ms, state)
        lanes[shard] = _with_window(lanes.get(shard, []), position, window)
    return {
        shard: ShardProgress(position, factor, tuple(lanes.get(shard, ())))
        for shard, position, factor in db.execute(
            "SELECT shard, position, factor FROM progress WHERE mapping = ?", (mapping,)
        )
    }


def _with_window(lanes: list[LaneProgress], position: int, window: Window) -> list[LaneProgress]:
    """The first lane is the one that has it, also where a new lane map has not stored it yet."""
    first = lanes[0] if lanes and lanes[0].lane == 0 else None
    if first is None:
        return [LaneProgress(0, position, window=window), *lanes]
    return [msgspec.structs.replace(first, window=window), *lanes[1:]]
