"""Messages of embedded FIFO queues.

A message's place in its group is its id. `fifo_groups` holds, for each group with messages, when
its first one may be handed out: a receive looks at groups that are ready, never at all messages.
Whatever changes the front of a group ends with `refresh`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import orjson

from router.store.queues import (
    REPEAT_MS,
    NewMessage,
    Redrive,
    SentToFifo,
    Standing,
    StoredMessage,
)
from router.store.sqlite import messages
from router.store.sqlite.messages import COLUMNS, FIND, MOVES_MAX, InFlight, queue_id
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import for_ids
from router.store.sqlite.wakes import Wakes
from router.store.sqlite.writer import Kind, Writer, each

FRONT_ROWS: Final = 32
"""Messages of a group looked at in one statement."""

EXPIRED_ROWS: Final = 1_000
"""Messages past their retention that one receive removes from a group's front."""

_INSERT = """
INSERT INTO messages
(queue_id, group_id, visible_ms, expires_ms, sent_ms, message_id, attributes, system, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""

_FRONT = """
SELECT id, visible_ms, expires_ms, receive_count, sent_ms FROM messages
WHERE queue_id = ? AND group_id = ? AND id > ? ORDER BY id LIMIT ?
"""

_HEAD = """
SELECT min(visible_ms, expires_ms) FROM messages
WHERE queue_id = ? AND group_id = ? ORDER BY id LIMIT 1
"""

# A moved message is sent anew, after what is there; the count stays, and its own id is what it
# would be deduplicated by (AWS: "Configuring a dead-letter queue redrive").
_MOVE = f"""
INSERT INTO messages
(queue_id, group_id, visible_ms, expires_ms, sent_ms, receive_count, first_received_ms,
 message_id, attributes, system, body)
SELECT ?, group_id, ?, ?, ?, receive_count, first_received_ms, message_id, attributes,
CAST(json_set({messages.SYSTEM_JSON}, '$.DeadLetterQueueSourceArn', ?,
              '$.MessageDeduplicationId', message_id) AS BLOB), body
