"""Tasks that move messages out of dead-letter queues.

A step is a transaction: a task that is interrupted goes on where it was, and no message is ever in
both queues or in none.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from router.store.queues import TASKS_KEPT, MoveTarget, MoveTask, NewMoveTask
from router.store.sqlite import fifo
from router.store.sqlite.messages import FIND, SYSTEM_JSON, queue_id
from router.store.sqlite.reader import Reader
from router.store.sqlite.sql import for_ids
from router.store.sqlite.wakes import Wakes
from router.store.sqlite.writer import Kind, Writer, each

RUNNING: Final = "RUNNING"
COMPLETED: Final = "COMPLETED"
CANCELLED: Final = "CANCELLED"
FAILED: Final = "FAILED"

NO_QUEUE: Final = "AWS.SimpleQueueService.NonExistentQueue"
NO_SOURCE: Final = "CouldNotDetermineMessageSource"
"""Why a task fails, in SQS's words."""

_COLUMNS = "handle, source, target, rate, started_ms, status, moved, to_move, failure"

_VISIBLE = """
SELECT id, system FROM messages WHERE queue_id = ? AND visible_ms <= ? AND expires_ms > ?
ORDER BY visible_ms, receive_count, id LIMIT ?
"""

_COUNT = """
SELECT count(*) FROM messages
WHERE queue_id = (SELECT id FROM queues WHERE name = ?1) AND visible_ms <= ?2 AND expires_ms > ?2
"""

_COPY = f"""
INSERT INTO messages
(queue_id, group_id, visible_ms, expires_ms, sent_ms, message_id, attributes, system, body)
SELECT ?, group_id, ?, ?, ?, ?, attributes,
CAST(json_remove({SYSTEM_JSON}, '$.DeadLetterQueueSourceArn') AS BLOB), body
FROM messages WHERE id = ?
"""  # noqa: S608 - a constant


class _Step(msgspec.Struct, frozen=True):
    handle: str
    now_ms: int
    messages_max: int
    targets: Mapping[str, MoveTarget]


class _Stepped(msgspec.Struct, frozen=True):
    task: MoveTask
    moved: int
    targets: frozenset[str]


class SqliteMoves:
    """Implements `MoveStore`."""

    def __init__(self, writer: Writer, reader: Reader, wakes: Wakes) -> None:
        self._writer = writer
        self._reader = reader
        self._wakes = wakes
        self._start_kind = Kind(each(_start))
        self._step_kind = Kind(each(_step), self._stepped)
        self._cancel_kind = Kind(each(_cancel))

    async def start(self, task: NewMoveTask) -> bool:
        """See `MoveStore.start`."""
        return await self._writer.submit(self._start_kind, task, 300)

    async def step(
        self, handle: str, now_ms: int, messages_max: int, targets: Mapping[str, MoveTarget]
    ) -> tuple[MoveTask, int]:
        """See `MoveStore.step`."""
        request = _Step(handle, now_ms, messages_max, targets)
        done = await self._writer.submit(self._step_kind, request, 300)
        return done.task, done.moved

    async def cancel(self, handle: str) -> MoveTask | None:
        """See `MoveStore.cancel`."""
        return await self._writer.submit(self._cancel_kind, handle, 100)

    async def tasks(self, source: str | None = None) -> Sequence[MoveTask]:
        """See `MoveStore.tasks`."""

        def select(db: sqlite3.Connection) -> list[MoveTask]:
            where, values = ("status = ?", RUNNING) if source is None else ("source = ?", source)
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM move_tasks WHERE {where} ORDER BY id DESC",  # noqa: S608 - constants
                (values,),
            )
            return [_task(row) for row in rows.fetchall()]

        return await self._reader.submit(select)

    def _stepped(self, _requests: Sequence[_Step], results: Sequence[_Stepped]) -> None:
        for queue in {queue for result in results for queue in result.targets}:
            self._wakes.wake(queue)


def drop(db: sqlite3.Connection, source: str) -> None:
    """Forget the tasks of a queue that is dropped."""
    db.execute("DELETE FROM move_tasks WHERE source = ?", (source,))


def _task(row: tuple[Any, ...]) -> MoveTask:
    handle, source, target, rate, started_ms, status, moved, to_move, failure = row
    return MoveTask(
        handle=handle,
        source=source,
        target=target,
        per_second_max=rate,
        started_ms=started_ms,
        status=status,
        moved=moved,
        to_move=to_move,
        failure=failure,
    )


def _start(db: sqlite3.Connection, task: NewMoveTask) -> bool:
    (is_running,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM move_tasks WHERE source = ? AND status = ?)",
        (task.source, RUNNING),
    ).fetchone()
    if is_running:
        return False
    (to_move,) = db.execute(_COUNT, (task.source, task.started_ms)).fetchone()
    db.execute(
        "INSERT INTO move_tasks"
        " (handle, source, target, rate, started_ms, status, moved, to_move, failure)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, ?, '')",
        (task.handle, task.source, task.target, task.per_second_max, task.started_ms, RUNNING,
         to_move),
    )  # fmt: skip
    db.execute(
        "DELETE FROM move_tasks WHERE source = ?1 AND id NOT IN"
        " (SELECT id FROM move_tasks WHERE source = ?1 ORDER BY id DESC LIMIT ?2)",
        (task.source, TASKS_KEPT),
    )
    return True


