"""Messages of embedded standard queues."""

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from router.store.base import EnqueuedMessage, NewMessage, QueueCounts, StoredMessage
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import for_ids, insert_rows
from router.store.sqlite.wakes import Wakes
from router.store.sqlite.writer import Kind, Writer, each

MOVES_MAX: Final = 100
"""Messages one receive moves to the dead-letter queue; the next receive goes on."""

EXPIRE_ROWS: Final = 1_000
"""Messages past their retention removed in one step."""

MESSAGE_OVERHEAD_BYTES: Final = 400
"""What a waiting message takes beside its body."""

_FIND = "SELECT id FROM queues WHERE name = ?"

_COLUMNS = (
    "id, message_id, body, attributes, system, sent_ms, first_received_ms, receive_count,"
    " receive_count"
)

_INSERT = """
INSERT INTO messages
(queue_id, visible_ms, expires_ms, sent_ms, message_id, attributes, system, body) VALUES (:row)
"""

_VISIBLE = """
SELECT id, receive_count FROM messages
WHERE queue_id = ? AND visible_ms <= ? AND expires_ms > ?
ORDER BY visible_ms, receive_count, id LIMIT ?
"""

# Gives the rows in any order.
_HIDE = f"""
UPDATE messages SET visible_ms = ?, receive_count = receive_count + 1,
first_received_ms = CASE first_received_ms WHEN 0 THEN ? ELSE first_received_ms END
WHERE id IN (:ids) RETURNING {_COLUMNS}
"""  # noqa: S608 - a constant

_DELETE = "DELETE FROM messages WHERE queue_id = ? AND id IN (:ids)"

# A moved message keeps its id, body, time of sending and count, and names where it came from
# (`bus-http-and-schedules.md` 6.3, Redrive).
_MOVE = """
UPDATE messages SET queue_id = ?, visible_ms = ?,
system = CAST(json_set(CASE system WHEN x'' THEN '{}' ELSE CAST(system AS TEXT) END,
                       '$.DeadLetterQueueSourceArn', ?) AS BLOB)
WHERE id = ?
"""


class _Receive(msgspec.Struct, frozen=True):
    queue: str
    now_ms: int
    messages_max: int
    visible_ms: int
    redrive: tuple[str, int] | None


class _Received(msgspec.Struct, frozen=True):
    messages: list[StoredMessage]
    moved: int


class _Visibility(msgspec.Struct, frozen=True):
    queue: str
    message: int
    token: int
    now_ms: int
    visible_ms: int


