"""Copies a store while a router writes to it, and says whether such a copy is whole.

The copy is the store of one moment: a reader of the write-ahead log sees nothing that is written
after it began, and holds nobody up. What is written meanwhile stays in the log until it ends.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from router.model.errors import StoreUnusable
from router.store.sqlite import migrate

STEP_BYTES: Final = 256 << 10
"""Copied at a time; between two steps the disk is the router's alone."""

PAUSE_S_MIN: Final = 0.001

Progress = Callable[[int, int], None]
"""Bytes copied, bytes in all."""


def _nobody(_done: int, _total: int) -> None:
    """No one watches."""


def size_bytes(path: Path) -> int:
    """Bytes a copy of the store may take: its file and its log."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def copy(source: Path, target: Path, bytes_per_s: int, tell: Progress = _nobody) -> int:
    """Copy a store into a new file, on disk when this returns; its schema version.

    Blocking, at most so fast; a router may hold the store meanwhile. Raises `StoreUnusable`.
    """
    if not source.exists():
        raise StoreUnusable(f"there is no store {source}")
    migrate.inspect(source, migrate.shipped()[-1].version)
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.ExitStack() as undo:
            reading = undo.enter_context(contextlib.closing(_open_to_read(source)))
            writing = sqlite3.connect(target, isolation_level=None)
            undo.enter_context(contextlib.closing(writing))
            # Nobody opens the copy before it is whole: it needs neither journal nor syncs.
            writing.execute("PRAGMA journal_mode = OFF")
            writing.execute("PRAGMA synchronous = OFF")
            reading.execute("BEGIN")
            version = migrate.current(reading)  # the first read: this is the moment
            (page_bytes,) = reading.execute("PRAGMA page_size").fetchone()
            pause_s = max(PAUSE_S_MIN, STEP_BYTES / bytes_per_s)

            def step(_status: int, remaining: int, total: int) -> None:
                tell((total - remaining) * page_bytes, total * page_bytes)
                if remaining:
                    time.sleep(pause_s)

            reading.backup(writing, pages=STEP_BYTES // page_bytes, progress=step)
            reading.execute("ROLLBACK")
        _flush(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnusable(f"the store {source} cannot be copied to {target}: {error}") from error
    return version


def check(path: Path) -> int:
    """Read every page of a copy; its schema version.

    Raises `StoreUnusable` when it is damaged, no store, or of a newer router.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise StoreUnusable(f"{path} holds no store")
    migrate.inspect(path, migrate.shipped()[-1].version)
    try:
        with contextlib.closing(_open_to_read(path)) as db:
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            version = migrate.current(db)
    except sqlite3.Error as error:
        raise StoreUnusable(f"the store {path} cannot be read: {error}") from error
    if verdict != "ok":
        raise StoreUnusable(f"the store {path} is damaged: {verdict}")
    return version


def _open_to_read(path: Path) -> sqlite3.Connection:
    where = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(where, uri=True, isolation_level=None)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
