"""Messages of embedded queues: standard ones, and what FIFO queues share with them."""

import sqlite3
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from router.store.base import EnqueuedMessage
from router.store.queues import (
    NewMessage,
    QueueCounts,
    Redrive,
    StoredMessage,
    TooManyInFlight,
)
from router.store.sqlite import fifo, messages
from router.store.sqlite.fifo import SqliteFifo
from router.store.sqlite.messages import (
    COLUMNS,
    FIND,
    MESSAGE_OVERHEAD_BYTES,
    MOVES_MAX,
    InFlight,
    queue_id,
)
from router.store.sqlite.moves import SqliteMoves
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import for_ids, insert_rows
from router.store.sqlite.wakes import Wakes
from router.store.sqlite.writer import Kind, Writer, each

EXPIRE_ROWS: Final = 1_000
"""Messages past their retention removed in one step."""

RETIME_ROWS: Final = 2_000
"""Messages looked at in one step when a queue's times change."""

GROUP_OF_OTHERS: Final = "router"
"""Group of what another transaction delivers to a FIFO queue without one."""

_INSERT = """
INSERT INTO messages
(queue_id, visible_ms, expires_ms, sent_ms, message_id, attributes, system, body) VALUES (:row)
"""

_VISIBLE = """
SELECT id, receive_count FROM messages
WHERE queue_id = ? AND visible_ms <= ? AND expires_ms > ?
ORDER BY visible_ms, receive_count, id LIMIT ?
"""

# The plus keeps SQLite to the ids: by its index of queues it would look at all that waits.
_DELETE = "DELETE FROM messages WHERE +queue_id = ? AND id IN (:ids)"

# The inner one needs no more than an index, however large the messages are.
_PEEK = f"""
SELECT {COLUMNS} FROM messages WHERE id IN (
    SELECT id FROM messages WHERE queue_id = (SELECT id FROM queues WHERE name = ?)
    ORDER BY id LIMIT ?
) ORDER BY id
"""  # noqa: S608 - a constant

# A moved message keeps its id, body, time of sending and count, and names where it came from
# (`bus-http-and-schedules.md` 6.3, Redrive). Its age goes on by the other queue's retention.
_MOVE = f"""
UPDATE messages SET queue_id = ?, visible_ms = ?, expires_ms = sent_ms + ?,
system = CAST(json_set({messages.SYSTEM_JSON}, '$.DeadLetterQueueSourceArn', ?) AS BLOB)
WHERE id = ?
"""  # noqa: S608 - a constant


class _Receive(msgspec.Struct, frozen=True):
    queue: str
    now_ms: int
    messages_max: int
    visible_ms: int
    redrive: Redrive | None


class _Received(msgspec.Struct, frozen=True):
    messages: list[StoredMessage]
    moved: int = 0
    is_more: bool = False
    """Too much had to move first: ask again."""
    is_full: bool = False
    """Too much is in flight."""


class _Visibility(msgspec.Struct, frozen=True):
    queue: str
    message: int
    token: int
    now_ms: int
    visible_ms: int


class _Retime(msgspec.Struct, frozen=True):
    queue: str
    after: int
    retention_ms: int | None
    delay_ms: int | None


class SqliteQueues:
    """Implements `QueueStore`."""

    def __init__(self, writer: Writer, reader: Reader, collect: Callable[[], None]) -> None:
        """`collect` asks for what a purge left behind to be removed."""
        self._writer = writer
        self._reader = reader
        self._collect = collect
        self._wakes = Wakes()
        in_flight = InFlight()
        writer.on_rollback(in_flight.forget)
        self._in_flight = in_flight
        self.fifo = SqliteFifo(writer, reader, self._wakes, in_flight)
        self.moves = SqliteMoves(writer, reader, self._wakes)
        self._send_kind = Kind(each(_send), self._sent, is_growth=True)
        self._receive_kind = Kind(each(self._receive), self._received)
        self._delete_kind = Kind(each(_delete))
        self._visibility_kind = Kind(each(_change_visibility), self._changed)
        self._purge_kind = Kind(each(purge))
        self._expire_kind = Kind(each(_expire))
        self._forget_kind = Kind(each(_forget))
        self._retime_kind = Kind(each(_retime))

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
        redrive: Redrive | None = None,
    ) -> Sequence[StoredMessage]:
        """See `QueueStore.receive`. Longest visible first."""
        request = _Receive(queue, now_ms, messages_max, now_ms + visibility_ms, redrive)
        while True:
            result = await self._writer.submit(self._receive_kind, request, 200)
            if result.is_full:
                raise TooManyInFlight(f"too many messages of queue {queue} are in flight")
            if result.messages or not result.is_more:
                return result.messages

    async def peek(self, queue: str, messages_max: int) -> Sequence[StoredMessage]:
        """See `QueueStore.peek`."""

        def select(db: sqlite3.Connection) -> list[StoredMessage]:
            rows = db.execute(_PEEK, (queue, messages_max)).fetchall()
            return [messages.stored(row) for row in rows]

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
        removed = await self._in_steps(self._expire_kind, now_ms)
        await self._in_steps(self._forget_kind, now_ms)
        return removed

    async def _in_steps(self, kind: Kind[int, int], now_ms: int) -> int:
        removed = 0
        while True:
            step = await self._writer.submit(kind, now_ms, 100)
            removed += step
            if step < EXPIRE_ROWS:
                return removed

    async def retime(
        self, queue: str, *, retention_ms: int | None = None, delay_ms: int | None = None
    ) -> None:
        """See `QueueStore.retime`. Each step a transaction, in the order of the messages' ids."""
        after = 0
        while True:
            request = _Retime(queue, after, retention_ms, delay_ms)
            after = await self._writer.submit(self._retime_kind, request, 100)
            if not after:
                self._wakes.wake(queue)
                return

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
                self._wakes.wake(request.redrive.queue)

    def _changed(self, requests: Sequence[_Visibility], results: Sequence[bool]) -> None:
        for request, is_changed in zip(requests, results, strict=True):
            if is_changed:
                self._wakes.wake(request.queue)

    def _receive(self, db: sqlite3.Connection, request: _Receive) -> _Received:
        row = db.execute(FIND, (request.queue,)).fetchone()
        if row is None or request.messages_max <= 0:
            return _Received([])
        here, now_ms, redrive = row[0], request.now_ms, request.redrive
        wanted = self._in_flight.room(db, here, now_ms, request.messages_max)
        if wanted <= 0:
            return _Received([], is_full=True)
        moved, is_more = 0, False
        while True:
            visible = db.execute(_VISIBLE, (here, now_ms, now_ms, wanted)).fetchall()
            if redrive is None:
                break
            spent = [message for message, count in visible if count >= redrive.receive_count_max]
            if not spent:
                break
            target = queue_id(db, redrive.queue)
            db.executemany(
                _MOVE,
                [(target, now_ms, redrive.retention_ms, request.queue, it) for it in spent],
            )
            moved += len(spent)
            if target == here or moved >= MOVES_MAX:
                visible = [item for item in visible if item[1] < redrive.receive_count_max]
                is_more = target != here
                break
        taken = [message for message, _count in visible]
        found = messages.hide(db, taken, now_ms, request.visible_ms)
        self._in_flight.took(here, len(found))
        return _Received(found, moved, is_more)


