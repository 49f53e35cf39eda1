"""The one storage thread: everything that waits shares one transaction and one sync.

    loop:    submit() ─► waiting ─► _hand_over() ─────────────┐            _finish(): all futures
    thread:                                                    └► one group ─►┘
                                                               BEGIN … COMMIT

While a group is being synced the next one gathers, so the group grows with the load and the
cost of a sync is shared by as many callers as there are. What waits is bounded in operations
and bytes; beyond that `submit` raises `StoreFull` at once, before memory grows.
"""

import asyncio
import contextlib
import itertools
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from router.config import StoreSettings
from router.model.errors import StoreError, StoreFull
from router.store.sqlite.checkpoint import Checkpointer
from router.store.sqlite.faults import classify
from router.telemetry import metrics
from router.telemetry.chaos import chaos_point

GROUP_OPERATIONS_MAX: Final = 2_048
"""Operations of one transaction: bounds how long one commit and its call-backs take."""

GROUP_BYTES_MAX: Final = 16 << 20
"""Bytes of one transaction; a single larger operation still goes alone."""

SETTLING_SHARE: Final = 1.25
"""What does not make the store larger may still wait when as much as this share of the bounds
waits: a flood of records must not keep finished work from being written down."""

MEASURE_GROUPS: Final = 32
"""The store's size is looked at once in so many groups, or bytes, below."""

MEASURE_BYTES: Final = 1 << 20

STALLED_S: Final = 5.0
"""A group that takes this long counts as a fault: the disk may never answer."""

IDLE_S: Final = 1.0
"""After this time without a write the log is moved into the database."""

Q = TypeVar("Q")
R = TypeVar("R")


def _nothing(_requests: Sequence[Any], _results: Sequence[Any]) -> None:
    """Most kinds have nobody to tell."""


class Kind(Generic[Q, R]):
    """One kind of write. Operations of one kind that follow each other run in one call.

    `run` works in the storage thread inside the transaction and gives one result per request,
    or raises. `committed` is called in the loop, once it is all durable, before the callers
    hear of it. `is_growth` marks what makes the store larger: when the disk is full it is
    the first to be left out, so that work can drain.

    Kinds of different `rank` never touch each other's rows. A group of such kinds alone is put in
    this order, so that each kind of it runs in one call however the callers came.
    """

    __slots__ = ("committed", "is_growth", "rank", "run")

    def __init__(
        self,
        run: Callable[[sqlite3.Connection, Sequence[Q]], Sequence[R]],
        committed: Callable[[Sequence[Q], Sequence[R]], None] = _nothing,
        *,
        is_growth: bool = False,
        rank: int | None = None,
    ) -> None:
        self.run = run
        self.committed = committed
        self.is_growth = is_growth
        self.rank = rank


def each(
    step: Callable[[sqlite3.Connection, Q], R],
) -> Callable[[sqlite3.Connection, Sequence[Q]], list[R]]:
    """Run a step for each request on its own."""

    def run(db: sqlite3.Connection, requests: Sequence[Q]) -> list[R]:
        return [step(db, request) for request in requests]

    return run


def free_bytes(folder: Path) -> int:
    """Bytes left on a folder's disk; 0 when it cannot be asked."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize


def _write_a_page(db: sqlite3.Connection, _request: None) -> None:
    """The smallest change there is: a number of the file's head that nothing else uses."""
    db.execute("PRAGMA user_version = 1")


