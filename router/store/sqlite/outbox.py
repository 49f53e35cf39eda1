"""The outbox: on-failure records waiting for delivery."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from router.model.errors import StoreFull
from router.model.limits import OUTBOX_WAIT_MS_MAX
from router.store.base import Address, EnqueuedMessage, OutboxDepth, OutboxRow, Postponed
from router.store.sqlite import queues
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.reader import Reader
from router.store.sqlite.writer import Kind, Writer, each
from router.telemetry import metrics

_HEADS = """
SELECT id, mapping, mapping_uuid, lane, letter_id, object_key, length(body), records,
attempts, next_attempt_ms, function, attributes, trace_header FROM outbox
WHERE destination = ? AND origin = ? AND next_attempt_ms {} ?
ORDER BY next_attempt_ms, made_ms, id LIMIT ?
"""
_SIZE = "SELECT destination, origin, length(body) FROM outbox WHERE id = ?"
_BYTES = "SELECT destination, origin, sum(length(body)) FROM outbox GROUP BY destination, origin"
_DUE = _HEADS.format("<=")
_DUE_TOO_LATE = _HEADS.format(">")
"""Later than any wait lasts."""


Freed = tuple[Address, int]
"""Bytes that wait no longer for a destination."""


class _Delivered(msgspec.Struct, frozen=True):
    row_id: int
    message: EnqueuedMessage | None
    now_ms: int


class SqliteOutbox:
    """Implements `OutboxStore`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        queues: SqliteQueues,
        bytes_max: int,
        wall_ms: Callable[[], int],
    ) -> None:
        """`bytes_max`: what may wait for one destination."""
        self._writer = writer
        self._reader = reader
        self._queues = queues
        self._bytes_max = bytes_max
        self._wall_ms = wall_ms
        self._delivered_kind = Kind(each(_delivered), self._told)
        self._failed_kind = Kind(each(_failed), self._shrunk)
        self._waiting: dict[Address, int] = {}
        """Bytes of the rows of each destination that has any."""

    async def open(self) -> None:
        """Count what waits."""
        rows = await self._reader.submit(lambda db: db.execute(_BYTES).fetchall())
        self._waiting = {Address(row[0], row[1]): row[2] for row in rows}

    def check_room(self, row: OutboxRow) -> None:
        """One row may always wait, however large. Raises `StoreFull`."""
        waiting_bytes = self._waiting.get(row.address, 0)
        if waiting_bytes and waiting_bytes + len(row.body) > self._bytes_max:
            metrics.STORE_ERRORS.labels("outbox_full").inc()
            raise StoreFull(
                f"{waiting_bytes} bytes of on-failure records wait for {row.destination} already"
                " (ROUTER_STORE_OUTBOX_BYTES_MAX)"
            )

    def grew(self, address: Address, size_bytes: int) -> None:
        """A row was stored."""
        self._waiting[address] = self._waiting.get(address, 0) + size_bytes

    async def depths(self, now_wall_ms: int) -> Sequence[OutboxDepth]:
        """See `OutboxStore.depths`."""

        def count(db: sqlite3.Connection) -> list[OutboxDepth]:
            times = (now_wall_ms, now_wall_ms + OUTBOX_WAIT_MS_MAX)
            rows = db.execute(
                "SELECT destination, origin, count(*), min(made_ms),"
                " max(next_attempt_ms <= ? OR next_attempt_ms > ?)"
                " FROM outbox GROUP BY destination, origin",
                times,
            )
            return [
                OutboxDepth(Address(row[0], row[1]), row[2], row[3], bool(row[4])) for row in rows
            ]

        return await self._reader.submit(count)

    async def due(self, address: Address, now_wall_ms: int, rows_max: int) -> Sequence[OutboxRow]:
        """See `OutboxStore.due`."""

        def select(db: sqlite3.Connection) -> list[OutboxRow]:
            found: list[OutboxRow] = []
            for which, limit_ms in (
                (_DUE, now_wall_ms),
                (_DUE_TOO_LATE, now_wall_ms + OUTBOX_WAIT_MS_MAX),
            ):
                where = (address.destination, address.origin)
                rows = db.execute(which, (*where, limit_ms, rows_max - len(found)))
                found += [_row(address, row) for row in rows]
            return found

        return await self._reader.submit(select)

    async def body(self, row_id: int) -> bytes | None:
        """See `OutboxStore.body`."""

        def find(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT body FROM outbox WHERE id = ?", (row_id,)).fetchone()
            return None if row is None else bytes(row[0])

        return await self._reader.submit(find)

    async def delivered(self, row_id: int, message: EnqueuedMessage | None = None) -> None:
        """See `OutboxStore.delivered`. A row that is gone already delivers nothing again."""
        size_bytes = 100 + (len(message.body) if message is not None else 0)
        delivered = _Delivered(row_id, message, self._wall_ms())
        await self._writer.submit(self._delivered_kind, delivered, size_bytes)

    async def failed(self, rows: Sequence[Postponed]) -> None:
        """See `OutboxStore.failed`."""
        size_bytes = 100 * len(rows) + sum(len(row.body or b"") for row in rows)
        await self._writer.submit(self._failed_kind, rows, size_bytes)

    def _told(self, requests: Sequence[_Delivered], results: Sequence[Freed | None]) -> None:
        for request, freed in zip(requests, results, strict=True):
            if freed is not None:
                self._free(*freed)
                if request.message is not None:
                    self._queues.wake(request.message.queue)

    def _shrunk(self, _requests: object, results: Sequence[Sequence[Freed]]) -> None:
        for freed in results:
            for address, size_bytes in freed:
                self._free(address, size_bytes)

    def _free(self, address: Address, size_bytes: int) -> None:
        left_bytes = self._waiting.pop(address, 0) - size_bytes
        if left_bytes > 0:
            self._waiting[address] = left_bytes


def _row(address: Address, row: tuple[Any, ...]) -> OutboxRow:
    return OutboxRow(
        id=row[0],
        mapping=row[1],
        mapping_uuid=row[2],
        destination=address.destination,
        lane=row[3],
        letter_id=row[4],
        object_key=row[5],
        origin=address.origin,
        body=b"",
        size_bytes=row[6],
        records=row[7],
        attempts=row[8],
        next_attempt_ms=row[9],
        function=row[10],
        attributes=row[11],
        trace_header=row[12],
    )


def insert(db: sqlite3.Connection, row: OutboxRow, now_ms: int) -> None:
    """Add a row inside another transaction."""
    db.execute(
        "INSERT INTO outbox"
        " (mapping, mapping_uuid, destination, lane, letter_id, object_key, origin, body, records,"
        " attempts, next_attempt_ms, function, attributes, trace_header, made_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.mapping,
            row.mapping_uuid,
            row.destination,
            row.lane,
            row.letter_id,
            row.object_key,
            row.origin,
            row.body,
            row.records,
            row.attempts,
            row.next_attempt_ms,
            row.function,
            row.attributes,
            row.trace_header,
            now_ms,
        ),
    )


def _delivered(db: sqlite3.Connection, request: _Delivered) -> Freed | None:
    freed = _freed(db, request.row_id, b"")
    if freed is None:
        return None
    db.execute("DELETE FROM outbox WHERE id = ?", (request.row_id,))
    if request.message is not None:
        queues.enqueue(db, request.message, request.now_ms)
    return freed


def _freed(db: sqlite3.Connection, row_id: int, body: bytes) -> Freed | None:
    """What becomes free when a row has this body; None when it is gone."""
    found = db.execute(_SIZE, (row_id,)).fetchone()
    return None if found is None else (Address(found[0], found[1]), found[2] - len(body))


def _failed(db: sqlite3.Connection, rows: Sequence[Postponed]) -> Sequence[Freed]:
    freed = []
    for row in rows:
        db.execute(
            "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = ? WHERE id = ?",
            (row.next_attempt_ms, row.id),
        )
        if row.body is not None and (less := _freed(db, row.id, row.body)) is not None:
            freed.append(less)
            db.execute(
                "UPDATE outbox SET body = ?, records = ? WHERE id = ?",
                (row.body, row.records, row.id),
            )
    return freed
