"""Streams: shards of webhook records, with deduplication and retention."""

import asyncio
import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from router.model.errors import ShardClosed
from router.model.record import Fetched, Record
from router.store.base import Appended, NewRecord, StreamStats
from router.store.sqlite import segments
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import ROWS_MAX, insert_rows
from router.store.sqlite.tail import Tails
from router.store.sqlite.wakes import Wakes
from router.store.sqlite.writer import Kind, Writer, each

TRIM_SEGMENTS: Final = 64
"""Segments removed in one step: bounds how long a commit is held up."""

PURGE_KEYS: Final = 1_000
"""Deduplication keys removed in one step."""

RECORD_OVERHEAD_BYTES: Final = 300
"""What a waiting record takes beside its data."""

_FIND_SHARD = """
SELECT shards.id, last_position, is_closed FROM shards JOIN streams ON streams.id = stream_id
WHERE arn = ? AND shard = ?
"""

_IS_FORGOTTEN = "SELECT EXISTS (SELECT 1 FROM streams WHERE arn = ? AND first_shard > ?)"

_FIND_COUNTER = """
SELECT id, last_position, arrival_max_ms, is_closed FROM shards WHERE stream_id = ? AND shard = ?
"""

_MAKE_SHARD = """
INSERT INTO shards (stream_id, shard, last_position, arrival_max_ms) VALUES (?, ?, 0, 0)
"""

_INSERT_SEGMENTS = """
INSERT INTO segments (id, records, first_arrival_ms, arrival_max_ms, body) VALUES (:row)
"""

_COUNT_SHARDS = """
INSERT INTO shards (id, stream_id, shard, last_position, arrival_max_ms) VALUES (:row)
ON CONFLICT (id) DO UPDATE
SET last_position = excluded.last_position, arrival_max_ms = excluded.arrival_max_ms
"""

# A key is free again when its time had run out as the new record arrived.
_REMEMBER = """
INSERT INTO deduplication (stream_id, key, event_id, arrival_ms, until_ms) VALUES (:row)
ON CONFLICT DO UPDATE
SET event_id = excluded.event_id, arrival_ms = excluded.arrival_ms, until_ms = excluded.until_ms
WHERE deduplication.until_ms < excluded.arrival_ms
"""

_STATS = """
SELECT shards.id, shard, last_position,
       (SELECT segments.id FROM segments
        WHERE segments.id > shards.id << 40 AND segments.id < (shards.id + 1) << 40
        ORDER BY segments.id LIMIT 1) AS oldest
FROM shards JOIN streams ON streams.id = stream_id
WHERE arn = ? AND last_position > 0 ORDER BY shard
"""


