"""What SQLite's errors mean: a reason that is safe as a metric label, and an error for callers."""

import sqlite3
from collections.abc import Callable

from router.model.errors import StoreError

_REASONS = {
    sqlite3.SQLITE_FULL: ("disk_full", "the disk of the store is full"),
    sqlite3.SQLITE_IOERR: ("io_error", "the disk of the store reports an I/O error"),
    sqlite3.SQLITE_CORRUPT: ("damaged", "the store is damaged"),
    sqlite3.SQLITE_NOTADB: ("damaged", "the store is damaged"),
    sqlite3.SQLITE_BUSY: ("busy", "another process holds the store's file"),
    sqlite3.SQLITE_READONLY: ("read_only", "the store's file cannot be written"),
    sqlite3.SQLITE_CANTOPEN: ("unreachable", "the store's file cannot be opened"),
    sqlite3.SQLITE_NOMEM: ("no_memory", "the store ran out of memory"),
}


def classify(error: Exception) -> tuple[str, Callable[[], StoreError]]:
    """The reason, and what makes an error for one caller (an exception must not be shared)."""
    if isinstance(error, StoreError):
        return error.code, lambda: type(error)(*error.args)
    code = getattr(error, "sqlite_errorcode", None)
    # The primary result code is the low byte of an extended one.
    reason, text = _REASONS.get(
        sqlite3.SQLITE_ERROR if code is None else code & 0xFF, ("refused", "the write was refused")
    )

    def failure() -> StoreError:
        made = StoreError(f"{text} ({error})")
        made.__cause__ = error
        return made

    return reason, failure
