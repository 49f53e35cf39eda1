"""The outbox: on-failure records waiting for delivery."""

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from router.model.limits import OUTBOX_WAIT_MS_MAX
from router.store.base import EnqueuedMessage, OutboxRow
from router.store.sqlite import queues
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.reader import Reader
from router.store.sqlite.writer import Kind, Writer, each


class _Delivered(msgspec.Struct, frozen=True):
    row_id: int
    message: EnqueuedMessage | None
    now_ms: int


class SqliteOutbox:
    """Implements `OutboxStore`."""

    def __init__(
        self, writer: Writer, reader: Reader, queues: SqliteQueues, wall_ms: Callable[[], int]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._queues = queues
        self._wall_ms = wall_ms
        self._delivered_kind = Kind(each(_delivered), self._told)
        self._failed_kind = Kind(each(_failed))

    async def due(self, now_wall_ms: int, rows_max: int) -> Sequence[OutboxRow]:
        """See `OutboxStore.due`."""

        def select(db: sqlite3.Connection) -> list[OutboxRow]:
            rows = db.execute(
                "SELECT id, mapping, destination, body, records, attempts, next_attempt_ms"
                " FROM outbox WHERE next_attempt_ms <= ? OR next_attempt_ms > ?"
                " ORDER BY id LIMIT ?",
                (now_wall_ms, now_wall_ms + OUTBOX_WAIT_MS_MAX, rows_max),
            ).fetchall()
            return [
                OutboxRow(
                    id=row[0],
                    mapping=row[1],
                    destination=row[2],
                    body=row[3],
                    records=row[4],
                    attempts=row[5],
                    next_attempt_ms=row[6],
                )
                for row in rows
            ]

        return await self._reader.submit(select)

    async def delivered(self, row_id: int, message: EnqueuedMessage | None = None) -> None:
        """See `OutboxStore.delivered`. A row that is gone already delivers nothing again."""
        size_bytes = 100 + (len(message.body) if message is not None else 0)
        delivered = _Delivered(row_id, message, self._wall_ms())
        await self._writer.submit(self._delivered_kind, delivered, size_bytes)

    async def failed(self, row_id: int, next_attempt_ms: int) -> None:
        """See `OutboxStore.failed`."""
        await self._writer.submit(self._failed_kind, (row_id, next_attempt_ms), 100)

    async def depth(self) -> tuple[int, int | None]:
        """See `OutboxStore.depth`."""

        def count(db: sqlite3.Connection) -> tuple[int, int | None]:
            (rows,) = db.execute("SELECT count(*) FROM outbox").fetchone()
            oldest = db.execute("SELECT made_ms FROM outbox ORDER BY id LIMIT 1").fetchone()
            return rows, None if oldest is None else oldest[0]

        return await self._reader.submit(count)

    def _told(self, requests: Sequence[_Delivered], results: Sequence[bool]) -> None:
        for request, is_removed in zip(requests, results, strict=True):
            if is_removed and request.message is not None:
                self._queues.wake(request.message.queue)


def insert(db: sqlite3.Connection, row: OutboxRow, now_ms: int) -> None:
    """Add a row inside another transaction."""
    db.execute(
        "INSERT INTO outbox"
        " (mapping, destination, body, records, attempts, next_attempt_ms, made_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            row.mapping,
            row.destination,
            row.body,
            row.records,
            row.attempts,
            row.next_attempt_ms,
            now_ms,
        ),
    )


def _delivered(db: sqlite3.Connection, request: _Delivered) -> bool:
    if not db.execute("DELETE FROM outbox WHERE id = ?", (request.row_id,)).rowcount:
        return False
    if request.message is not None:
        queues.enqueue(db, request.message, request.now_ms)
    return True


def _failed(db: sqlite3.Connection, request: tuple[int, int]) -> None:
    row_id, next_attempt_ms = request
    db.execute(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = ? WHERE id = ?",
        (next_attempt_ms, row_id),
    )