class _Counter:
    """A shard as the storage thread knows it; thrown away when a transaction is undone."""

    __slots__ = ("arrival_max_ms", "id", "last", "rows", "shard", "stream_id")

    def __init__(
        self, shard_id: int, stream_id: int, shard: str, last: int, arrival_max_ms: int
    ) -> None:
        self.id = shard_id
        self.stream_id = stream_id
        self.shard = shard
        self.last = last
        self.arrival_max_ms = arrival_max_ms
        self.rows: list[segments.Row] = []

    def segments(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """The rows gathered, as rows of the table."""
        last = self.last - len(self.rows)
        for part in segments.cut(self.rows):
            last += len(part)
            self.arrival_max_ms = max(self.arrival_max_ms, *(row[1] for row in part))
            yield (
                segments.segment_id(self.id, last),
                len(part),
                part[0][1],
                self.arrival_max_ms,
                segments.pack(part),
            )
        self.rows = []


class _End(msgspec.Struct, frozen=True):
    """Where a shard ended when it was read; not `is_known` when there is no row of it."""

    last: int = 0
    is_closed: bool = False
    is_known: bool = True


class _Trim(msgspec.Struct, frozen=True):
    shard_id: int
    up_to: int


class SqliteStreams:
    """Implements `StreamStore`."""

    def __init__(self, writer: Writer, reader: Reader, wall_ms: Callable[[], int]) -> None:
        self._writer = writer
        self._reader = reader
        self._wall_ms = wall_ms
        self._wakes = Wakes()
        self._tails = Tails()
        self._append_kind = Kind(self._append, self._appended, is_growth=True, rank=0)
        # Of the same rank: both touch a shard's counter, and keep the order they came in.
        self._append_all_kind = Kind(self._append_all, self._appended_all, is_growth=True, rank=0)
        self._trim_kind = Kind(each(self._trim))
        self._purge_kind = Kind(each(_purge_keys))
        # Of the storage thread alone:
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._stream_ids: dict[str, int] = {}
        writer.on_rollback(self.forget_counters)

    async def append(self, record: NewRecord) -> Appended:
        """See `StreamStore.append`."""
        return await self.append_nowait(record)

    def append_nowait(self, record: NewRecord) -> asyncio.Future[Appended]:
        """See `StreamStore.append_nowait`."""
        return self._writer.submit(
            self._append_kind, record, len(record.data) + RECORD_OVERHEAD_BYTES
        )

    def append_all_nowait(self, records: Sequence[NewRecord]) -> asyncio.Future[Sequence[Appended]]:
        """See `StreamStore.append_all_nowait`: one operation, so never divided."""
        size_bytes = sum(len(record.data) + RECORD_OVERHEAD_BYTES for record in records)
        return self._writer.submit(self._append_all_kind, records, size_bytes, max(1, len(records)))

    async def read(
        self, stream: str, shard: str, after: int, records_max: int, bytes_max: int
    ) -> Fetched:
        """See `StreamStore.read`. From memory without a thread when not behind."""
        found = self.recent(stream, shard, after, records_max, bytes_max)
        if found is not None:
            return found
        records, end = await self._reader.submit(
            lambda db: _read(db, stream, shard, after, records_max, bytes_max)
        )
        if end.is_known:
            self._tails.learn((stream, shard), end.last, is_closed=end.is_closed)
        read_to = records[-1].position if records else max(after, end.last)
        return Fetched(records, read_to, end.is_closed and read_to >= end.last)

    def recent(
        self, stream: str, shard: str, after: int, records_max: int, bytes_max: int
    ) -> Fetched | None:
        """See `StreamStore.recent`."""
        return self._tails.read((stream, shard), after, records_max, bytes_max)

    def subscribe(self, stream: str, shard: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `StreamStore.subscribe`."""
        return self._wakes.subscribe((stream, shard), wake)

    async def stats(self, stream: str) -> Sequence[StreamStats]:
        """See `StreamStore.stats`. `oldest_position` of an empty shard is the next one to come."""
        return await self._reader.submit(lambda db: _stats(db, stream))

    async def position_at(self, stream: str, shard: str, arrival_ms: int) -> int:
        """See `StreamStore.position_at`; 0 for a shard that never held a record."""

        def find(db: sqlite3.Connection) -> int:
            row = db.execute(_FIND_SHARD, (stream, shard)).fetchone()
            return 0 if row is None else segments.position_at(db, row[0], row[1], arrival_ms)

        return await self._reader.submit(find)

    async def trim(
        self, stream: str, before_ms: int, finished: Mapping[str, int]
    ) -> tuple[int, int]:
        """See `StreamStore.trim`. Deduplication keys whose time ran out go too.

        A record goes only when all before it in its shard go: one that a clock set forward
        stamped too late holds those behind it until its own time comes.
        """
        removed = unfinished = 0
        for shard, trim in await self._reader.submit(lambda db: _trims(db, stream, before_ms)):
            is_more = True
            while is_more:
                first, last, is_more = await self._writer.submit(self._trim_kind, trim, 64)
                if not last:
                    continue
                self._tails.trim((stream, shard), last)
                removed += last - first + 1
                unfinished += max(0, last - max(finished.get(shard, 0), first - 1))
        if await self._reader.submit(lambda db: _has_old_keys(db, self._wall_ms())):
            while await self._writer.submit(self._purge_kind, self._wall_ms(), 64):
                pass
        return removed, unfinished

    def dropped(self, stream: str) -> None:
        """In the loop: the stream was dropped."""
        self._tails.forget(stream)

    def closed(self, stream: str, shards: Mapping[str, int]) -> None:
        """In the loop: shards were closed, with these last positions."""
        for shard, last in shards.items():
            self._tails.close((stream, shard), last)
        for shard in shards:
            self._wakes.wake((stream, shard))

    def forgotten(self, stream: str, before: str) -> None:
        """In the loop: the shards below a name were forgotten."""
        self._tails.forget_before(stream, before)

    def forget_counters(self) -> None:
        """In the storage thread: what it knows may not be true any more."""
        self._counters.clear()
        self._stream_ids.clear()

    def _append(self, db: sqlite3.Connection, records: Sequence[NewRecord]) -> list[Appended]:
        firsts = self._duplicates(db, records)
        touched: dict[int, _Counter] = {}
        counters = self._counters
        results: list[Appended] = []
        for index, record in enumerate(records):
            if firsts and index in firsts:
                results.append(Appended(firsts[index], 0, True))
                continue
            counter = counters.get((record.stream, record.shard))
            if counter is None:
                counter = self._counter(db, record.stream, record.shard)
            counter.last += 1
            counter.rows.append(
                (record.key, record.arrival_ms, record.size_bytes, record.event_id, record.data)
            )
            touched[counter.id] = counter
            results.append(Appended(record.event_id, counter.last, False))
        rows = [row for counter in touched.values() for row in counter.segments()]
        insert_rows(db, _INSERT_SEGMENTS, rows)
        counts = [(c.id, c.stream_id, c.shard, c.last, c.arrival_max_ms) for c in touched.values()]
        insert_rows(db, _COUNT_SHARDS, counts)
        return results

    def _appended(self, records: Sequence[NewRecord], results: Sequence[Appended]) -> None:
        by_shard: dict[tuple[str, str], list[Record]] = {}
        for new, appended in zip(records, results, strict=True):
            if appended.is_duplicate:
                continue
            record = Record(
                appended.position, new.key, new.arrival_ms, new.size_bytes, new.data, new.event_id
            )
            by_shard.setdefault((new.stream, new.shard), []).append(record)
        for key, fresh in by_shard.items():
            self._tails.push(key, fresh)
        for key in by_shard:
            self._wakes.wake(key)

    def _append_all(
        self, db: sqlite3.Connection, batches: Sequence[Sequence[NewRecord]]
    ) -> list[Sequence[Appended]]:
        results = iter(self._append(db, [record for batch in batches for record in batch]))
        return [list(itertools.islice(results, len(batch))) for batch in batches]

    def _appended_all(
        self, batches: Sequence[Sequence[NewRecord]], results: Sequence[Sequence[Appended]]
    ) -> None:
        flat = itertools.chain.from_iterable
        self._appended(list(flat(batches)), list(flat(results)))

    def _trim(self, db: sqlite3.Connection, trim: _Trim) -> tuple[int, int, bool]:
        removed = segments.remove(db, trim.shard_id, trim.up_to, TRIM_SEGMENTS)
        if removed[1]:
            # In an emptied shard the latest arrival starts over: what is gone must not stand
            # for what comes. (Else the first record left is itself later than all that went.)
            emptied = db.execute(
                "UPDATE shards SET arrival_max_ms = 0 WHERE id = ? AND last_position = ?",
                (trim.shard_id, removed[1]),
            ).rowcount
            if emptied:
                self.forget_counters()
        return removed

    def _counter(self, db: sqlite3.Connection, stream: str, shard: str) -> _Counter:
        stream_id = self._stream_id(db, stream)
        row = db.execute(_FIND_COUNTER, (stream_id, shard)).fetchone()
        if row is None:
            if db.execute(_IS_FORGOTTEN, (stream, shard)).fetchone() != (0,):
                raise ShardClosed(f"shard {shard} of {stream} is forgotten")
            db.execute(_MAKE_SHARD, (stream_id, shard))
            row = db.execute(_FIND_COUNTER, (stream_id, shard)).fetchone()
        if row[3]:
            raise ShardClosed(f"shard {shard} of {stream} is closed")
        counter = _Counter(row[0], stream_id, shard, row[1], row[2])
        self._counters[stream, shard] = counter
        return counter

    def _stream_id(self, db: sqlite3.Connection, stream: str) -> int:
        stream_id = self._stream_ids.get(stream)
        if stream_id is None:
            db.execute("INSERT OR IGNORE INTO streams (arn) VALUES (?)", (stream,))
            (stream_id,) = db.execute("SELECT id FROM streams WHERE arn = ?", (stream,)).fetchone()
            self._stream_ids[stream] = stream_id
        return int(stream_id)

    def _duplicates(
        self, db: sqlite3.Connection, records: Sequence[NewRecord]
    ) -> dict[int, str] | None:
        """Index of each duplicate → the first one's event id; remembers the other keys.

        One statement holds no key twice, so that a second record of a group meets the first.
        """
        firsts: dict[int, str] = {}
        part: dict[tuple[int, bytes], int] = {}
        for index, record in enumerate(records):
            if record.dedup_key is None:
                continue
            key = (self._stream_id(db, record.stream), _digest(record.dedup_key))
            if key in part or len(part) == ROWS_MAX:
                _remember(db, records, part, firsts)
                part = {}
            part[key] = index
        if part:
            _remember(db, records, part, firsts)
        return firsts


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _remember(
    db: sqlite3.Connection,
    records: Sequence[NewRecord],
    part: Mapping[tuple[int, bytes], int],
    firsts: dict[int, str],
) -> None:
    rows = []
    for (stream_id, key), index in part.items():
        record = records[index]
        rows.append((stream_id, key, record.event_id, record.arrival_ms, record.dedup_until_ms))
    if insert_rows(db, _REMEMBER, rows) == len(rows):
        return  # none was known
    for stream_id, key, event_id, _arrival, _until in rows:
        (first,) = db.execute(
            "SELECT event_id FROM deduplication WHERE stream_id = ? AND key = ?", (stream_id, key)
        ).fetchone()
        if first != event_id:
            firsts[part[stream_id, key]] = first


def _read(
    db: sqlite3.Connection, stream: str, shard: str, after: int, records_max: int, bytes_max: int
) -> tuple[list[Record], _End]:
    """Records, and where the shard ended *before* they were read."""
    row = db.execute(_FIND_SHARD, (stream, shard)).fetchone()
    if row is None:
        is_forgotten = db.execute(_IS_FORGOTTEN, (stream, shard)).fetchone() == (1,)
        return [], _End(is_closed=is_forgotten, is_known=False)
    end = _End(row[1], is_closed=bool(row[2]))
    return segments.read(db, row[0], after, records_max, bytes_max), end


def _stats(db: sqlite3.Connection, stream: str) -> list[StreamStats]:
    found = []
    for _shard_id, shard, last, oldest in db.execute(_STATS, (stream,)).fetchall():
        row = db.execute(
            "SELECT records, first_arrival_ms FROM segments WHERE id = ?", (oldest,)
        ).fetchone()
        if row is None:
            found.append(StreamStats(shard, last, last + 1, None))
        else:
            first = (oldest & segments.POSITION_MAX) - row[0] + 1
            found.append(StreamStats(shard, last, first, row[1]))
    return found


def _trims(db: sqlite3.Connection, stream: str, before_ms: int) -> list[tuple[str, _Trim]]:
    shards = db.execute(
        "SELECT shards.id, shard, last_position FROM shards JOIN streams ON streams.id = stream_id"
        " WHERE arn = ?",
        (stream,),
    ).fetchall()
    found = []
    for shard_id, shard, last in shards:
        # Mostly there is nothing to remove: then no commit is held up to find that out.
        first = segments.first_position(db, shard_id)
        if first and (up_to := segments.position_at(db, shard_id, last, before_ms)) >= first:
            found.append((shard, _Trim(shard_id, up_to)))
    return found


def _has_old_keys(db: sqlite3.Connection, now_ms: int) -> bool:
    row = db.execute("SELECT 1 FROM deduplication WHERE until_ms < ? LIMIT 1", (now_ms,))
    return row.fetchone() is not None


def _purge_keys(db: sqlite3.Connection, now_ms: int) -> bool:
    removed = db.execute(
        "DELETE FROM deduplication WHERE (stream_id, key) IN"
        " (SELECT stream_id, key FROM deduplication WHERE until_ms < ? LIMIT ?)",
        (now_ms, PURGE_KEYS),
    ).rowcount
    return removed == PURGE_KEYS
