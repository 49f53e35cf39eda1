"""The reading thread: its own connection, so that no read ever waits behind a commit."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from router.model.errors import StoreError, StoreFull
from router.store.sqlite.faults import classify

READS_WAITING_MAX: Final = 10_000
"""Reads that may wait for the thread."""

T = TypeVar("T")

_Read = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class Reader:
    """Owns the reading connection and its thread. Sees everything that was acknowledged."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Start the thread. Call in the running loop; `db` is the thread's own from here on."""
        self._db = db
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="router-store-reader", daemon=True)
        self._thread.start()

    def submit(self, read: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Run `read` in the thread; all its steps see one moment.

        Raises `StoreFull` when too many reads wait.
        """
        if self._is_closing:
            raise StoreError("the store is closed")
        if self._inbox.qsize() >= READS_WAITING_MAX:
            raise StoreFull("too many reads are waiting for the disk")
        future: asyncio.Future[T] = self._loop.create_future()
        self._inbox.put((read, future))
        return future

    async def close(self) -> None:
        """Answer what waits, end the thread, close the connection."""
        self._is_closing = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            if not self._serve(*job):
                return
            del job  # waiting for the next one, it holds nothing of what this one read

    def _serve(
        self, read: Callable[[sqlite3.Connection], Any], future: "asyncio.Future[Any]"
    ) -> bool:
        """Read and answer; False when nobody is left to hear of it."""
        if future.cancelled():
            return True
        result: Any = None
        failure: Exception | None = None
        try:
            result = _at_one_moment(self._db, read)
        except Exception as error:  # noqa: BLE001 - one bad read must not end the thread
            failure = classify(error)[1]()
        try:
            self._loop.call_soon_threadsafe(_answer, future, result, failure)
        except RuntimeError:
            return False  # the loop is closed
        return True


def _at_one_moment(db: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    db.execute("BEGIN")
    try:
        return read(db)
    finally:
        if db.in_transaction:  # SQLite may have ended it itself after an error
            db.execute("ROLLBACK")


def _answer(future: "asyncio.Future[Any]", result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
