"""Message move tasks: dead-letter queues are emptied in the background, also after a restart."""

import asyncio
import base64
import json
import uuid
from typing import Any, Final

import structlog

from router.embedded import attributes as rules
from router.embedded.problems import QueueProblem, bad_value
from router.embedded.registry import WALL_MS, QueueRegistry
from router.model.errors import RouterError
from router.model.resources import Queue
from router.store.queues import MoveTarget, MoveTask, NewMoveTask, QueueStore

log = structlog.get_logger()

RATE_MAX: Final = 500
"""Largest MaxNumberOfMessagesPerSecond."""

STEP_MESSAGES: Final = 100
"""Messages moved in one transaction."""

STEPS_PER_SECOND: Final = 10
"""How evenly a rate is spread over a second."""

RETRY_S: Final = 1.0
"""Wait after the store refused a step."""

LIST_MAX: Final = 10
"""Most tasks of one listing."""


class MoveTasks:
    """Starts, runs, lists and cancels tasks. Raises `QueueProblem` for what SQS refuses."""

    def __init__(self, queues: QueueRegistry, store: QueueStore, wall_ms: WALL_MS) -> None:
        self._queues = queues
        self._store = store
        self._wall_ms = wall_ms
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def resume(self) -> None:
        """Go on with the tasks that ran when the router ended."""
        for task in await self._store.moves.tasks():
            self._run_in_background(task)

    async def stop(self) -> None:
        """Let steps in hand end; the tasks go on at the next start."""
        self._stopping.set()
        if self._running:
            await asyncio.wait(list(self._running.values()))

    async def start(self, source_arn: str, target_arn: str | None, rate: int | None) -> str:
        """Start moving; the task's handle."""
        source = self._source(source_arn)
        if not self._queues.sources_of(source.name):
            raise bad_value("Source queue must be configured as a Dead Letter Queue.")
        target = None
        if target_arn is not None:
            target = self._queues.find(target_arn)
            if target is None:
                raise _missing("DestinationArn")
            if target.name == source.name:
                raise bad_value("Source queue arn and destination queue arn cannot be the same.")
            if rules.is_fifo(target) != rules.is_fifo(source):
                raise bad_value("Source and destination queues must be of the same type.")
        if rate is not None and not 1 <= rate <= RATE_MAX:
            raise bad_value(
                f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. "
                f"Reason: Must be >= 1 and <= {RATE_MAX}, if provided."
            )
        task = NewMoveTask(
            handle=str(uuid.uuid4()),
            source=source.name,
            target=None if target is None else target.name,
            per_second_max=rate,
            started_ms=self._wall_ms(),
        )
        if not await self._store.moves.start(task):
            raise bad_value(
                "There is already a task running. Only one active task is allowed for a source "
                "queue arn at a given time."
            )
        self._run_in_background(task)
        return _show_handle(task.handle, source.arn)

    async def cancel(self, shown: str) -> int:
        """End a task; how many messages it has moved."""
        task = await self._store.moves.cancel(_read_handle(shown))
        if task is None:
            raise QueueProblem("ResourceNotFoundException", "Task does not exist.", status=404)
        return task.moved

    async def tasks(self, source_arn: str, count: int) -> list[dict[str, Any]]:
        """Tasks of a source as the API shows them, newest first."""
        source = self._source(source_arn)
        if not 1 <= count <= LIST_MAX:
            raise bad_value(
                f"Value {count} for parameter MaxResults is invalid. "
                f"Reason: Must be >= 1 and <= {LIST_MAX}, if provided."
            )
        found = await self._store.moves.tasks(source.name)
        return [self._shown(task, source) for task in found[:count]]

    def _source(self, arn: str) -> Queue:
        source = self._queues.find(arn)
        if source is None:
            raise _missing("SourceArn")
        return source

    def _shown(self, task: MoveTask, source: Queue) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "Status": task.status,
            "SourceArn": source.arn,
            "ApproximateNumberOfMessagesMoved": task.moved,
            "ApproximateNumberOfMessagesToMove": task.to_move,
            "StartedTimestamp": task.started_ms,
        }
        if task.target is not None:
            shown["DestinationArn"] = f"{source.arn.rpartition(':')[0]}:{task.target}"
        if task.per_second_max is not None:
            shown["MaxNumberOfMessagesPerSecond"] = task.per_second_max
        if task.status == "RUNNING":
            shown["TaskHandle"] = _show_handle(task.handle, source.arn)
        if task.failure:
            shown["FailureReason"] = task.failure
        return shown

    def _run_in_background(self, task: NewMoveTask) -> None:
        running = asyncio.get_running_loop().create_task(self._run(task))
        self._running[task.handle] = running
        running.add_done_callback(lambda ended: self._ended(task, ended))

    def _ended(self, task: NewMoveTask, ended: asyncio.Task[None]) -> None:
        self._running.pop(task.handle, None)
        if not ended.cancelled() and (error := ended.exception()) is not None:
            # Still to be done by the next start.
            log.error("move_task_broke", source=task.source, error=repr(error))

    async def _run(self, task: NewMoveTask) -> None:
        rate = task.per_second_max
        count = STEP_MESSAGES if rate is None else max(1, rate // STEPS_PER_SECOND)
        while not self._stopping.is_set():
            try:
                state, moved = await self._store.moves.step(
                    task.handle, self._wall_ms(), count, self._targets()
                )
            except RouterError as error:
                log.warning("move_task_waits", source=task.source, error=str(error))
                await self._pause(RETRY_S)
                continue
            if state.status != "RUNNING":
                log.info(
                    "move_task_ended",
                    source=task.source,
                    status=state.status,
                    messages=state.moved,
                    reason=state.failure,
                )
                return
            if rate is not None:
                await self._pause(moved / rate)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _targets(self) -> dict[str, MoveTarget]:
        return {
            queue.name: MoveTarget(
                1000 * rules.number(queue, "MessageRetentionPeriod"),
                1000 * rules.number(queue, "DelaySeconds"),
            )
            for queue in map(self._queues.get, self._queues.names(""))
        }


def _missing(name: str) -> QueueProblem:
    return QueueProblem(
        "ResourceNotFoundException",
        f"The resource that you specified for the {name} parameter doesn't exist.",
        status=404,
    )


def _show_handle(handle: str, source_arn: str) -> str:
    text = json.dumps({"taskId": handle, "sourceArn": source_arn}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_handle(shown: str) -> str:
    try:
        handle = json.loads(base64.b64decode(shown.encode(), altchars=b"-_", validate=True))
        return str(handle["taskId"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise bad_value("Value for parameter TaskHandle is invalid.") from None
