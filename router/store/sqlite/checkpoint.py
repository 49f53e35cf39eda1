"""Moves the write-ahead log into the database without holding up commits.

SQLite would do this inside a commit (20–50 ms at once). Here a thread of its own copies with a
PASSIVE checkpoint, which waits for nobody, while commits go on. What was written meanwhile
keeps the log from starting over, so when it has grown long the storage thread copies the rest
between two groups: little is left by then.
"""

import contextlib
import queue
import sqlite3
import threading
from typing import Final

COPY_BYTES: Final = 8 << 20
"""Written bytes after which the copying thread starts."""

LOG_PAGES_MAX: Final = 8_192
"""Length of the log, in pages, from which the storage thread finishes the copy itself."""

GROUP_OVERHEAD_BYTES: Final = 16 << 10
"""What a group writes beside its own bytes: index, counter and inner pages."""


class Checkpointer:
    """One connection and thread that copies; decides when."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._bytes_uncopied = 0
        self._is_copying = False
        self._must_finish = False
        self.log_pages = 0
        """Length of the log when it was copied last; an alarm value."""
        self._inbox: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="router-store-checkpoint", daemon=True
        )
        self._thread.start()

    def wrote(self, db: sqlite3.Connection, size_bytes: int) -> None:
        """After a group, in the storage thread, with its connection."""
        self._bytes_uncopied += size_bytes + GROUP_OVERHEAD_BYTES
        if self._must_finish:
            self.finish(db)
        elif self._bytes_uncopied >= COPY_BYTES and not self._is_copying:
            self._bytes_uncopied = 0
            self._is_copying = True
            self._inbox.put(True)

    def finish(self, db: sqlite3.Connection) -> None:
        """Copy the rest in the storage thread: nothing is written meanwhile."""
        self._must_finish = False
        self._bytes_uncopied = 0
        self._copy(db)

    def close(self) -> None:
        """End the thread and close its connection."""
        self._inbox.put(False)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while self._inbox.get():
            self._copy(self._db)
            self._must_finish = self.log_pages >= LOG_PAGES_MAX
            self._is_copying = False

    def _copy(self, db: sqlite3.Connection) -> None:
        # A failed copy loses nothing: the log still holds it all, and the next one tries again.
        with contextlib.suppress(sqlite3.Error):
            _busy, pages, _copied = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self.log_pages = max(0, pages)
