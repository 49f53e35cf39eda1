"""A stream cut anew: shards that are closed, those that follow, those that are forgotten.

What is closed or forgotten is known to the storage thread inside each transaction, so a record
can never land behind the end of a shard, however long it was on its way.
"""

import sqlite3

from router.model.errors import NotEmpty
from router.store.base import CutStream, ForgetShards
from router.store.sqlite.sql import insert_rows

# Progress is kept by mapping, and a mapping's body says which stream it reads.
MAPPINGS_OF_STREAM = """
SELECT name FROM resources WHERE kind = 'mapping'
AND CASE WHEN json_valid(CAST(body AS TEXT))
    THEN json_extract(CAST(body AS TEXT), '$.event_source_arn') = ?1 END
"""

_CLOSE = """
INSERT INTO shards (stream_id, shard, last_position, arrival_max_ms, is_closed)
VALUES (?, ?, 0, 0, 1)
ON CONFLICT (stream_id, shard) DO UPDATE SET is_closed = 1 RETURNING last_position
"""

_HAS_BEGUN = "SELECT EXISTS (SELECT 1 FROM progress WHERE mapping = ?)"

_START = "INSERT OR IGNORE INTO progress (mapping, shard, position, factor) VALUES (:row)"

_IN_USE = """
SELECT shard FROM shards WHERE stream_id = ?1 AND shard < ?2 AND (NOT is_closed OR EXISTS (
    SELECT 1 FROM segments
    WHERE segments.id > shards.id << 40 AND segments.id < (shards.id + 1) << 40)) LIMIT 1
"""

_PROGRESS_TABLES = ("progress", "lanes", "windows")


def cut(db: sqlite3.Connection, change: CutStream) -> dict[str, int]:
    """Close and open shards; last position of each closed one."""
    db.execute("INSERT OR IGNORE INTO streams (arn) VALUES (?)", (change.stream,))
    (stream_id,) = db.execute("SELECT id FROM streams WHERE arn = ?", (change.stream,)).fetchone()
    closed = {}
    for shard in change.closes:
        (closed[shard],) = db.execute(_CLOSE, (stream_id, shard)).fetchone()
    # A mapping that has begun reads what comes later from its beginning, also when all it has
    # begun on is forgotten by the time it looks.
    mappings = db.execute(MAPPINGS_OF_STREAM, (change.stream,)).fetchall()
    begun = [mapping for mapping in mappings if db.execute(_HAS_BEGUN, mapping).fetchone() == (1,)]
    starts = [(*mapping, shard, 0, 1) for mapping in begun for shard in change.opens]
    insert_rows(db, _START, starts)
    return closed


def forget(db: sqlite3.Connection, change: ForgetShards) -> None:
    """Forget shards with all progress in them. Raises `NotEmpty`."""
    row = db.execute("SELECT id FROM streams WHERE arn = ?", (change.stream,)).fetchone()
    if row is None:
        return
    below = (row[0], change.before)
    if (used := db.execute(_IN_USE, below).fetchone()) is not None:
        raise NotEmpty(f"shard {used[0]} of stream {change.stream} is open or holds records")
    db.execute("DELETE FROM shards WHERE stream_id = ? AND shard < ?", below)
    for (mapping,) in db.execute(MAPPINGS_OF_STREAM, (change.stream,)).fetchall():
        for table in _PROGRESS_TABLES:
            db.execute(
                f"DELETE FROM {table} WHERE mapping = ? AND shard < ?",  # noqa: S608  as above
                (mapping, change.before),
            )
    db.execute("UPDATE streams SET first_shard = ? WHERE id = ?", (change.before, row[0]))