FROM messages WHERE id = ?
"""  # noqa: S608 - a constant


class _Send(msgspec.Struct, frozen=True):
    messages: tuple[NewMessage, ...]
    now_ms: int
    is_scope_group: bool


class _Receive(msgspec.Struct, frozen=True):
    queue: str
    now_ms: int
    messages_max: int
    visible_ms: int
    redrive: Redrive | None
    attempt_id: str


class _Received(msgspec.Struct, frozen=True):
    messages: list[StoredMessage]
    moved: int = 0
    is_more: bool = False
    """Too much had to go first: ask again."""


class _Settle(msgspec.Struct, frozen=True):
    queue: str
    receipts: tuple[tuple[int, int], ...]
    now_ms: int
    visible_ms: int | None
    """None: remove."""


class _Front(msgspec.Struct):
    """What the front of a group holds, up to the first message that is not visible."""

    ready: list[int] = []
    spent: list[int] = []
    """Received too often already."""
    expired: list[int] = []
    is_cut: bool = False
    """There may be more of the last two."""


class SqliteFifo:
    """Implements `FifoStore`."""

    def __init__(self, writer: Writer, reader: Reader, wakes: Wakes, in_flight: InFlight) -> None:
        self._writer = writer
        self._reader = reader
        self._wakes = wakes
        self._in_flight = in_flight
        self._send_kind = Kind(each(_send), self._sent, is_growth=True)
        self._receive_kind = Kind(each(self._receive), self._received)
        self._settle_kind = Kind(each(_settle), self._settled)

    async def send(
        self, messages: Sequence[NewMessage], now_ms: int, *, is_scope_group: bool
    ) -> Sequence[SentToFifo]:
        """See `FifoStore.send`."""
        size_bytes = sum(len(one.body) + len(one.attributes) + 500 for one in messages)
        request = _Send(tuple(messages), now_ms, is_scope_group)
        return await self._writer.submit(self._send_kind, request, size_bytes)

    async def receive(
        self,
        queue: str,
        now_ms: int,
        messages_max: int,
        visibility_ms: int,
        redrive: Redrive | None = None,
        attempt_id: str = "",
    ) -> Sequence[StoredMessage]:
        """See `FifoStore.receive`."""
        visible_ms = now_ms + visibility_ms
        request = _Receive(queue, now_ms, messages_max, visible_ms, redrive, attempt_id)
        while True:
            result = await self._writer.submit(self._receive_kind, request, 300)
            if result.messages or not result.is_more:
                return result.messages

    async def delete(
        self, queue: str, receipts: Sequence[tuple[int, int]], now_ms: int
    ) -> Sequence[Standing]:
        """See `FifoStore.delete`."""
        request = _Settle(queue, tuple(receipts), now_ms, None)
        return await self._writer.submit(self._settle_kind, request, 100 + 8 * len(receipts))

    async def change_visibility(
        self, queue: str, message: int, token: int, now_ms: int, visible_ms: int
    ) -> Standing:
        """See `FifoStore.change_visibility`."""
        request = _Settle(queue, ((message, token),), now_ms, visible_ms)
        (standing,) = await self._writer.submit(self._settle_kind, request, 200)
        return standing

    async def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        """See `FifoStore.next_ready_ms`."""

        def find(db: sqlite3.Connection) -> int | None:
            (found,) = db.execute(
                "SELECT min(ready_ms) FROM fifo_groups"
                " WHERE queue_id = (SELECT id FROM queues WHERE name = ?) AND ready_ms > ?",
                (queue, now_ms),
            ).fetchone()
            return None if found is None else int(found)

        return await self._reader.submit(find)

    def _sent(self, requests: Sequence[_Send], _results: object) -> None:
        for queue in {one.queue for request in requests for one in request.messages}:
            self._wakes.wake(queue)

    def _received(self, requests: Sequence[_Receive], results: Sequence[_Received]) -> None:
        for request, result in zip(requests, results, strict=True):
            if result.moved and request.redrive is not None:
                self._wakes.wake(request.redrive.queue)

    def _settled(self, requests: Sequence[_Settle], results: Sequence[list[Standing]]) -> None:
        # A message that is gone or visible lets those behind it through.
        for queue in {
            request.queue
            for request, standings in zip(requests, results, strict=True)
            if Standing.HELD in standings
        }:
            self._wakes.wake(queue)

    def _receive(self, db: sqlite3.Connection, request: _Receive) -> _Received:
        row = db.execute(FIND, (request.queue,)).fetchone()
        if row is None or request.messages_max <= 0:
            return _Received([])
        here: int = row[0]
        if request.attempt_id and (repeated := _repeat(db, here, request)):
            return _Received(repeated)
        wanted = self._in_flight.room(db, here, request.now_ms, request.messages_max)
        taken, moved, is_more = _take(db, here, request, wanted)
        found = messages.hide(db, [message for _group, message in taken], request.now_ms,
                              request.visible_ms)  # fmt: skip
        self._in_flight.took(here, len(found))
        for group in dict.fromkeys(group for group, _message in taken):
            db.execute(
                "UPDATE fifo_groups SET turn_ms = ?, turns = turns + 1"
                " WHERE queue_id = ? AND group_id = ?",
                (request.now_ms, here, group),
            )
            refresh(db, here, group)
        if request.attempt_id and found:
            _remember(db, here, request, [(one.id, one.token) for one in found], request.now_ms)
        return _Received(found, moved, is_more)


def _send(db: sqlite3.Connection, request: _Send) -> list[SentToFifo]:
    """One after the other: a message may be a duplicate of the one before it."""
    ids: dict[str, int] = {}
    sent = []
    for message in request.messages:
        here = ids.setdefault(message.queue, 0) or queue_id(db, message.queue)
        ids[message.queue] = here
        first = db.execute(
            "SELECT message_id, number FROM fifo_deduplication WHERE queue_id = ?1"
            " AND deduplication_id = ?2 AND until_ms > ?3 AND (group_id = ?4 OR NOT ?5) LIMIT 1",
            (here, message.deduplication_id, request.now_ms, message.group_id,
             request.is_scope_group),
        ).fetchone()  # fmt: skip
        if first is not None:
            sent.append(SentToFifo(*first))
            continue
        number = add(db, here, message)
        db.execute(
            "INSERT OR REPLACE INTO fifo_deduplication VALUES (?, ?, ?, ?, ?, ?)",
            (here, message.deduplication_id, message.group_id, message.message_id, number,
             request.now_ms + REPEAT_MS),
        )  # fmt: skip
        sent.append(SentToFifo(message.message_id, number))
    return sent


def add(db: sqlite3.Connection, here: int, message: NewMessage) -> int:
    """Put a message at the end of its group; its number."""
    [(number,)] = db.execute(
        _INSERT,
        (
            here,
            message.group_id,
            message.visible_ms,
            message.expires_ms,
            message.sent_ms,
            message.message_id,
            message.attributes,
            message.system,
            message.body,
        ),
    ).fetchall()
    open_group(db, here, message.group_id, message.visible_ms)
    return int(number)


def open_group(db: sqlite3.Connection, here: int, group: str, ready_ms: int) -> None:
    """A message came to the end of a group; before it there may have been none."""
    db.execute(
        "INSERT INTO fifo_groups VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
        (here, group, ready_ms),
    )


def refresh(db: sqlite3.Connection, here: int, group: str) -> None:
    """See anew when a group's first message may be handed out; forget a group without any."""
    head = db.execute(_HEAD, (here, group)).fetchone()
    if head is None:
        db.execute("DELETE FROM fifo_groups WHERE queue_id = ? AND group_id = ?", (here, group))
    else:
        db.execute(
            "UPDATE fifo_groups SET ready_ms = max(turn_ms, ?) WHERE queue_id = ? AND group_id = ?",
            (head[0], here, group),
        )