def enqueue(db: sqlite3.Connection, message: EnqueuedMessage, now_ms: int) -> None:
    """Deliver a message inside another transaction."""
    is_fifo = message.queue.endswith(".fifo")
    message_id, group = str(uuid.uuid4()), message.group or GROUP_OF_OTHERS
    system: dict[str, str] = {}
    if is_fifo:
        system = {"MessageGroupId": group, "MessageDeduplicationId": message_id}
    if message.trace_header:
        system["AWSTraceHeader"] = message.trace_header
    new = NewMessage(
        queue=message.queue,
        message_id=message_id,
        body=message.body,
        attributes=message.attributes,
        system=msgspec.json.encode(system) if system else b"",
        sent_ms=now_ms,
        visible_ms=now_ms + 1000 * message.delay_s,
        expires_ms=now_ms + 1000 * message.retention_s,
        group_id=group,
    )
    if is_fifo:
        fifo.add(db, queue_id(db, message.queue), new)
    else:
        _send(db, (new,))


def purge(db: sqlite3.Connection, queue: str) -> None:
    """Take the queue's messages away from it at once; `garbage` removes them."""
    db.execute("UPDATE queues SET name = NULL WHERE name = ?", (queue,))


def _send(db: sqlite3.Connection, new: tuple[NewMessage, ...]) -> None:
    ids = {queue: queue_id(db, queue) for queue in {message.queue for message in new}}
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
            for message in new
        ],
    )


def _delete(db: sqlite3.Connection, request: tuple[str, tuple[int, ...]]) -> None:
    queue, ids = request
    row = db.execute(FIND, (queue,)).fetchone()
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
    rows = db.execute(
        "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE expires_ms <= ? LIMIT ?)"
        " RETURNING queue_id, group_id",
        (now_ms, EXPIRE_ROWS),
    ).fetchall()
    fifo.refresh_all(db, rows)
    return len(rows)


def _forget(db: sqlite3.Connection, now_ms: int) -> int:
    return fifo.forget(db, now_ms, EXPIRE_ROWS)


def _retime(db: sqlite3.Connection, request: _Retime) -> int:
    """Up to which id it is done; 0 when all are."""
    last = db.execute(
        "SELECT max(id) FROM (SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?)",
        (request.after, RETIME_ROWS),
    ).fetchone()[0]
    row = db.execute(FIND, (request.queue,)).fetchone()
    if last is None or row is None:
        return 0
    changes = (
        ("expires_ms = sent_ms + ?1", "expires_ms <> sent_ms + ?1", request.retention_ms),
        (
            "visible_ms = sent_ms + ?1",
            "receive_count = 0 AND visible_ms <> sent_ms + ?1",
            request.delay_ms,
        ),
    )
    for change, wrong, value in changes:
        if value is not None:
            # The plus keeps SQLite to the order of ids.
            rows = db.execute(
                f"UPDATE messages SET {change} WHERE id > ?2 AND id <= ?3 AND +queue_id = ?4"  # noqa: S608 - constants
                f" AND {wrong} RETURNING queue_id, group_id",
                (value, request.after, last, row[0]),
            ).fetchall()
            fifo.refresh_all(db, rows)
    return int(last)