class SqliteQueues:
    """Implements `QueueStore`. A queue exists here from its first message on."""

    def __init__(self, writer: Writer, reader: Reader, collect: Callable[[], None]) -> None:
        """`collect` asks for what a purge left behind to be removed."""
        self._writer = writer
        self._reader = reader
        self._collect = collect
        self._wakes = Wakes()
        self._send_kind = Kind(each(_send), self._sent, is_growth=True)
        self._receive_kind = Kind(each(_receive), self._received)
        self._delete_kind = Kind(each(_delete))
        self._visibility_kind = Kind(each(_change_visibility), self._changed)
        self._purge_kind = Kind(each(purge))
        self._expire_kind = Kind(each(_expire))

    async def send(self, messages: Sequence[NewMessage]) -> None:
        """See `QueueStore.send`."""
        size_bytes = sum(
            len(message.body) + len(message.attributes) + MESSAGE_OVERHEAD_BYTES
            for message in messages
        )
        await self._writer.submit(self._send_kind, tuple(messages), size_bytes)

    async def receive(
        self,
        queue: str,
        now_ms: int,
        messages_max: int,
        visibility_ms: int,
        redrive: tuple[str, int] | None = None,
    ) -> Sequence[StoredMessage]:
        """See `QueueStore.receive`. Longest visible first."""
        request = _Receive(queue, now_ms, messages_max, now_ms + visibility_ms, redrive)
        return (await self._writer.submit(self._receive_kind, request, 200)).messages

    async def peek(self, queue: str, messages_max: int) -> Sequence[StoredMessage]:
        """See `QueueStore.peek`."""

        def select(db: sqlite3.Connection) -> list[StoredMessage]:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM messages WHERE queue_id ="  # noqa: S608 - a constant
                " (SELECT id FROM queues WHERE name = ?) ORDER BY id LIMIT ?",
                (queue, messages_max),
            ).fetchall()
            return list(map(_stored, rows))

        return await self._reader.submit(select)

    async def delete(self, queue: str, ids: Sequence[int]) -> None:
        """See `QueueStore.delete`."""
        await self._writer.submit(self._delete_kind, (queue, tuple(ids)), 100 + 8 * len(ids))

    async def change_visibility(
        self, queue: str, message: int, token: int, now_ms: int, visible_ms: int
    ) -> bool:
        """See `QueueStore.change_visibility`."""
        request = _Visibility(queue, message, token, now_ms, visible_ms)
        return await self._writer.submit(self._visibility_kind, request, 200)

    async def counts(self, queue: str, now_ms: int) -> QueueCounts:
        """See `QueueStore.counts`. Messages past their retention count until `expire`."""

        def count(db: sqlite3.Connection) -> QueueCounts:
            row = db.execute(
                "SELECT count(*) FILTER (WHERE visible_ms <= ?2),"
                " count(*) FILTER (WHERE visible_ms > ?2 AND receive_count > 0),"
                " count(*) FILTER (WHERE visible_ms > ?2 AND receive_count = 0)"
                " FROM messages WHERE queue_id = (SELECT id FROM queues WHERE name = ?1)",
                (queue, now_ms),
            ).fetchone()
            return QueueCounts(*row)

        return await self._reader.submit(count)

    async def next_visible_ms(self, queue: str, now_ms: int) -> int | None:
        """See `QueueStore.next_visible_ms`."""

        def find(db: sqlite3.Connection) -> int | None:
            (found,) = db.execute(
                "SELECT min(visible_ms) FROM messages"
                " WHERE queue_id = (SELECT id FROM queues WHERE name = ?) AND visible_ms > ?",
                (queue, now_ms),
            ).fetchone()
            return None if found is None else int(found)

        return await self._reader.submit(find)

    async def purge(self, queue: str) -> None:
        """See `QueueStore.purge`. At once for callers; the rows go in bounded steps after."""
        await self._writer.submit(self._purge_kind, queue, 100)
        self._collect()

    async def expire(self, now_ms: int) -> int:
        """See `QueueStore.expire`."""
        removed = 0
        while True:
            step = await self._writer.submit(self._expire_kind, now_ms, 100)
            removed += step
            if step < EXPIRE_ROWS:
                return removed

    def subscribe(self, queue: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `QueueStore.subscribe`. Also woken by a message made visible or moved here."""
        return self._wakes.subscribe(queue, wake)

    def wake(self, queue: str) -> None:
        """In the loop: another transaction delivered to the queue."""
        self._wakes.wake(queue)

    def _sent(self, requests: Sequence[tuple[NewMessage, ...]], _results: object) -> None:
        for queue in {message.queue for request in requests for message in request}:
            self._wakes.wake(queue)

    def _received(self, requests: Sequence[_Receive], results: Sequence[_Received]) -> None:
        for request, result in zip(requests, results, strict=True):
            if result.moved and request.redrive is not None:
                self._wakes.wake(request.redrive[0])

    def _changed(self, requests: Sequence[_Visibility], results: Sequence[bool]) -> None:
        for request, is_changed in zip(requests, results, strict=True):
            if is_changed:
                self._wakes.wake(request.queue)


def enqueue(db: sqlite3.Connection, message: EnqueuedMessage, now_ms: int) -> None:
    """Deliver a message inside another transaction."""
    new = NewMessage(
        queue=message.queue,
        message_id=str(uuid.uuid4()),
        body=message.body,
        sent_ms=now_ms,
        visible_ms=now_ms + 1000 * message.delay_s,
        expires_ms=now_ms + 1000 * message.retention_s,
    )
    _send(db, (new,))


def purge(db: sqlite3.Connection, queue: str) -> None:
    """Take the queue's messages away from it at once; `garbage` removes them."""
    db.execute("UPDATE queues SET name = NULL WHERE name = ?", (queue,))


def _queue_id(db: sqlite3.Connection, queue: str) -> int:
    row = db.execute(_FIND, (queue,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO queues (name) VALUES (?) RETURNING id", (queue,)).fetchone()
    return int(row[0])


def _send(db: sqlite3.Connection, messages: tuple[NewMessage, ...]) -> None:
    ids = {queue: _queue_id(db, queue) for queue in {message.queue for message in messages}}
    insert_rows(
        db,
        _INSERT,
        [
            (
                ids[message.queue],
                message.visible_ms,
                message.expires_ms,
                message.sent_ms,
                message.message_id,
                message.attributes,
                message.system,
                message.body,
            )
            for message in messages
        ],
    )


def _receive(db: sqlite3.Connection, request: _Receive) -> _Received:
    row = db.execute(_FIND, (request.queue,)).fetchone()
    if row is None or request.messages_max <= 0:
        return _Received([], 0)
    queue_id, now_ms = row[0], request.now_ms
    moved = 0
    while True:
        visible = db.execute(_VISIBLE, (queue_id, now_ms, now_ms, request.messages_max)).fetchall()
        if request.redrive is None:
            break
        target, count_max = request.redrive
        spent = [message for message, count in visible if count >= count_max]
        if not spent:
            break
        target_id = _queue_id(db, target)
        db.executemany(_MOVE, [(target_id, now_ms, request.queue, message) for message in spent])
        moved += len(spent)
        if target_id == queue_id or moved >= MOVES_MAX:
            visible = [item for item in visible if item[1] < count_max]
            break
    taken = [message for message, _count in visible]
    rows = {row[0]: row for row in for_ids(db, _HIDE, (request.visible_ms, now_ms), taken)}
    return _Received([_stored(rows[message]) for message in taken], moved)


def _stored(row: tuple[int, str, str, bytes, bytes, int, int, int, int]) -> StoredMessage:
    return StoredMessage(
        id=row[0],
        message_id=row[1],
        body=row[2],
        attributes=row[3],
        system=row[4],
        sent_ms=row[5],
        first_received_ms=row[6],
        receive_count=row[7],
        token=row[8],
    )


def _delete(db: sqlite3.Connection, request: tuple[str, tuple[int, ...]]) -> None:
    queue, ids = request
    row = db.execute(_FIND, (queue,)).fetchone()
    if row is not None:
        for_ids(db, _DELETE, row, ids)


def _change_visibility(db: sqlite3.Connection, request: _Visibility) -> bool:
    changed = db.execute(
        "UPDATE messages SET visible_ms = ? WHERE id = ? AND receive_count = ? AND expires_ms > ?"
        " AND queue_id = (SELECT id FROM queues WHERE name = ?)",
        (request.visible_ms, request.message, request.token, request.now_ms, request.queue),
    ).rowcount
    return changed == 1


def _expire(db: sqlite3.Connection, now_ms: int) -> int:
    return db.execute(
        "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE expires_ms <= ? LIMIT ?)",
        (now_ms, EXPIRE_ROWS),
    ).rowcount
