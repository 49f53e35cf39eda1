"""What exists."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from router.model.errors import NotEmpty
from router.store.base import (
    Change,
    CutStream,
    Delete,
    DropProgress,
    DropQueue,
    DropStream,
    ForgetShards,
    Put,
    RequireEmptyQueue,
    RequireEmptyStream,
    Resource,
)
from router.store.sqlite import lineage, moves, queues
from router.store.sqlite.progress import SqliteProgress
from router.store.sqlite.reader import Reader
from router.store.sqlite.streams import SqliteStreams
from router.store.sqlite.writer import Kind, Writer, each

_STREAM_HOLDS = """
SELECT EXISTS (SELECT 1 FROM shards JOIN streams ON streams.id = stream_id
JOIN segments ON segments.id > shards.id << 40 AND segments.id < (shards.id + 1) << 40
WHERE arn = ?)
"""

_QUEUE_HOLDS = """
SELECT EXISTS (SELECT 1 FROM messages JOIN queues ON queues.id = queue_id WHERE name = ?)
"""


class SqliteMetadata:
    """Implements `MetadataStore`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        streams: SqliteStreams,
        progress: SqliteProgress,
        collect: Callable[[], None],
    ) -> None:
        """`collect` asks for what a drop left behind to be removed."""
        self._writer = writer
        self._reader = reader
        self._streams = streams
        self._progress = progress
        self._collect = collect
        self._apply_kind = Kind(each(self._apply), self._applied)

    async def load(self) -> Sequence[Resource]:
        """See `MetadataStore.load`."""
        return await self._reader.submit(
            lambda db: [
                Resource(*row)
                for row in db.execute("SELECT kind, name, body FROM resources ORDER BY kind, name")
            ]
        )

    async def apply(self, changes: Sequence[Change]) -> None:
        """See `MetadataStore.apply`."""
        size_bytes = sum(
            200 + (len(change.resource.body) if isinstance(change, Put) else 0)
            for change in changes
        )
        await self._writer.submit(self._apply_kind, tuple(changes), size_bytes)

    def _apply(
        self, db: sqlite3.Connection, changes: tuple[Change, ...]
    ) -> Mapping[str, Mapping[str, int]]:
        """Per stream, the shards that were closed with their last positions."""
        closed: dict[str, Mapping[str, int]] = {}
        for change in changes:
            match change:
                case Put(resource):
                    db.execute(
                        "INSERT OR REPLACE INTO resources (kind, name, body) VALUES (?, ?, ?)",
                        (resource.kind, resource.name, resource.body),
                    )
                case Delete(kind, name):
                    db.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
                case DropStream(stream):
                    for (mapping,) in db.execute(lineage.MAPPINGS_OF_STREAM, (stream,)).fetchall():
                        self._drop_progress(db, mapping)
                    db.execute("UPDATE streams SET arn = NULL WHERE arn = ?", (stream,))
                    self._streams.forget_counters()
                case DropQueue(queue):
                    queues.purge(db, queue)
                    moves.drop(db, queue)
                case DropProgress(mapping):
                    self._drop_progress(db, mapping)
                case CutStream(stream):
                    closed[stream] = lineage.cut(db, change)
                    self._streams.forget_counters()
                case ForgetShards():
                    lineage.forget(db, change)
                    self._streams.forget_counters()
                    self._progress.forget()
                case RequireEmptyStream(stream):
                    _require_empty(db, _STREAM_HOLDS, f"stream {stream}", stream)
                case RequireEmptyQueue(queue):
                    _require_empty(db, _QUEUE_HOLDS, f"queue {queue}", queue)
        return closed

    def _drop_progress(self, db: sqlite3.Connection, mapping: str) -> None:
        db.execute("DELETE FROM progress WHERE mapping = ?", (mapping,))
        db.execute("DELETE FROM lanes WHERE mapping = ?", (mapping,))
        db.execute("DELETE FROM windows WHERE mapping = ?", (mapping,))
        self._progress.forget()

    def _applied(
        self,
        requests: Sequence[tuple[Change, ...]],
        results: Sequence[Mapping[str, Mapping[str, int]]],
    ) -> None:
        is_garbage = False
        for changes, closed in zip(requests, results, strict=True):
            for change in changes:
                if isinstance(change, DropStream):
                    self._streams.dropped(change.stream)
                elif isinstance(change, CutStream):
                    self._streams.closed(change.stream, closed[change.stream])
                elif isinstance(change, ForgetShards):
                    self._streams.forgotten(change.stream, change.before)
                is_garbage = is_garbage or isinstance(change, DropStream | DropQueue)
        if is_garbage:
            self._collect()


def _require_empty(db: sqlite3.Connection, holds: str, what: str, name: str) -> None:
    if db.execute(holds, (name,)).fetchone() != (0,):
        raise NotEmpty(f"{what} has taken something in meanwhile: look at it again")