def _cancel(db: sqlite3.Connection, handle: str) -> MoveTask | None:
    rows = db.execute(
        "UPDATE move_tasks SET status = ? WHERE handle = ? AND status = ?"  # noqa: S608 - constants
        f" RETURNING {_COLUMNS}",
        (CANCELLED, handle, RUNNING),
    ).fetchall()
    return _task(rows[0]) if rows else None


def _step(db: sqlite3.Connection, request: _Step) -> _Stepped:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM move_tasks WHERE handle = ?",  # noqa: S608 - constants
        (request.handle,),
    ).fetchone()
    if row is None or row[5] != RUNNING:
        # Cancelled, or its source dropped, since the caller looked.
        ended = _task(row) if row is not None else _gone(request.handle)
        return _Stepped(ended, 0, frozenset())
    task = _task(row)
    source = db.execute(FIND, (task.source,)).fetchone()
    found = [] if source is None else _pick(db, source[0], task, request)
    moved: list[int] = []
    groups: set[tuple[int, str | None]] = set()
    reached: set[str] = set()
    status, failure = RUNNING if found else COMPLETED, ""
    for message, group, origin in found:
        target = task.target or origin
        settings = request.targets.get(target)
        if settings is None:
            status, failure = FAILED, NO_QUEUE if target else NO_SOURCE
            break
        _copy(db, message, group, queue_id(db, target), settings, request.now_ms)
        moved.append(message)
        groups.add((source[0], group))
        reached.add(target)
    for_ids(db, "DELETE FROM messages WHERE id IN (:ids)", (), moved)
    fifo.refresh_all(db, groups)
    db.execute(
        "UPDATE move_tasks SET moved = moved + ?, status = ?, failure = ? WHERE handle = ?",
        (len(moved), status, failure, request.handle),
    )
    task = msgspec.structs.replace(
        task, moved=task.moved + len(moved), status=status, failure=failure
    )
    return _Stepped(task, len(moved), frozenset(reached))


def _gone(handle: str) -> MoveTask:
    return MoveTask(
        handle=handle, source="", target=None, per_second_max=None, started_ms=0,
        status=CANCELLED, moved=0, to_move=0,
    )  # fmt: skip


def _pick(
    db: sqlite3.Connection, source: int, task: MoveTask, request: _Step
) -> list[tuple[int, str | None, str]]:
    """(message, group, queue it came from) to move next, oldest first.

    Not those that came, or became visible, after the task began: else it might never end.
    """
    until_ms = min(request.now_ms, task.started_ms)
    rows: Iterable[tuple[int, str | None, bytes]]
    if task.source.endswith(".fifo"):
        rows = _pick_fifo(db, source, request, until_ms)
    else:
        values = (source, until_ms, request.now_ms, request.messages_max)
        rows = [(message, None, system) for message, system in db.execute(_VISIBLE, values)]
    return [(message, group, _origin(system)) for message, group, system in rows]


def _pick_fifo(
    db: sqlite3.Connection, source: int, request: _Step, until_ms: int
) -> list[tuple[int, str | None, bytes]]:
    """From the fronts of groups, so that no message overtakes one of its group."""
    found: list[tuple[int, str | None, bytes]] = []
    seen: set[str] = set()
    while len(found) < request.messages_max:
        # Groups that came later are not even looked at, however many there are by now.
        groups = fifo.ready_groups(db, source, until_ms, request.messages_max + len(seen))
        new = [group for group in groups if group not in seen]
        if not new:
            break
        for group in new:
            seen.add(group)
            count = request.messages_max - len(found)
            if count <= 0:
                break
            ready = fifo.front(db, source, group, request.now_ms, count, sent_ms_max=until_ms).ready
            systems = dict(for_ids(db, "SELECT id, system FROM messages WHERE id IN (:ids)", (),
                                   ready))  # fmt: skip
            found += [(message, group, systems[message]) for message in ready]
    return found


def _origin(system: bytes) -> str:
    return orjson.loads(system).get("DeadLetterQueueSourceArn", "") if system else ""


def _copy(
    db: sqlite3.Connection,
    message: int,
    group: str | None,
    target: int,
    settings: MoveTarget,
    now_ms: int,
) -> None:
    """The message anew at the end of its target."""
    visible_ms = now_ms + settings.delay_ms
    db.execute(
        _COPY,
        (target, visible_ms, now_ms + settings.retention_ms, now_ms, str(uuid.uuid4()), message),
    )
    if group is not None:
        fifo.open_group(db, target, group, visible_ms)
