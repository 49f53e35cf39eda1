"""Where calls of functions' URLs arrive in the router, and their answers leave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from router.ingress.frames import FrameError
from router.model.function_url import UrlAnswer, UrlCall, UrlPart, UrlTaken
from router.model.limits import EVENT_BYTES_MAX, KIB

log = structlog.get_logger(__name__)

SMALL_BYTES: Final = 64 * KIB
"""A larger answer waits until the ingress process has read what was sent before: it is cut off
when it leaves too much unread, and a few dozen of 6 MB at once would be that."""

WINDOW_BYTES: Final = 128 * KIB
"""Of an answer sent while it is made: what may be on its way to a client that has not read it."""

PART_BYTES_MAX: Final = 32 * KIB
"""A part: what belongs to others does not wait long behind it."""


class Rest(Protocol):
    """The rest of a body, while it is made."""

    def pieces(self) -> AsyncIterator[bytes]:
        """It, in pieces; none comes after `close`."""

    async def is_whole(self) -> bool:
        """Whether that was all of it: the function has not failed."""

    def close(self) -> None:
        """Nobody wants it any more; the function runs on."""


Answering = Callable[[UrlCall], Awaitable[tuple[UrlAnswer, Rest | None]]]
"""Answers a call; a rest is there when the answer is open."""


class Way(Protocol):
    """To the listener."""

    @property
    def has_ended(self) -> bool:
        """Nothing sent arrives any more."""

    def send(self, message: Any) -> None:
        """Send a message; nobody hears it any more once the way has ended."""

    async def room(self) -> None:
        """Wait until everything sent is read, or the way has ended."""


class _Outgoing:
    """A body of which parts are sent."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.is_gone = False
        """Nobody reads it."""
        self.room_bytes = WINDOW_BYTES
        self.changed = asyncio.Event()

    def leave(self) -> None:
        """Nobody reads it any more."""
        self.is_gone = True
        self.rest.close()
        self.changed.set()

    async def room(self) -> int:
        """Wait until something may be sent; 0 when nobody reads it."""
        while not self.is_gone and not self.room_bytes:
            self.changed.clear()
            await self.changed.wait()
        return 0 if self.is_gone else self.room_bytes


class UrlDesk:
    """Takes calls of listeners and sends their answers back."""

    def __init__(self, answering: Answering, idle_max: int = 0) -> None:
        """`idle_max`: tasks that may wait for calls to come; `close` has them end."""
        self._answering = answering
        self._idle_max = idle_max
        self._idle: list[asyncio.Future[tuple[UrlCall, Way]]] = []
        """Each is what a task waits for; the last one is the first to be used."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._outgoing: dict[tuple[Way, int], _Outgoing] = {}
        self._turn = asyncio.Lock()
        """Whose turn it is to wait for room on the way."""

    def take(self, call: UrlCall, way: Way) -> None:
        """Answer a call, once. Raises `FrameError` for what no listener of ours sends."""
        if len(call.body) > EVENT_BYTES_MAX:
            raise FrameError(f"a request of {len(call.body)} bytes")
        while self._idle:
            asked = self._idle.pop()
            if not asked.done():  # cancelled with its task
                asked.set_result((call, way))
                return
        task = asyncio.create_task(self._serve(call, way))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def taken(self, taken: UrlTaken, way: Way) -> None:
        """How far a client has read. Raises `FrameError` for what cannot be."""
        if taken.size_bytes < 0:
            raise FrameError(f"{taken.size_bytes} bytes read")
        outgoing = self._outgoing.get((way, taken.number))
        if outgoing is None:
            return  # all is sent
        if taken.is_gone:
            outgoing.leave()
            return
        outgoing.room_bytes = min(WINDOW_BYTES, outgoing.room_bytes + taken.size_bytes)
        outgoing.changed.set()

    def left(self, way: Way) -> None:
        """A way has ended: nobody reads there any more."""
        for (whose, _), outgoing in list(self._outgoing.items()):
            if whose is way:
                outgoing.leave()

    def close(self) -> None:
        """Take nothing more: tasks that wait end now, others after what they are at."""
        self._idle_max = 0
        while self._idle:
            self._idle.pop().cancel()

    async def _serve(self, call: UrlCall, way: Way) -> None:
        """Answer one call after another: to make a task costs more than to wake one."""
        loop = asyncio.get_running_loop()
        while True:
            await self._run(call, way)
            if len(self._idle) >= self._idle_max:
                return
            asked: asyncio.Future[tuple[UrlCall, Way]] = loop.create_future()
            self._idle.append(asked)
            del call, way  # a body may be large
            call, way = await asked

    async def _run(self, call: UrlCall, way: Way) -> None:
        number = call.number
        answer, rest = await self._answer(call)
        if rest is not None:
            outgoing = self._outgoing[way, number] = _Outgoing(rest)
            if way.has_ended:
                outgoing.leave()
        if len(answer.body) <= SMALL_BYTES:
            way.send(answer)
        else:
            await self._send_in_turn(answer, way)
        if rest is not None:
            await self._send_rest(number, outgoing, way)

    async def _answer(self, call: UrlCall) -> tuple[UrlAnswer, Rest | None]:
        try:
            return await self._answering(call)
        except Exception:
            log.exception("url_failed", url_id=call.url_id)
            headers = [("content-type", "text/plain")]
            return UrlAnswer(call.number, 502, headers, b"Internal Server Error"), None

    async def _send_rest(self, number: int, outgoing: _Outgoing, way: Way) -> None:
        is_whole = False
        try:
            async for piece in outgoing.rest.pieces():
                await self._send_piece(number, piece, outgoing, way)
            is_whole = await outgoing.rest.is_whole()
        except Exception:
            log.exception("url_failed")
        finally:
            outgoing.rest.close()
            del self._outgoing[way, number]
        way.send(UrlPart(number, b"", is_last=True, is_broken=not is_whole))

    async def _send_piece(self, number: int, piece: bytes, outgoing: _Outgoing, way: Way) -> None:
        start = 0
        while start < len(piece):
            size = min(PART_BYTES_MAX, await outgoing.room(), len(piece) - start)
            if not size:
                return
            outgoing.room_bytes -= size
            part = piece[start : start + size]
            await self._send_in_turn(UrlPart(number, part), way)
            start += size

    async def _send_in_turn(self, message: Any, way: Way) -> None:
        async with self._turn:
            await way.room()
            way.send(message)
