"""What survives a crash: the production store's progress, outbox and queues, in memory.

The SQL and everything around it are the router's own; only the threads, the disk and the clock
are not there. Beside it `NaiveProgress` keeps the same in dictionaries: at every start of a
router both must say the same.
"""

import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from router.config import StoreSettings
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.store.base import DropProgress, EnqueuedMessage, OutboxRow
from router.store.sqlite import migrate
from router.store.sqlite.metadata import SqliteMetadata
from router.store.sqlite.outbox import SqliteOutbox
from router.store.sqlite.progress import SqliteProgress
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.writer import Kind
from tests.simulation.options import FAILURES_QUEUE
from tests.simulation.shard_state import Violation

T = TypeVar("T")

OUTBOX_BYTES_MAX = StoreSettings().outbox_bytes_max


class _Turn(Generic[T]):
    """Waits once, then does it: whoever drives the coroutine says when."""

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act

    def __await__(self) -> Generator[None, None, T]:
        yield
        return self._act()


class _Desk:
    """Stands for the storage threads: one connection, one request after the other."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Nothing is ever rolled back here."""

    def write(self, kind: Kind[Any, Any], request: Any) -> Any:
        """One transaction."""
        self._db.execute("BEGIN")
        results = kind.run(self._db, [request])
        self._db.execute("COMMIT")
        kind.committed([request], results)
        return results[0]

    def submit(self, work: Any, request: Any = None, _size_bytes: int = 0) -> _Turn[Any]:
        """A write with its request, or a read."""
        if isinstance(work, Kind):
            return _Turn(lambda: self.write(work, request))
        return _Turn(lambda: work(self._db))


def finish(coroutine: Any) -> Any:
    """Drive a coroutine that only waits for the desk to its end."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


class NaiveProgress:
    """Progress as dictionaries. Writes of one shard may come in any order."""

    def __init__(self) -> None:
        self.mappings: dict[str, dict[str, ShardProgress]] = {}
        self.carried: set[str] = set()
        """Shards whose last window outlived its lane map: only that it is kept counts."""

    def start(self, mapping: str, shard: str, position: int) -> None:
        """Where a mapping begins in a shard."""
        self.mappings.setdefault(mapping, {}).setdefault(shard, ShardProgress(position))

    def apply(self, mapping: str, update: ProgressUpdate) -> ShardProgress | None:
        """Store one step: the shard's position never goes back, a new lane map replaces all."""
        found = self.mappings.get(mapping, {}).get(update.shard)
        if found is None:
            return None
        lanes: dict[int, LaneProgress] = {}
        if found.factor == update.factor:
            lanes = {lane.lane: lane for lane in found.lanes}
        elif window := next((lane for lane in found.lanes if lane.window is not None), None):
            # The last window still counts: the next one never begins before its end.
            lanes[0] = LaneProgress(0, window.position, window=window.window)
            self.carried.add(update.shard)
        lane = update.lane
        if lane.window is None and (kept := lanes.get(lane.lane)) is not None:
            lane = msgspec.structs.replace(lane, window=kept.window)
        lanes[lane.lane] = lane
        stored = ShardProgress(
            position=max(found.position, update.position),
            factor=update.factor,
            lanes=tuple(lanes[index] for index in sorted(lanes)),
        )
        self.mappings[mapping][update.shard] = stored
        return stored


def _like(found: ShardProgress, naive: ShardProgress) -> ShardProgress:
    """A window that outlived its lane map may stand at an earlier position than its last save."""
    lanes = tuple(
        msgspec.structs.replace(lane, position=other.position)
        if lane.window is not None and lane.position < other.position <= naive.position
        else lane
        for lane, other in zip(found.lanes, naive.lanes, strict=False)
    )
    return msgspec.structs.replace(found, lanes=lanes)


class Letter(msgspec.Struct, frozen=True):
    """An on-failure record as the store was given it: at once in the queue, or in the outbox."""

    body: bytes
    is_in_queue: bool


