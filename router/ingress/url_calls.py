"""The way of a request to a function's URL, from the listener to what answers it, and back.

In one process a task; between two a frame there and one back, matched by number.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from router.ingress.frames import FrameError
from router.model.function_url import UrlAnswer, UrlCall
from router.model.limits import EVENT_BYTES_MAX, KIB

log = structlog.get_logger(__name__)

SMALL_BYTES: Final = 64 * KIB
"""A larger answer waits until the ingress process has read what was sent before: it is cut off
when it leaves too much unread, and a few dozen of 6 MB at once would be that."""

Answering = Callable[[UrlCall], Awaitable[UrlAnswer]]


class LocalCaller:
    """Where the listener is in the router: straight to it."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, call: UrlCall) -> "asyncio.Future[UrlAnswer]":
        """See `Caller.call`."""
        future: asyncio.Future[UrlAnswer] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(call, future))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future

    async def _run(self, call: UrlCall, future: "asyncio.Future[UrlAnswer]") -> None:
        answer = await _answer(self._answering, call)
        if not future.done():
            future.set_result(answer)


class RemoteCaller:
    """In the ingress process: to the router."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._numbers = 0
        self._open: dict[int, asyncio.Future[UrlAnswer]] = {}

    def call(self, call: UrlCall) -> "asyncio.Future[UrlAnswer]":
        """See `Caller.call`."""
        self._numbers += 1
        call.number = self._numbers
        future: asyncio.Future[UrlAnswer] = asyncio.get_running_loop().create_future()
        self._open[call.number] = future
        self._send(call)
        return future

    def answered(self, answer: UrlAnswer) -> None:
        """The router's answer. Raises `FrameError` for one that fits no call."""
        future = self._open.pop(answer.number, None)
        if future is None:
            raise FrameError(f"no such call: {answer.number}")
        if not future.done():  # whoever waited may have given up
            future.set_result(answer)


class Way(Protocol):
    """The link to an ingress process."""

    def send(self, message: Any) -> None:
        """Send a message; nobody hears it any more once the link has ended."""

    async def room(self) -> None:
        """Wait until everything sent is read, or the link has ended."""


class UrlDesk:
    """In the router: takes calls of ingress processes and sends their answers back."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = asyncio.Lock()

    def take(self, call: UrlCall, way: Way) -> None:
        """Answer a call, once. Raises `FrameError` for what no ingress process of ours sends."""
        if len(call.body) > EVENT_BYTES_MAX:
            raise FrameError(f"a request of {len(call.body)} bytes")
        task = asyncio.create_task(self._run(call, way))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: UrlCall, way: Way) -> None:
        answer = await _answer(self._answering, call)
        if len(answer.body) <= SMALL_BYTES:
            way.send(answer)
            return
        async with self._large:
            await way.room()
            way.send(answer)


async def _answer(answering: Answering, call: UrlCall) -> UrlAnswer:
    try:
        return await answering(call)
    except Exception:
        log.exception("url_failed", url_id=call.url_id)
        headers = [("content-type", "text/plain")]
        return UrlAnswer(call.number, 502, headers, b"Internal Server Error")