def refresh_all(db: sqlite3.Connection, groups: Iterable[tuple[int, str | None]]) -> None:
    """As `refresh`, for (queue, group) pairs; messages of standard queues have no group."""
    for here, group in set(groups):
        if group is not None:
            refresh(db, here, group)


def ready_groups(db: sqlite3.Connection, here: int, now_ms: int, count: int) -> list[str]:
    """Groups whose first message may be handed out, the one that waits longest first."""
    rows = db.execute(
        "SELECT group_id FROM fifo_groups WHERE queue_id = ? AND ready_ms <= ?"
        " ORDER BY ready_ms, turns LIMIT ?",
        (here, now_ms, count),
    )
    return [row[0] for row in rows.fetchall()]


def front(
    db: sqlite3.Connection,
    here: int,
    group: str,
    now_ms: int,
    count: int,
    *,
    receive_count_max: int | None = None,
    sent_ms_max: int | None = None,
) -> _Front:
    """Up to `count` messages that may be handed out, in order, and what must go before them."""
    found = _Front()
    after = 0
    while True:
        rows = db.execute(_FRONT, (here, group, after, FRONT_ROWS)).fetchall()
        for message, visible_ms, expires_ms, receive_count, sent_ms in rows:
            if expires_ms <= now_ms:
                found.expired.append(message)
            elif visible_ms > now_ms or (sent_ms_max is not None and sent_ms > sent_ms_max):
                return found
            elif receive_count_max is not None and receive_count >= receive_count_max:
                found.spent.append(message)
            else:
                found.ready.append(message)
            if len(found.ready) >= count:
                return found
            if len(found.spent) >= MOVES_MAX or len(found.expired) >= EXPIRED_ROWS:
                found.is_cut = True
                return found
        if len(rows) < FRONT_ROWS:
            return found
        after = rows[-1][0]


def _take(
    db: sqlite3.Connection, here: int, request: _Receive, wanted: int
) -> tuple[list[tuple[str, int]], int, bool]:
    """(group, message) to hand out, one group after the other; how many moved; whether to go on."""
    redrive = request.redrive
    target = queue_id(db, redrive.queue) if redrive is not None else here
    count_max = redrive.receive_count_max if redrive is not None and target != here else None
    taken: list[tuple[str, int]] = []
    moved = gone = 0
    seen: set[str] = set()
    while len(taken) < wanted:
        groups = ready_groups(db, here, request.now_ms, wanted + len(seen))
        new = [group for group in groups if group not in seen]
        if not new:
            break
        for group in new:
            seen.add(group)
            found = front(
                db, here, group, request.now_ms, wanted - len(taken), receive_count_max=count_max
            )
            if redrive is not None and found.spent:
                _move(db, target, group, request, redrive, found.spent)
                moved += len(found.spent)
            for_ids(db, "DELETE FROM messages WHERE id IN (:ids)", (), found.spent + found.expired)
            gone += len(found.spent) + len(found.expired)
            taken += [(group, message) for message in found.ready]
            if (found.spent or found.expired) and not found.ready:
                refresh(db, here, group)
            if found.is_cut or gone >= MOVES_MAX:
                return taken, moved, True
            if len(taken) >= wanted:
                break
    return taken, moved, False


def _move(
    db: sqlite3.Connection,
    target: int,
    group: str,
    request: _Receive,
    redrive: Redrive,
    spent: Sequence[int],
) -> None:
    now_ms = request.now_ms
    for message in spent:
        db.execute(
            _MOVE, (target, now_ms, now_ms + redrive.retention_ms, now_ms, request.queue, message)
        )
    open_group(db, target, group, now_ms)


def _remember(
    db: sqlite3.Connection,
    here: int,
    request: _Receive,
    given: Sequence[tuple[int, int]],
    received_ms: int,
) -> None:
    db.execute(
        "INSERT OR REPLACE INTO receive_attempts VALUES (?, ?, ?, ?)",
        (here, request.attempt_id, received_ms + REPEAT_MS,
         orjson.dumps([received_ms, request.visible_ms, given])),
    )  # fmt: skip


