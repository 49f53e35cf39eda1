"""The embedded store, put together."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from router.config import StoreSettings
from router.model.errors import StoreError, StoreUnusable
from router.store.sqlite import fifo, garbage, migrate
from router.store.sqlite.asynchronous import SqliteAsync
from router.store.sqlite.checkpoint import Checkpointer
from router.store.sqlite.lock import FolderLock
from router.store.sqlite.metadata import SqliteMetadata
from router.store.sqlite.outbox import SqliteOutbox
from router.store.sqlite.progress import SqliteProgress
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.reader import Reader
from router.store.sqlite.streams import SqliteStreams
from router.store.sqlite.writer import Kind, Writer, each

DATABASE_NAME: Final = "router.db"
"""In the data folder, with `-wal` and `-shm` beside it while it is open."""

BUSY_MS: Final = 5_000
"""How long to wait for another program that looks into the file, such as the sqlite3 shell."""

AUTOCHECKPOINT_PAGES: Final = 65_536
"""A backstop only: `checkpoint.py` copies the log long before."""

CACHE_KIB: Final = 16_384
"""Page cache of the writing connection."""

_SYNCHRONOUS = {"normal": 1, "full": 2}


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteStore:
    """One data folder. Open it before use; each part implements a protocol of `store/base.py`."""

    metadata: SqliteMetadata
    streams: SqliteStreams
    progress: SqliteProgress
    outbox: SqliteOutbox
    queues: SqliteQueues
    asynchronous: SqliteAsync

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings | None = None,
        *,
        connection: type[sqlite3.Connection] = sqlite3.Connection,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        """`connection` makes the writing connection: the seam where fault tests break the disk.

        `wall_ms` stamps messages and outbox rows the store makes itself.
        """
        self._folder = folder
        self._path = folder / DATABASE_NAME
        self._settings = settings or StoreSettings()
        self._connection = connection
        self._wall_ms = wall_ms
        self._lock: FolderLock | None = None
        self._version = 0
        self._collecting: asyncio.Task[None] | None = None
        self._may_have_garbage = False
        self._collect_kind = Kind(each(garbage.collect))
        self._clock_set_kind = Kind(each(_move_due_times))

    async def open(self) -> None:
        """See `Store.open`."""
        if self._lock is not None:
            raise StoreError("the store is open already")
        writing, copying, reading = await asyncio.to_thread(self._open)
        self._db = writing
        self._checkpointer = Checkpointer(copying)
        self._writer = Writer(writing, self._settings, self._checkpointer, self._folder)
        self._reader = Reader(reading)
        self.streams = SqliteStreams(self._writer, self._reader, self._wall_ms)
        self.queues = SqliteQueues(self._writer, self._reader, self._collect)
        self.outbox = SqliteOutbox(
            self._writer,
            self._reader,
            self.queues,
            self._settings.outbox_bytes_max,
            self._wall_ms,
        )
        await self.outbox.open()
        self.progress = SqliteProgress(
            self._writer,
            self._reader,
            self.queues,
            self.outbox,
            self._wall_ms,
        )
        self.asynchronous = SqliteAsync(
            self._writer,
            self._reader,
            self.queues,
            self.outbox,
            self._settings.async_bytes_max,
            self._wall_ms,
        )
        await self.asynchronous.open()
        self.metadata = SqliteMetadata(
            self._writer, self._reader, self.streams, self.progress, self._collect
        )
        if self._may_have_garbage:
            self._collect()

    async def close(self) -> None:
        """See `Store.close`. Closing what is not open does nothing."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if self._collecting is not None:
            self._collecting.cancel()
            await asyncio.wait([self._collecting])
        await self._writer.close()
        await self._reader.close()
        await asyncio.to_thread(self._checkpointer.close)
        # The last connection to close copies the whole log and removes it.
        await asyncio.to_thread(self._db.close)
        lock.release()

    @property
    def fault(self) -> str | None:
        """Why no record can be taken just now (`disk_full`, `stalled` …); for `/ready`."""
        return self._writer.fault

    @property
    def stalled_s(self) -> float:
        """How long the write in hand has been with the disk; 0 when none is."""
        return self._writer.stalled_s

    @property
    def free_bytes(self) -> int:
        """Bytes left on the disk, as last looked at."""
        return self._writer.free_bytes

    async def look(self) -> None:
        """See how the disk is, so that a fault ends when its cause has. As slow as the disk."""
        await self._writer.look()

    @property
    def bytes_used(self) -> int:
        """Bytes in use, as last measured; new records are refused at `bytes_max`."""
        return self._writer.bytes_used

    @property
    def log_pages(self) -> int:
        """Length of the write-ahead log when it was copied last: an alarm value."""
        return self._checkpointer.log_pages

    async def clock_set(self, by_ms: int, wall_ms: int) -> None:
        """What waits for its time waits as long as it would have (T1). Raises `StoreError`.

        The wall clock was set by `by_ms` and is at `wall_ms` now.
        """
        await self._writer.submit(self._clock_set_kind, (by_ms, wall_ms), 0)

    def describe(self) -> Mapping[str, str]:
        """See `Store.describe`."""
        facts = {
            "path": str(self._path),
            "schema_version": str(self._version),
            "synchronous": self._settings.synchronous,
            "sqlite": sqlite3.sqlite_version,
        }
        for name, suffix in (("file_bytes", ""), ("log_bytes", "-wal")):
            path = self._path.with_name(DATABASE_NAME + suffix)
            facts[name] = str(path.stat().st_size) if path.exists() else "0"
        if self._lock is not None:
            facts["used_bytes"] = str(self._writer.bytes_used)
        return facts

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection, sqlite3.Connection]:
        """Lock, look, then touch. Leaves nothing open when it raises."""
        is_new = not self._folder.exists()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(
                f"the data folder {self._folder} cannot be made: {error.strerror}"
            ) from error
        with contextlib.ExitStack() as undo:
            lock = undo.enter_context(FolderLock(self._folder))
            migrations = migrate.shipped()
            migrate.inspect(self._path, migrations[-1].version)
            try:
                # Records are nobody else's to read, whatever the folder allows; the log follows.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                writing = undo.enter_context(contextlib.closing(self._connect(self._connection)))
                self._prepare(writing)
                self._version = migrate.migrate(writing, migrations)
                copying = undo.enter_context(contextlib.closing(self._connect(sqlite3.Connection)))
                reading = self._connect(sqlite3.Connection)
                undo.callback(reading.close)
                reading.execute("PRAGMA query_only = ON")
                self._may_have_garbage = garbage.is_there(reading)
                if is_new:
                    _sync_folders(self._folder)
            except (sqlite3.Error, OSError) as error:
                raise StoreUnusable(f"the store {self._path} cannot be opened: {error}") from error
            undo.pop_all()
        self._lock = lock
        return writing, copying, reading

    def _connect(self, factory: type[sqlite3.Connection]) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=factory,
        )

    def _prepare(self, db: sqlite3.Connection) -> None:
        wanted = _SYNCHRONOUS[self._settings.synchronous]
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute(f"PRAGMA synchronous = {wanted:d}")
        db.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES:d}")
        # Some builds overwrite what is freed: then a trim would write as much as it removes.
        db.execute("PRAGMA secure_delete = OFF")
        db.execute(f"PRAGMA cache_size = {-CACHE_KIB:d}")
        (synchronous,) = db.execute("PRAGMA synchronous").fetchone()
        if mode != "wal" or synchronous != wanted:
            raise StoreUnusable(
                f"the store {self._path} cannot be made durable here: journal mode {mode}, "
                f"synchronous {synchronous}; network file systems are not supported"
            )

    def _collect(self) -> None:
        """There may be garbage: start removing it, unless that is going on."""
        self._may_have_garbage = True
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.get_running_loop().create_task(self._collect_all())

    async def _collect_all(self) -> None:
        # Garbage costs only space, so a failing disk is no reason to insist: the next start does.
        with contextlib.suppress(StoreError):
            while self._may_have_garbage:
                self._may_have_garbage = False
                while await self._writer.submit(self._collect_kind, None, 64):
                    pass


def _move_due_times(db: sqlite3.Connection, request: tuple[int, int]) -> None:
    by_ms, wall_ms = request
    from_ms = min(wall_ms, wall_ms - by_ms)
    for update in (
        "UPDATE messages SET visible_ms = max(?, visible_ms + ?) WHERE visible_ms > ?",
        "UPDATE outbox SET next_attempt_ms = max(?, next_attempt_ms + ?) WHERE next_attempt_ms > ?",
        "UPDATE async_events SET due_ms = max(?, due_ms + ?) WHERE due_ms > ?",
    ):
        db.execute(update, (wall_ms, by_ms, from_ms))
    # Promised is a time, not a date: without this a queue would throw away what it holds.
    db.execute("UPDATE messages SET expires_ms = expires_ms + ?", (by_ms,))
    # Nor does an event grow old because a clock was set.
    db.execute("UPDATE async_events SET accepted_ms = accepted_ms + ?", (by_ms,))
    fifo.clock_set(db, by_ms, wall_ms, from_ms)


def _sync_folders(folder: Path) -> None:
    """Make a new folder's own name survive a power loss."""
    for path in (folder, folder.parent):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