class Store:
    """The store of one router folder. Survives its routers."""

    def __init__(
        self,
        wall_ms: Callable[[], int],
        progress: type[SqliteProgress] = SqliteProgress,
        outbox: type[SqliteOutbox] = SqliteOutbox,
    ) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        migrate.migrate(self.db, migrate.shipped())
        self.naive = NaiveProgress()
        self._wall_ms = wall_ms
        self._make_progress = progress
        self._make_outbox = outbox
        self.reopen()

    def reopen(self) -> None:
        """Another router opens the same file: what the last one remembered is gone."""
        desk: Any = _Desk(self.db)
        queues = SqliteQueues(desk, desk, lambda: None)
        streams: Any = None
        self.outbox = self._make_outbox(desk, desk, queues, OUTBOX_BYTES_MAX, self._wall_ms)
        finish(self.outbox.open())
        self.progress = self._make_progress(desk, desk, queues, self.outbox, self._wall_ms)
        self._metadata = SqliteMetadata(desk, desk, streams, self.progress, lambda: None)

    def close(self) -> None:
        """Free its memory."""
        self.db.close()

    def start(self, mapping: str, positions: Mapping[str, int]) -> None:
        """Fix where a mapping starts."""
        for shard, position in positions.items():
            self.naive.start(mapping, shard, position)
        finish(self.progress.start(mapping, positions))

    def load(self, mapping: str) -> dict[str, ShardProgress]:
        """What a restart finds. Raises `Violation` when it is not what was stored."""
        found = dict(finish(self.progress.load(mapping)))
        naive = self.naive.mappings.get(mapping, {})
        for shard in self.naive.carried:
            if shard in naive and shard in found:
                found[shard] = _like(found[shard], naive[shard])
        if found != naive:
            raise Violation("D4", f"the store says {found}, it was given {naive}")
        return found

    def drop(self, mapping: str) -> None:
        """The mapping is deleted."""
        self.naive.mappings.pop(mapping, None)
        finish(self._metadata.apply((DropProgress(mapping),)))

    def save(self, mapping: str, update: ProgressUpdate) -> ShardProgress | None:
        """One durable step."""
        finish(self.progress.save(mapping, update))
        return self._stored(mapping, update)

    def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        row: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> ShardProgress | None:
        """One durable step with its on-failure record."""
        finish(self.progress.discard(mapping, update, row, message))
        return self._stored(mapping, update)

    def _stored(self, mapping: str, update: ProgressUpdate) -> ShardProgress | None:
        stored = self.naive.apply(mapping, update)
        if stored is None:
            self.load(mapping)  # nothing may have been kept
        return stored

    @property
    def waiting_rows(self) -> int:
        """On-failure records in the outbox."""
        return int(self.db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    @property
    def next_row_ms(self) -> int | None:
        """When the next of them is due (wall clock)."""
        due_ms: int | None = self.db.execute("SELECT min(next_attempt_ms) FROM outbox").fetchone()[
            0
        ]
        return due_ms

    def delivered(self) -> Sequence[str]:
        """Bodies in the queue of failures."""
        rows = self.db.execute(
            "SELECT body FROM messages JOIN queues ON queues.id = queue_id WHERE name = ?",
            (FAILURES_QUEUE,),
        )
        return [row[0] for row in rows]


class StoreFaults(Protocol):
    """What the world does to a write on its way."""

    def store_ms(self) -> int:
        """How long this one takes."""

    def may_fail(self) -> None:
        """Raises `StoreError` when nothing of it is kept."""

    def dies_at(self, point: str) -> bool:
        """True when the router dies here."""

    def fail(self, error: Exception) -> None:
        """A promise is broken: the run ends."""

    async def pause(self, after_ms: int) -> None:
        """Let time pass."""

    async def never(self) -> None:
        """Wait for the end of a life that is over."""

    def became_durable(
        self, update: ProgressUpdate, stored: ShardProgress | None, letter: Letter | None
    ) -> None:
        """It is durable now."""


class SlowProgress:
    """Implements `ProgressStore` for one life of the router: slow, failing, mortal."""

    def __init__(self, store: Store, faults: StoreFaults) -> None:
        self._store = store
        self._faults = faults
        self._writes: dict[int, Callable[[], None]] = {}
        self._count = 0

    def crash(self, is_kept: Callable[[], bool]) -> None:
        """Of what was on its way each write is kept whole or not at all."""
        for write in list(self._writes.values()):
            if is_kept():
                write()
        self._writes.clear()

    async def load(self, mapping: str) -> Mapping[str, ShardProgress]:
        """See `ProgressStore.load`."""
        return self._store.load(mapping)

    async def start(self, mapping: str, positions: Mapping[str, int]) -> None:
        """See `ProgressStore.start`."""
        self._store.start(mapping, positions)

    async def save(self, mapping: str, update: ProgressUpdate) -> None:
        """See `ProgressStore.save`."""

        def write() -> None:
            stored = self._store.save(mapping, update)
            self._faults.became_durable(update, stored, None)

        await self._write(write, "save")

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """See `ProgressStore.discard`."""

        def write() -> None:
            stored = self._store.discard(mapping, update, outbox, message)
            letter = None
            if message is not None:
                letter = Letter(message.body.encode(), is_in_queue=True)
            elif outbox is not None:
                letter = Letter(outbox.body, is_in_queue=False)
            self._faults.became_durable(update, stored, letter)

        await self._write(write, "discard")

    async def _write(self, write: Callable[[], None], what: str) -> None:
        faults = self._faults
        self._count += 1
        number = self._count
        self._writes[number] = write
        await faults.pause(faults.store_ms())
        if faults.dies_at(f"{what} asked"):
            await faults.never()
        del self._writes[number]
        faults.may_fail()
        write()
        if faults.dies_at(f"{what} stored, not answered"):
            await faults.never()
        await faults.pause(0)
