"""A queue of AWS, or of whoever speaks SQS, as a source of mappings."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol

from router.model.arn import parse_arn
from router.model.errors import RouterError
from router.model.queue_message import QueueMessage
from router.sources.sqs_client import LOST, SqsProblem

BATCH: Final = 10
"""Messages of one receive, entries of one deletion (SQS limit)."""

WAIT_S_MAX: Final = 20
"""Longest long poll (SQS limit)."""

DELETIONS_MAX: Final = 8
"""Calls that one large deletion makes at a time."""

SETTINGS_S: Final = 60.0
"""How long what is known of the queue's settings holds."""

BACKLOG_S: Final = 15.0
"""How long a count of its messages holds; AWS itself counts about once a minute."""

STOP_S: Final = 0.5
"""How long a receive may still be answered when there shall be no more."""

MISSING: Final = frozenset({"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})


class Calls(Protocol):
    """Makes calls: `sqs_client.SqsClient`."""

    async def endpoint(self) -> str:
        """Where SQS is. Raises `SqsProblem`."""

    async def call(
        self, operation: str, members: Mapping[str, Any], wait_s: float = 0
    ) -> dict[str, Any]:
        """One call. Raises `SqsProblem`."""


class AwsQueueSource:
    """One queue. Every method raises `SqsProblem`, or what the credentials' finder raises."""

    receive_max: Final = BATCH

    def __init__(
        self, client: Calls, arn: str, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._arn = parse_arn(arn)
        self._is_fifo = arn.endswith(".fifo")
        self._now_s = now_s
        self._url = ""
        self._visibility_s = 0
        self._known_s: float | None = None
        self._backlog = 0
        self._counted_s: float | None = None
        self._counting: asyncio.Task[None] | None = None
        self._lost: list[str] = []
        """Attempts of a FIFO queue whose answer never came: asked again they bring the same.

        Asked again once: when their messages were changed meanwhile, a queue may answer none of
        them ever (ElasticMQ: with an error of its own, for five minutes).
        """
        self._ends = _Ends()

    async def visibility_s(self) -> int:
        """The queue's own visibility timeout, as of a minute ago at most."""
        now_s = self._now_s()
        if self._known_s is None or now_s - self._known_s > SETTINGS_S:
            found = await self._attributes("VisibilityTimeout")
            with _Reading("GetQueueAttributes"):
                self._visibility_s, self._known_s = int(found["VisibilityTimeout"]), now_s
        return self._visibility_s

    async def receive(
        self, messages_max: int, wait_ms: int, visibility_s: int | None, stop: asyncio.Event
    ) -> Sequence[QueueMessage]:
        """Messages; waits for the first one.

        When `stop` is set the wait is cut off after a moment. What SQS should hand out in that very
        moment comes again after its visibility timeout.
        """
        wait_s = min(WAIT_S_MAX, wait_ms // 1000) if not stop.is_set() else 0
        members: dict[str, Any] = {
            "QueueUrl": self._url or await self._find(),
            "MaxNumberOfMessages": min(messages_max, BATCH),
            "WaitTimeSeconds": wait_s,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        if visibility_s is not None:
            members["VisibilityTimeout"] = visibility_s
        attempt, is_again = "", bool(self._lost)
        if self._is_fifo:
            attempt = self._lost.pop() if self._lost else str(uuid.uuid4())
            members["ReceiveRequestAttemptId"] = attempt
        try:
            reply = await self._ends.before(
                stop, self._client.call("ReceiveMessage", members, wait_s)
            )
        except SqsProblem as problem:
            if attempt and problem.kind == LOST and not is_again:
                self._lost.append(attempt)
            self._forget_if_missing(problem)
            raise
        if reply is None:
            if attempt:
                self._lost.append(attempt)
            return ()
        with _Reading("ReceiveMessage"):
            found = [_message(one) for one in reply.get("Messages") or ()]
        if self._is_fifo and any("MessageGroupId" not in one.system for one in found):
            raise SqsProblem("InvalidAnswer", "a message of a FIFO queue has no message group")
        return found

    async def delete(self, receipts: Sequence[str]) -> Sequence[int]:
        """Remove messages; the indexes of those that are still there."""
        if len(receipts) <= BATCH:
            return await self._delete(receipts, 0)
        free = asyncio.Semaphore(DELETIONS_MAX)

        async def some(start: int) -> Sequence[int]:
            part = receipts[start : start + BATCH]
            async with free:
                try:
                    return await self._delete(part, start)
                except SqsProblem:
                    return range(start, start + len(part))

        starts = range(0, len(receipts), BATCH)
        return [index for part in await asyncio.gather(*map(some, starts)) for index in part]

    async def _delete(self, receipts: Sequence[str], start: int) -> Sequence[int]:
        entries = [
            {"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(receipts)
        ]
        url = self._url or await self._find()
        try:
            reply = await self._client.call(
                "DeleteMessageBatch", {"QueueUrl": url, "Entries": entries}
            )
        except SqsProblem as problem:
            self._forget_if_missing(problem)
            if problem.kind in MISSING:
                return ()  # its messages went with it
            raise
        # Only what is confirmed is gone.
        done = reply.get("Successful")
        listed = done if isinstance(done, list) else ()
        deleted = {entry.get("Id") for entry in listed if isinstance(entry, dict)}
        return [start + index for index in range(len(receipts)) if str(index) not in deleted]

    async def backlog(self) -> int:
        """Messages that are there, as of a moment ago; who asks does not wait for SQS."""
        is_old = self._counted_s is None or self._now_s() - self._counted_s > BACKLOG_S
        if is_old and (self._counting is None or self._counting.done()):
            self._counting = asyncio.get_running_loop().create_task(self._count())
        return self._backlog

    async def _count(self) -> None:
        names = [f"ApproximateNumberOfMessages{more}" for more in ("", "NotVisible", "Delayed")]
        with contextlib.suppress(RouterError):
            found = await self._attributes(*names)
            with _Reading("GetQueueAttributes"):
                self._backlog = sum(int(found.get(name, 0)) for name in names)
        self._counted_s = self._now_s()

    async def _attributes(self, *names: str) -> dict[str, str]:
        url = self._url or await self._find()
        try:
            reply = await self._client.call(
                "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": list(names)}
            )
        except SqsProblem as problem:
            self._forget_if_missing(problem)
            raise
        found = reply.get("Attributes")
        return found if isinstance(found, dict) else {}

    async def _find(self) -> str:
        """The queue's URL: as AWS makes it, so that no role needs GetQueueUrl (8.1)."""
        endpoint = (await self._client.endpoint()).rstrip("/")
        self._url = f"{endpoint}/{self._arn.account}/{self._arn.resource}"
        return self._url

    def _forget_if_missing(self, problem: SqsProblem) -> None:
        """A queue that is made again may have other settings."""
        if problem.kind in MISSING:
            self._known_s = None


class _Ends:
    """Ends calls a moment after `stop` was set; one task listens for all of them."""

    def __init__(self) -> None:
        self._stop: asyncio.Event | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._listening: asyncio.Task[None] | None = None
        """Kept, so that it lives."""

    async def before(
        self, stop: asyncio.Event, call: Awaitable[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """The answer of a call; None when it is cut off."""
        if stop is not self._stop:
            self._stop, self._limits = stop, set()
            self._listening = asyncio.get_running_loop().create_task(_listen(stop, self._limits))
        limits = self._limits
        limit = asyncio.timeout(STOP_S if stop.is_set() else None)
        try:
            async with limit:
                limits.add(limit)
                return await call
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        finally:
            limits.discard(limit)


async def _listen(stop: asyncio.Event, limits: set[asyncio.Timeout]) -> None:
    await stop.wait()
    until_s = asyncio.get_running_loop().time() + STOP_S
    for limit in limits:
        limit.reschedule(until_s)


class _Reading:
    """`with _Reading("ReceiveMessage"):` what cannot be read there is a `SqsProblem`.

    An answer as SQS never gives it, of something between, must not end a mapping.
    """

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (ValueError, TypeError, KeyError, AttributeError)):
            text = f"{self._operation} was answered not as SQS answers: {error!r}"
            raise SqsProblem("InvalidAnswer", text) from error


def _message(found: Mapping[str, Any]) -> QueueMessage:
    system, attributes = found.get("Attributes") or {}, found.get("MessageAttributes") or {}
    int(system.get("SentTimestamp", 0))
    for value in attributes.values():
        _text(value["DataType"])
    return QueueMessage(
        message_id=_text(found["MessageId"]),
        receipt=_text(found["ReceiptHandle"]),
        body=_text(found["Body"]),
        md5_of_body=_text(found["MD5OfBody"]),
        md5_of_attributes=found.get("MD5OfMessageAttributes"),
        system=system,
        attributes=attributes,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