class _Failed:
    """Stands for the result of an operation that failed."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


# (kind, request, future, size_bytes, writes): a tuple is the cheapest thing to make 20,000 times a
# second
_Operation = tuple[Kind[Any, Any], Any, "asyncio.Future[Any]", int, int]
_kind_of = itemgetter(0)


def _arrange(group: list[_Operation]) -> None:
    """Bring operations of one kind together where order between kinds has no meaning."""
    if all(operation[0].rank is not None for operation in group):
        group.sort(key=_rank_of)


def _rank_of(operation: _Operation) -> int:
    return operation[0].rank or 0


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(
        self,
        db: sqlite3.Connection,
        settings: StoreSettings,
        checkpointer: Checkpointer,
        folder: Path,
    ) -> None:
        """Start the thread. Call in the running loop; `db` is the thread's own from here on.

        `folder` lies on the disk whose free space counts.
        """
        self._db = db
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._checkpointer = checkpointer
        self._waiting: deque[_Operation] = deque()
        self._waiting_bytes = self._waiting_writes = 0
        self._operations_open = 0
        self._bytes_open = 0
        self._folder = folder
        self._is_busy = False
        self._busy_since = 0.0
        self._is_woken = False
        self._is_closing = False
        self._drained: asyncio.Future[None] | None = None
        self._inbox: queue.SimpleQueue[list[_Operation] | None] = queue.SimpleQueue()
        self._forgetters: list[Callable[[], None]] = []
        self._groups_unmeasured = 0
        self._bytes_unmeasured = 0
        self.bytes_used = self._measured_bytes()
        self.free_bytes = free_bytes(folder)
        self._error: str | None = None
        """Why new records could not be written (`disk_full`, `io_error` …), until one was."""
        self._probe_kind = Kind(each(_write_a_page), is_growth=True)
        metrics.STORE_WAITING.set_function(lambda: self._operations_open)
        metrics.STORE_STALLED.set_function(lambda: self.stalled_s)
        metrics.STORE_LIMIT.set(settings.bytes_max)
        self._thread = threading.Thread(target=self._run, name="router-store-writer", daemon=True)
        self._thread.start()

    # In the loop

    @property
    def operations_open(self) -> int:
        """Writes that are waiting or being committed."""
        return self._operations_open

    @property
    def stalled_s(self) -> float:
        """How long the group in hand has been with the disk; 0 when none is."""
        return time.monotonic() - self._busy_since if self._is_busy else 0.0

    @property
    def fault(self) -> str | None:
        """Why new records are not taken (`disk_full`, `io_error`, `stalled`, `disk_low` …)."""
        if self._error is not None:
            return self._error
        if self.stalled_s >= STALLED_S:
            return "stalled"
        return "disk_low" if self.free_bytes < self._settings.free_bytes_min else None

    async def look(self) -> None:
        """See how the disk is. After an error only a write tells, and nobody else may be writing.

        As slow as the disk.
        """
        self.free_bytes = await asyncio.to_thread(free_bytes, self._folder)
        if self._error is not None:
            with contextlib.suppress(StoreError):
                await self.submit(self._probe_kind, None, 0)

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Call `forget` in the storage thread whenever something was undone."""
        self._forgetters.append(forget)

    def submit(
        self, kind: Kind[Q, R], request: Q, size_bytes: int, writes: int = 1
    ) -> "asyncio.Future[R]":
        """Queue one write, or so many that are one; the future has its result once it is durable.

        It is made even when the future is cancelled. Raises `StoreFull` when too much
        waits or, for what makes the store larger, when the store has reached its size or the
        disk has too little left.
        """
        settings = self._settings
        if self._is_closing:
            raise StoreError("the store is closed")
        share = 1.0 if kind.is_growth else SETTLING_SHARE
        if self._operations_open >= settings.waiting_operations_max * share or (
            self._bytes_open + size_bytes > settings.waiting_bytes_max * share
            and self._operations_open
        ):
            metrics.STORE_ERRORS.labels("waiting_full").inc()
            raise StoreFull("too many writes are waiting for the disk")
        if kind.is_growth and self.bytes_used >= settings.bytes_max:
            metrics.STORE_ERRORS.labels("store_full").inc()
            raise StoreFull(f"the store has reached its size of {settings.bytes_max} bytes")
        if kind.is_growth and self.free_bytes < settings.free_bytes_min:
            metrics.STORE_ERRORS.labels("disk_low").inc()
            raise StoreFull(f"the disk has {self.free_bytes} bytes left, too few for new records")
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting.append((kind, request, future, size_bytes, writes))
        self._operations_open += writes
        self._waiting_writes += writes
        self._bytes_open += size_bytes
        self._waiting_bytes += size_bytes
        if not self._is_busy and not self._is_woken:
            # One turn later, so that every caller that is ready in this turn is in the group.
            self._is_woken = True
            self._loop.call_soon(self._hand_over)
        return future

    async def close(self) -> None:
        """Write what waits, refuse what comes, end the thread. The connection stays open."""
        self._is_closing = True
        if self._operations_open:
            self._drained = self._loop.create_future()
            await self._drained
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        self._is_woken = False
        if self._is_busy or not self._waiting:
            return
        group: list[_Operation]
        if self._waiting_writes <= GROUP_OPERATIONS_MAX and self._waiting_bytes <= GROUP_BYTES_MAX:
            group = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = self._waiting_writes = 0
        else:
            group = self._cut()
        self._is_busy = True
        self._busy_since = time.monotonic()
        self._inbox.put(group)

    def _cut(self) -> list[_Operation]:
        group: list[_Operation] = []
        size_bytes = writes = 0
        while self._waiting:
            size_bytes += self._waiting[0][3]
            writes += self._waiting[0][4]
            if group and (size_bytes > GROUP_BYTES_MAX or writes > GROUP_OPERATIONS_MAX):
                break
            group.append(self._waiting.popleft())
            self._waiting_bytes -= group[-1][3]
            self._waiting_writes -= group[-1][4]
        return group

    def _finish(self, group: list[_Operation], results: list[Any]) -> None:
        """One call per group, however many waited."""
        self._is_busy = False
        for operation in group:
            self._bytes_open -= operation[3]
            self._operations_open -= operation[4]
        self._hand_over()  # the thread writes the next group while the callers are told
        try:
            self._tell(group, results)
        except Exception as error:  # noqa: BLE001 - the callers must have their answers
            self._loop.call_exception_handler(
                {"message": "the store could not tell of a commit", "exception": error}
            )
        for (_kind, _request, future, _size, _writes), result in zip(group, results, strict=True):
            if future.done():
                continue  # the caller was cancelled; what it asked for is written all the same
            if type(result) is _Failed:
                future.set_exception(result.error)
            else:
                future.set_result(result)
        if self._drained is not None and not self._operations_open and not self._drained.done():
            self._drained.set_result(None)

    def _tell(self, group: list[_Operation], results: list[Any]) -> None:
        start = 0
        for kind, run in itertools.groupby(group, _kind_of):
            requests = [operation[1] for operation in run]
            run_results = results[start : start + len(requests)]
            start += len(requests)
            if kind.committed is _nothing:
                continue
            kept = [
                pair
                for pair in zip(requests, run_results, strict=True)
                if type(pair[1]) is not _Failed
            ]
            if kept:
                kind.committed([pair[0] for pair in kept], [pair[1] for pair in kept])

    # In the storage thread

    def _run(self) -> None:
        timeout_s: float | None = None
        while True:
            try:
                group = self._inbox.get(timeout=timeout_s)
            except queue.Empty:
                self._checkpointer.finish(self._db)
                self._measure()
                timeout_s = None
                continue
            if group is None:
                return
            started = time.perf_counter()
            _arrange(group)
            results = self._write(group)
            try:
                self._loop.call_soon_threadsafe(self._finish, group, results)
            except RuntimeError:
                return  # the loop is closed: nobody is left to hear of it
            metrics.STORE_COMMIT_DURATION.observe(time.perf_counter() - started)
            metrics.STORE_COMMIT_OPERATIONS.observe(sum(operation[4] for operation in group))
            self._after(sum(operation[3] for operation in group))
            del group, results  # waiting for the next one, it holds nothing of what was written
            timeout_s = IDLE_S

    def _after(self, size_bytes: int) -> None:
        """What can wait until the callers have been answered."""
        self._groups_unmeasured += 1
        self._bytes_unmeasured += size_bytes
        if self._groups_unmeasured >= MEASURE_GROUPS or self._bytes_unmeasured >= MEASURE_BYTES:
            self._measure()
        self._checkpointer.wrote(self._db, size_bytes)

    def _measure(self) -> None:
        self._groups_unmeasured = self._bytes_unmeasured = 0
        self.free_bytes = free_bytes(self._folder)
        with contextlib.suppress(sqlite3.Error):
            self.bytes_used = self._measured_bytes()
        metrics.STORE_BYTES.set(self.bytes_used)

    def _measured_bytes(self) -> int:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * page_bytes)

    def _write(self, group: list[_Operation]) -> list[Any]:
        """Write a group; when that fails, find out which operations are to blame."""
        try:
            results = self._together(group)
        except Exception:  # noqa: BLE001 - whatever one operation did, the others must go on
            self._undo()
        else:
            self._written(group)
            return results
        try:
            results = self._one_by_one(group)
        except Exception as error:  # noqa: BLE001 - as above
            self._undo()
            return self._without_growth(group, error)
        else:
            self._written(group)
            return results

    def _written(self, group: list[_Operation]) -> None:
        """A full disk may have room for progress and none for records: only growth tells."""
        if self._error is not None and any(operation[0].is_growth for operation in group):
            self._error = None

    def _without_growth(self, group: list[_Operation], error: Exception) -> list[Any]:
        """The disk refuses the group: keep what lets work drain, fail the rest."""
        self._error, failure = classify(error)
        metrics.STORE_ERRORS.labels(self._error).inc()
        settling = [operation for operation in group if not operation[0].is_growth]
        kept: list[Any] = [_Failed(failure()) for _ in settling]
        if 0 < len(settling) < len(group):
            try:
                kept = self._one_by_one(settling)
            except Exception:  # noqa: BLE001 - they fail with the first error
                self._undo()
        kept.reverse()
        return [_Failed(failure()) if operation[0].is_growth else kept.pop() for operation in group]

    def _together(self, group: list[_Operation]) -> list[Any]:
        self._db.execute("BEGIN IMMEDIATE")
        results: list[Any] = []
        for kind, run in itertools.groupby(group, _kind_of):
            results.extend(kind.run(self._db, [operation[1] for operation in run]))
        self._commit()
        return results

    def _one_by_one(self, group: list[_Operation]) -> list[Any]:
        """Still one transaction, but each operation in a savepoint: only the bad ones fail."""
        self._db.execute("BEGIN IMMEDIATE")
        results: list[Any] = []
        for kind, request, _future, _size, _writes in group:
            self._db.execute("SAVEPOINT operation")
            try:
                results.extend(kind.run(self._db, [request]))
            except Exception as error:
                if not self._db.in_transaction:
                    raise  # SQLite gave up the whole transaction
                self._db.execute("ROLLBACK TO operation")
                self._forget()
                reason, failure = classify(error)
                metrics.STORE_ERRORS.labels(reason).inc()
                results.append(_Failed(failure()))
            self._db.execute("RELEASE operation")
        self._commit()
        return results

    def _commit(self) -> None:
        chaos_point("before_commit")
        self._db.execute("COMMIT")
        chaos_point("after_commit")

    def _undo(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
        self._forget()

    def _forget(self) -> None:
        for forget in self._forgetters:
            forget()
