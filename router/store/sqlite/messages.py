"""Rows of the table `messages`, which standard and FIFO queues share."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from router.store.queues import IN_FLIGHT_MAX, StoredMessage
from router.store.sqlite.sql import for_ids

MOVES_MAX: Final = 100
"""Messages one step of a receive moves to the dead-letter queue."""

MESSAGE_OVERHEAD_BYTES: Final = 400
"""What a waiting message takes beside its body."""

RECEIVE_FULL: Final = 10
"""Messages of a receive that come however large they are (SQS limit)."""

RECEIVE_BYTES_MAX: Final = 8 << 20
"""After so much no further messages are handed out by one receive."""

STEP_MAX: Final = 32
"""Messages one receive hands out before it looks again at how large they are."""

QUEUES_KNOWN_MAX: Final = 10_000
"""Queues whose messages in flight are known without counting."""

FIND: Final = "SELECT id FROM queues WHERE name = ?"

COLUMNS: Final = (
    "id, message_id, body, attributes, system, sent_ms, first_received_ms, receive_count"
)

SYSTEM_JSON: Final = "CASE system WHEN x'' THEN '{}' ELSE CAST(system AS TEXT) END"

# Gives the rows in any order.
_HIDE = f"""
UPDATE messages SET visible_ms = ?, receive_count = receive_count + 1,
first_received_ms = CASE first_received_ms WHEN 0 THEN ? ELSE first_received_ms END
WHERE id IN (:ids) RETURNING {COLUMNS}
"""  # noqa: S608 - a constant

_COUNT_IN_FLIGHT = (
    "SELECT count(*) FROM messages WHERE queue_id = ? AND visible_ms > ? AND receive_count > 0"
)


class InFlight:
    """How many messages of each queue are in flight at most; counted only near the limit.

    In the storage thread. Deletions and timeouts are not followed, so the number is never too
    small; `forget` it when a transaction was undone.
    """

    def __init__(self, limit: int = IN_FLIGHT_MAX) -> None:
        self.limit = limit
        self._most: dict[int, int] = {}

    def forget(self) -> None:
        """Count anew, all queues."""
        self._most.clear()

    def room(self, db: sqlite3.Connection, queue_id: int, now_ms: int, wanted: int) -> int:
        """How many of `wanted` messages may be handed out."""
        most = self._most.get(queue_id)
        if most is None or most + wanted > self.limit:
            (most,) = db.execute(_COUNT_IN_FLIGHT, (queue_id, now_ms)).fetchone()
            if len(self._most) >= QUEUES_KNOWN_MAX:
                self._most.clear()
            self._most[queue_id] = most
        return min(wanted, max(0, self.limit - most))

    def took(self, queue_id: int, count: int) -> None:
        """So many were handed out after `room` was asked."""
        self._most[queue_id] += count


def queue_id(db: sqlite3.Connection, queue: str) -> int:
    """A queue's id; it comes to be when it is not there."""
    row = db.execute(FIND, (queue,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO queues (name) VALUES (?) RETURNING id", (queue,)).fetchone()
    return int(row[0])


def hide(
    db: sqlite3.Connection, ids: Sequence[int], now_ms: int, visible_ms: int
) -> list[StoredMessage]:
    """Count a receive of messages and hide them; in the order of `ids`.

    Not all of them when they are large, but at least `RECEIVE_FULL`: what one receive brings has
    its bound also where more messages are asked for than SQS would bring (L2).
    """
    found: list[StoredMessage] = []
    step, size_bytes = RECEIVE_FULL, 0
    while len(found) < len(ids) and (not found or size_bytes < RECEIVE_BYTES_MAX):
        part = ids[len(found) : len(found) + step]
        rows = {row[0]: row for row in for_ids(db, _HIDE, (visible_ms, now_ms), part)}
        size_bytes += sum(len(row[2]) + MESSAGE_OVERHEAD_BYTES for row in rows.values())
        found += [stored(rows[message], now_ms) for message in part]
        # As many at a time as fit if they are like those before.
        step = max(1, min(STEP_MAX, (RECEIVE_BYTES_MAX - size_bytes) * len(found) // size_bytes))
    return found


def stored(row: tuple[Any, ...], received_ms: int = 0) -> StoredMessage:
    """A row of `COLUMNS`."""
    return StoredMessage(
        id=row[0],
        message_id=row[1],
        body=row[2],
        attributes=row[3],
        system=row[4],
        sent_ms=row[5],
        first_received_ms=row[6],
        receive_count=row[7],
        token=row[7],
        received_ms=received_ms,
    )
