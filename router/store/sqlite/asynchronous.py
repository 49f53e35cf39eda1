"""Events for functions that nobody waits for.

A claim is a due time in the future. There is one router on a data folder, so whoever claimed an
event before the store was opened is gone: at the opening every claim ends.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from router.model.errors import StoreFull
from router.model.limits import ASYNC_WAIT_MS_MAX
from router.store.asynchronous import (
    Claim,
    Cycle,
    EventsFull,
    EventsWaiting,
    Finished,
    NewEvent,
    PutBack,
    QueuedEvent,
    Taken,
)
from router.store.sqlite import outbox, queues
from router.store.sqlite.outbox import SqliteOutbox
from router.store.sqlite.queues import SqliteQueues
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import for_ids, insert_rows_returning
from router.store.sqlite.writer import Kind, Writer, each
from router.telemetry import metrics

EVENT_OVERHEAD_BYTES: Final = 200
"""What an event takes beside its payload."""

_INSERT = """
INSERT OR IGNORE INTO async_events
(function, due_ms, accepted_ms, request_id, qualifier, trace_id, payload) VALUES (:row)
RETURNING request_id
"""

_BYTES = "length(payload) + ifnull(length(response), 0)"

_COUNT = f"""
SELECT function, count(*), sum({_BYTES}) FROM async_events GROUP BY function
"""  # noqa: S608 - constants

_DUE = f"""
SELECT id, {_BYTES} FROM async_events WHERE function = ? AND due_ms <= ? ORDER BY due_ms LIMIT ?
"""  # noqa: S608 - constants

_CLAIM = """
UPDATE async_events SET due_ms = ?, is_claimed = 1 WHERE id IN (:ids)
RETURNING id, request_id, qualifier, payload, trace_id, accepted_ms, attempts, held_up,
response IS NOT NULL
"""

_NEXT_DUE = "SELECT due_ms FROM async_events WHERE function = ? ORDER BY due_ms LIMIT 1"

_DELETE = f"""
DELETE FROM async_events WHERE id IN (:ids) RETURNING id, function, {_BYTES}
"""  # noqa: S608 - constants

_PUT_BACK = """
UPDATE async_events SET due_ms = ?, is_claimed = 0, attempts = ?, held_up = ? WHERE id = ?
"""

_RESPOND = """
UPDATE async_events SET due_ms = ?1, is_claimed = 0, attempts = ?2, held_up = ?3, response = ?5
WHERE id = ?4 RETURNING function
"""

_SIZE_OF_RESPONSE = "SELECT ifnull(length(response), 0) FROM async_events WHERE id = ?"

# Also what is due later than any wait lasts: the wall clock was set back while the router was
# not there (T1).
_RELEASE = """
UPDATE async_events SET due_ms = ?1, is_claimed = 0 WHERE is_claimed = 1 OR due_ms > ?1 + ?2
"""


class _Request(msgspec.Struct, frozen=True):
    finished: Sequence[Finished]
    put_back: Sequence[PutBack]
    claims: Sequence[Claim]
    now_ms: int


class _Done(msgspec.Struct, frozen=True):
    taken: Sequence[Taken]
    over: Mapping[int, tuple[str, int]]
    """By id, function and size of each event that is finished now."""
    grown: Sequence[tuple[str, int]]
    """Function and bytes by which responses made an event larger."""
    kept: frozenset[str]
    """Request ids of events that came to be."""


class SqliteAsync:
    """Implements `AsyncStore`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        queues: SqliteQueues,
        outbox: SqliteOutbox,
        bytes_max: int,
        wall_ms: Callable[[], int],
    ) -> None:
        """`bytes_max`: of events that may wait for one function."""
        self._writer = writer
        self._reader = reader
        self._queues = queues
        self._outbox = outbox
        self._bytes_max = bytes_max
        self._wall_ms = wall_ms
        self._events: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._wakes: list[Callable[[str], None]] = []
        self._enqueue_kind = Kind(_enqueue, self._enqueued, is_growth=True)
        self._cycle_kind = Kind(each(_cycle), self._cycled)
        self._release_kind = Kind(each(_release))

    async def open(self) -> None:
        """Count what waits, and end the claims of whoever had the store before."""
        await self._writer.submit(self._release_kind, self._wall_ms(), 0)
        rows = await self._reader.submit(lambda db: db.execute(_COUNT).fetchall())
        for function, events, size_bytes in rows:
            self._events[function], self._bytes[function] = events, size_bytes

    async def enqueue(self, event: NewEvent) -> None:
        """See `AsyncStore.enqueue`."""
        waiting_bytes = self._bytes[event.function]
        if waiting_bytes and waiting_bytes + len(event.payload) > self._bytes_max:
            metrics.STORE_ERRORS.labels("async_full").inc()
            raise EventsFull(
                f"{waiting_bytes} bytes of events wait for function {event.function} already"
                " (ROUTER_STORE_ASYNC_BYTES_MAX)"
            )
        size_bytes = len(event.payload) + EVENT_OVERHEAD_BYTES
        await self._writer.submit(self._enqueue_kind, event, size_bytes)

    async def cycle(
        self,
        finished: Sequence[Finished],
        put_back: Sequence[PutBack],
        claims: Sequence[Claim],
        now_ms: int,
    ) -> Cycle:
        """See `AsyncStore.cycle`."""
        fitting, refused = self._fitting(finished)
        request = _Request(fitting, put_back, claims, now_ms)
        done = await self._writer.submit(self._cycle_kind, request, _size_bytes(request))
        return Cycle(done.taken, refused)

    async def response(self, event_id: int) -> bytes | None:
        """See `AsyncStore.response`."""

        def find(db: sqlite3.Connection) -> bytes | None:
            sql = "SELECT response FROM async_events WHERE id = ?"
            row = db.execute(sql, (event_id,)).fetchone()
            return None if row is None else row[0]

        return await self._reader.submit(find)

    def waiting(self) -> Mapping[str, EventsWaiting]:
        """See `AsyncStore.waiting`."""
        return {
            function: EventsWaiting(events, self._bytes[function])
            for function, events in self._events.items()
        }

    async def overdue_ms(self, now_ms: int) -> Mapping[str, int]:
        """See `AsyncStore.overdue_ms`. What is claimed is due when its claim ends."""
        functions = list(self._events)

        def find(db: sqlite3.Connection) -> dict[str, int]:
            rows = ((it, db.execute(_NEXT_DUE, (it,)).fetchone()) for it in functions)
            return {it: now_ms - row[0] for it, row in rows if row is not None and row[0] < now_ms}

        return await self._reader.submit(find) if functions else {}

    def subscribe(self, wake: Callable[[str], None]) -> None:
        """See `AsyncStore.subscribe`."""
        self._wakes.append(wake)

    def _fitting(self, finished: Sequence[Finished]) -> tuple[list[Finished], list[int]]:
        """What the outbox has room for, and the ids of the rest."""
        fitting, refused = [], []
        for one in finished:
            try:
                for row in one.outbox:
                    self._outbox.check_room(row)
            except StoreFull:
                refused.append(one.id)
            else:
                fitting.append(one)
        return fitting, refused

    # In the loop, once it is durable

    def _enqueued(self, requests: Sequence[NewEvent], results: Sequence[bool]) -> None:
        came = [event for event, is_new in zip(requests, results, strict=True) if is_new]
        self._grew(came)

    def _cycled(self, requests: Sequence[_Request], results: Sequence[_Done]) -> None:
        for request, done in zip(requests, results, strict=True):
            for function, more_bytes in done.grown:
                self._bytes[function] += more_bytes
            for function, size_bytes in done.over.values():
                self._shrank(function, size_bytes)
            for one in request.finished:
                if one.id in done.over:
                    self._left(one, done.kept)

    def _left(self, one: Finished, kept: frozenset[str]) -> None:
        for row in one.outbox:
            self._outbox.grew(row.address, len(row.body))
        for message in one.messages:
            self._queues.wake(message.queue)
        self._grew([event for event in one.events if event.request_id in kept])

    def _grew(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            self._events[event.function] += 1
            self._bytes[event.function] += len(event.payload)
        for function in {event.function for event in events}:
            for wake in self._wakes:
                wake(function)

    def _shrank(self, function: str, size_bytes: int) -> None:
        self._events[function] -= 1
        self._bytes[function] -= size_bytes
        if not self._events[function]:
            del self._events[function], self._bytes[function]


def _size_bytes(request: _Request) -> int:
    """What a cycle takes while it waits."""
    size_bytes = 100 * (len(request.finished) + len(request.put_back) + len(request.claims) + 1)
    size_bytes += sum(len(one.response or b"") for one in request.put_back)
    for one in request.finished:
        size_bytes += sum(len(row.body) for row in one.outbox)
        size_bytes += sum(len(message.body) for message in one.messages)
        size_bytes += sum(len(event.payload) for event in one.events)
    return size_bytes


# In the storage thread


def _enqueue(db: sqlite3.Connection, events: Sequence[NewEvent]) -> Sequence[bool]:
    kept = _insert(db, events)
    found = []
    for event in events:
        found.append(event.request_id in kept)
        kept.discard(event.request_id)
    return found


def _insert(db: sqlite3.Connection, events: Sequence[NewEvent]) -> set[str]:
    """Request ids of those that are new."""
    rows = insert_rows_returning(
        db,
        _INSERT,
        [
            (
                event.function,
                event.accepted_ms,
                event.accepted_ms,
                event.request_id,
                event.qualifier,
                event.trace_id,
                event.payload,
            )
            for event in events
        ],
    )
    return {row[0] for row in rows}


def _cycle(db: sqlite3.Connection, request: _Request) -> _Done:
    over = _finish(db, request.finished) if request.finished else {}
    kept: set[str] = set()
    for one in request.finished:
        if one.id in over:
            kept |= _let_go(db, one, request.now_ms)
    grown = _put_back(db, request.put_back)
    taken = [_claim(db, claim, request.now_ms) for claim in request.claims]
    return _Done(taken, over, grown, frozenset(kept))


def _finish(db: sqlite3.Connection, finished: Sequence[Finished]) -> dict[int, tuple[str, int]]:
    rows = for_ids(db, _DELETE, (), [one.id for one in finished])
    return {row[0]: (row[1], row[2]) for row in rows}


def _let_go(db: sqlite3.Connection, one: Finished, now_ms: int) -> set[str]:
    for row in one.outbox:
        outbox.insert(db, row, now_ms)
    for message in one.messages:
        queues.enqueue(db, message, now_ms)
    return _insert(db, one.events) if one.events else set()


def _put_back(db: sqlite3.Connection, events: Sequence[PutBack]) -> list[tuple[str, int]]:
    plain = [
        (one.due_ms, one.attempts, one.held_up, one.id) for one in events if one.response is None
    ]
    db.executemany(_PUT_BACK, plain)
    grown = []
    for one in events:
        if one.response is None:
            continue
        before = db.execute(_SIZE_OF_RESPONSE, (one.id,)).fetchone()
        values = (one.due_ms, one.attempts, one.held_up, one.id, one.response)
        for (function,) in db.execute(_RESPOND, values).fetchall():
            grown.append((function, len(one.response) - before[0]))
    return grown


def _claim(db: sqlite3.Connection, claim: Claim, now_ms: int) -> Taken:
    chosen: list[int] = []
    left_bytes = claim.bytes_max
    for event_id, size_bytes in db.execute(_DUE, (claim.function, now_ms, claim.events_max)):
        if chosen and size_bytes > left_bytes:
            break
        chosen.append(event_id)
        left_bytes -= size_bytes
    rows = for_ids(db, _CLAIM, (claim.until_ms,), chosen)
    found = db.execute(_NEXT_DUE, (claim.function,)).fetchone()
    events = [_event(claim.function, row, now_ms) for row in rows]
    return Taken(claim.function, events, None if found is None else max(0, found[0] - now_ms))


def _event(function: str, row: tuple[Any, ...], now_ms: int) -> QueuedEvent:
    return QueuedEvent(
        id=row[0],
        function=function,
        request_id=row[1],
        qualifier=row[2],
        payload=row[3],
        trace_id=row[4],
        age_ms=max(0, now_ms - row[5]),
        attempts=row[6],
        held_up=row[7],
        has_response=bool(row[8]),
    )


def _release(db: sqlite3.Connection, now_ms: int) -> None:
    db.execute(_RELEASE, (now_ms, ASYNC_WAIT_MS_MAX))
