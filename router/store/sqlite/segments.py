"""Segments: the records of one shard that were committed together, as one row.

A row per commit instead of one per record makes an append cost a twentieth of a row's insert,
and a read one step for many records. The key is the last position, so the first segment whose
key lies above a position is the one that holds the record after it.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from router.model.record import Record

POSITION_BITS: Final = 40
"""Low bits of a segment's id; the bits above are the shard's id."""

POSITION_MAX: Final = (1 << POSITION_BITS) - 1
"""Highest position: ten thousand records a second for three years."""

SEGMENT_RECORDS_MAX: Final = 512
"""Records of one segment."""

SEGMENT_BYTES_MAX: Final = 256 << 10
"""Bytes of one segment; a single larger record has one of its own."""

Row = tuple[str, int, int, str, bytes]
"""key, arrival_ms, size_bytes, event_id, data"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Row]).decode


def segment_id(shard_id: int, position: int) -> int:
    """The id of the segment that ends at a position."""
    return shard_id << POSITION_BITS | position


def cut(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Split rows into segments."""
    parts: list[Sequence[Row]] = []
    start = size_bytes = 0
    for index, row in enumerate(rows):
        size_bytes += len(row[4])
        if index > start and (
            size_bytes > SEGMENT_BYTES_MAX or index - start >= SEGMENT_RECORDS_MAX
        ):
            parts.append(rows[start:index])
            start, size_bytes = index, len(row[4])
    parts.append(rows[start:])
    return parts


def pack(rows: Sequence[Row]) -> bytes:
    """A segment's body."""
    return _encode(rows)


def unpack(body: bytes, last: int) -> list[Record]:
    """The records of a segment that ends at a position."""
    rows = _decode(body)
    first = last - len(rows) + 1
    return [
        Record(position, key, arrival_ms, size_bytes, data, event_id)
        for position, (key, arrival_ms, size_bytes, event_id, data) in enumerate(rows, first)
    ]


def read(
    db: sqlite3.Connection, shard_id: int, after: int, records_max: int, bytes_max: int
) -> list[Record]:
    """Records after a position, in order; at least one when there is one."""
    found: list[Record] = []
    size_bytes = 0
    rows = db.execute(
        "SELECT id, body FROM segments WHERE id > ? AND id <= ? ORDER BY id",
        (segment_id(shard_id, after), segment_id(shard_id, POSITION_MAX)),
    )
    for row_id, body in rows:
        for record in unpack(body, row_id & POSITION_MAX):
            if record.position <= after:
                continue
            size_bytes += record.size_bytes
            if found and (len(found) >= records_max or size_bytes > bytes_max):
                return found
            found.append(record)
    return found


def first_position(db: sqlite3.Connection, shard_id: int) -> int:
    """The oldest record's position; 0 when there is none."""
    row = db.execute(
        "SELECT id, records FROM segments WHERE id > ? AND id <= ? ORDER BY id LIMIT 1",
        (segment_id(shard_id, 0), segment_id(shard_id, POSITION_MAX)),
    ).fetchone()
    return 0 if row is None else (row[0] & POSITION_MAX) - int(row[1]) + 1


def position_at(db: sqlite3.Connection, shard_id: int, last: int, arrival_ms: int) -> int:
    """The position before the first record that arrived at or after a wall time.

    `last` is the shard's last position, the answer when there is no such record.
    """
    base = segment_id(shard_id, 0)
    low, high = base, base | last  # the segment lies in (low, high]
    segment: int | None = None
    while low < high:
        middle = (low + high) // 2
        row = db.execute(
            "SELECT id, arrival_max_ms FROM segments WHERE id > ? AND id <= ? ORDER BY id LIMIT 1",
            (middle, base | last),
        ).fetchone()
        if row is None:
            high = middle
        elif row[1] >= arrival_ms:
            segment, high = row[0], middle
        else:
            low = row[0]
    if segment is None:
        return last
    (body,) = db.execute("SELECT body FROM segments WHERE id = ?", (segment,)).fetchone()
    for record in unpack(body, segment & POSITION_MAX):
        if record.arrival_ms >= arrival_ms:
            return record.position - 1
    return segment & POSITION_MAX


def remove(
    db: sqlite3.Connection, shard_id: int, up_to: int, segments_max: int
) -> tuple[int, int, bool]:
    """Remove records up to a position, oldest first, at most so many segments.

    Returns the first and last position removed (0, 0: none) and whether more are left.
    """
    base = segment_id(shard_id, 0)
    rows = db.execute(
        "SELECT id, records FROM segments WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
        (base, base | up_to, segments_max),
    ).fetchall()
    if rows:
        db.execute("DELETE FROM segments WHERE id > ? AND id <= ?", (base, rows[-1][0]))
        return (rows[0][0] & POSITION_MAX) - rows[0][1] + 1, rows[-1][0] & POSITION_MAX, True
    row = db.execute(
        "SELECT id, records, body FROM segments WHERE id > ? AND id <= ? ORDER BY id LIMIT 1",
        (base | up_to, base | POSITION_MAX),
    ).fetchone()
    if row is None:
        return 0, 0, False
    last = row[0] & POSITION_MAX
    first = last - row[1] + 1
    if first > up_to:
        return 0, 0, False
    kept = _decode(row[2])[up_to - first + 1 :]
    # The id stays: it is the last position.
    db.execute(
        "UPDATE segments SET records = ?, first_arrival_ms = ?, body = ? WHERE id = ?",
        (len(kept), kept[0][1], pack(kept), row[0]),
    )
    return first, up_to, False