def _repeat(db: sqlite3.Connection, here: int, request: _Receive) -> list[StoredMessage]:
    """What the attempt got before, hidden anew; nothing when any of it is not as it was left."""
    row = db.execute(
        "SELECT body FROM receive_attempts WHERE queue_id = ? AND attempt_id = ? AND until_ms > ?",
        (here, request.attempt_id, request.now_ms),
    ).fetchone()
    if row is None:
        return []
    received_ms, visible_ms, given = orjson.loads(row[0])
    ids = [message for message, _token in given]
    rows = for_ids(
        db,
        f"SELECT {COLUMNS}, group_id FROM messages"  # noqa: S608 - a constant
        " WHERE queue_id = ? AND visible_ms = ? AND visible_ms > ? AND expires_ms > ?"
        " AND id IN (:ids)",
        (here, visible_ms, request.now_ms, request.now_ms),
        ids,
    )
    found = {found[0]: found for found in rows}
    if any(message not in found or found[message][7] != token for message, token in given):
        return []
    for_ids(db, "UPDATE messages SET visible_ms = ? WHERE id IN (:ids)", (request.visible_ms,), ids)
    refresh_all(db, ((here, found[message][8]) for message in ids))
    _remember(db, here, request, given, received_ms)
    return [messages.stored(found[message][:8], received_ms) for message in ids]


def _settle(db: sqlite3.Connection, request: _Settle) -> list[Standing]:
    """Remove messages, or set when they come back; only what the receipts still hold."""
    row = db.execute(FIND, (request.queue,)).fetchone()
    if row is None:
        return [Standing.GONE] * len(request.receipts)
    standings, touched = [], set()
    for message, token in request.receipts:
        found = db.execute(
            "SELECT receive_count, visible_ms, expires_ms, group_id FROM messages"
            " WHERE id = ? AND queue_id = ?",
            (message, row[0]),
        ).fetchone()
        if found is None or found[2] <= request.now_ms:
            standings.append(Standing.GONE)
        elif found[0] != token or found[1] <= request.now_ms:
            standings.append(Standing.EXPIRED)
        else:
            standings.append(Standing.HELD)
            touched.add((row[0], found[3]))
            if request.visible_ms is None:
                db.execute("DELETE FROM messages WHERE id = ?", (message,))
            else:
                db.execute(
                    "UPDATE messages SET visible_ms = ? WHERE id = ?",
                    (request.visible_ms, message),
                )
    refresh_all(db, touched)
    return standings


_KEYS: Final = {
    "fifo_deduplication": ("queue_id", "deduplication_id", "group_id"),
    "receive_attempts": ("queue_id", "attempt_id"),
    "fifo_groups": ("queue_id", "group_id"),
}
"""Tables kept beside the messages, with the columns of their keys."""


def forget(db: sqlite3.Connection, now_ms: int, rows: int) -> int:
    """Remove some deduplication and attempt ids that are over; how many."""
    return sum(
        _remove(db, table, "until_ms <= ?", now_ms, rows)
        for table in ("fifo_deduplication", "receive_attempts")
    )


def drop(db: sqlite3.Connection, here: int, rows: int) -> bool:
    """Remove some of what is kept beside the messages of a queue; False when nothing is left."""
    return any(_remove(db, table, "queue_id = ?", here, rows) for table in _KEYS)


def _remove(db: sqlite3.Connection, table: str, which: str, value: int, rows: int) -> int:
    """Remove up to so many rows, each by its whole key; how many."""
    keys = _KEYS[table]
    found = db.execute(
        f"SELECT {', '.join(keys)} FROM {table} WHERE {which} LIMIT ?",  # noqa: S608 - constants
        (value, rows),
    ).fetchall()
    whole = " AND ".join(f"{key} = ?" for key in keys)
    db.executemany(f"DELETE FROM {table} WHERE {whole}", found)  # noqa: S608 - constants
    return len(found)


def clock_set(db: sqlite3.Connection, by_ms: int, wall_ms: int, from_ms: int) -> None:
    """Move due times along with a clock that was set (T1)."""
    db.execute(
        "UPDATE fifo_groups SET ready_ms = max(?1, ready_ms + ?2), turn_ms = min(turn_ms, ?1)"
        " WHERE ready_ms > ?3",
        (wall_ms, by_ms, from_ms),
    )
    for table in ("fifo_deduplication", "receive_attempts"):
        db.execute(
            f"UPDATE {table} SET until_ms = max(?, until_ms + ?) WHERE until_ms > ?",  # noqa: S608 - constants
            (wall_ms, by_ms, from_ms),
        )
