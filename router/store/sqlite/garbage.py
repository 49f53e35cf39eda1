"""Removes what dropped streams and purged queues left behind, in bounded steps.

Dropping only takes the name away, so it is quick and atomic however much there is; ids are
never reused, so what is left is invisible until it is gone.
"""

import sqlite3
from typing import Final

from router.store.sqlite import fifo, segments

GARBAGE_SEGMENTS: Final = 64
GARBAGE_ROWS: Final = 1_000
"""Removed in one step: bounds how long a commit is held up."""


def is_there(db: sqlite3.Connection) -> bool:
    """Whether a drop or purge was not finished before the last stop."""
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM streams WHERE arn IS NULL)"
        " OR EXISTS (SELECT 1 FROM queues WHERE name IS NULL)"
    ).fetchone()
    return bool(found)


def collect(db: sqlite3.Connection, _request: None) -> bool:
    """One step. False when nothing is left."""
    return _collect_stream(db) or _collect_queue(db)


def _collect_stream(db: sqlite3.Connection) -> bool:
    row = db.execute("SELECT id FROM streams WHERE arn IS NULL LIMIT 1").fetchone()
    if row is None:
        return False
    (stream_id,) = row
    shard = db.execute("SELECT id FROM shards WHERE stream_id = ? LIMIT 1", row).fetchone()
    if shard is not None:
        _first, last, _more = segments.remove(db, shard[0], segments.POSITION_MAX, GARBAGE_SEGMENTS)
        if not last:
            db.execute("DELETE FROM shards WHERE id = ?", shard)
        return True
    keys = db.execute(
        "DELETE FROM deduplication WHERE stream_id = ?1 AND key IN"
        " (SELECT key FROM deduplication WHERE stream_id = ?1 LIMIT ?2)",
        (stream_id, GARBAGE_ROWS),
    ).rowcount
    if keys < GARBAGE_ROWS:
        db.execute("DELETE FROM streams WHERE id = ?", row)
    return True


def _collect_queue(db: sqlite3.Connection) -> bool:
    row = db.execute("SELECT id FROM queues WHERE name IS NULL LIMIT 1").fetchone()
    if row is None:
        return False
    removed = db.execute(
        "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE queue_id = ? LIMIT ?)",
        (row[0], GARBAGE_ROWS),
    ).rowcount
    if removed < GARBAGE_ROWS and not fifo.drop(db, row[0], GARBAGE_ROWS):
        db.execute("DELETE FROM queues WHERE id = ?", row)
    return True
