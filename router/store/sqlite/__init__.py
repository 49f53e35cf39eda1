"""The embedded store: SQLite, one writing thread with group commit, one reading thread.

    caller ─► writer.submit ─► group ─► one transaction, one sync ─► one call back into the loop
    caller ─► the tail of what was just committed, else reader ─► its own connection

`store.py` puts it together; each other module is one concern of it.
"""

from router.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
