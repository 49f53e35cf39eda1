"""The way of a request to a function's URL, from the listener to what answers it, and back.

A message there and one back, matched by number; between two processes each is a frame. A body that
is made while it is sent comes in parts, as far as the client has read the ones before:

    listener ═ UrlCall ═► router          listener ◄═ UrlAnswer, UrlPart … ═ router
                                          listener ═ UrlTaken … ═► router
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from router.http.values import Outlet
from router.ingress.frames import FrameError
from router.ingress.url_desk import WINDOW_BYTES, Answering, UrlDesk
from router.model.function_url import UrlAnswer, UrlCall, UrlPart, UrlTaken

log = structlog.get_logger(__name__)

TOLD_BYTES: Final = WINDOW_BYTES // 4
"""What a client has read is told when it is this much, or when nothing more can come before."""

OnAnswer = Callable[[UrlAnswer, "Inflow | None"], None]
"""Hears the answer, and of the rest of its body."""


class Inflow:
    """The rest of a body on its way to the client: a `BodySource` of the server."""

    def __init__(self, number: int, send: Callable[[Any], None]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the last part is here, wanted or not."""
        self._number = number
        self._send = send
        self._outlet: Outlet | None = None
        self._early: list[UrlPart] = []
        """What came before there was an outlet, no more than `WINDOW_BYTES`."""
        self._untold_bytes = 0
        self._is_left = False

    def open(self, outlet: Outlet) -> None:
        """See `BodySource.open`."""
        self._outlet = outlet
        early, self._early = self._early, []
        for part in early:
            self._pass_on(part, outlet)

    def go_on(self) -> None:
        """See `BodySource.go_on`."""
        self._tell()

    def leave(self) -> None:
        """See `BodySource.leave`."""
        self._is_left = True
        self._outlet = None
        self._early.clear()
        if not self.over.done():
            self._send(UrlTaken(self._number, 0, is_gone=True))

    def take(self, part: UrlPart) -> None:
        """The next part."""
        if part.is_last and not self.over.done():
            self.over.set_result(None)
        if self._is_left:
            return
        if self._outlet is None:
            self._early.append(part)
        else:
            self._pass_on(part, self._outlet)

    def _pass_on(self, part: UrlPart, outlet: Outlet) -> None:
        has_room = outlet.write(part.body)
        if part.is_last:
            self._outlet = None
            outlet.end(is_broken=part.is_broken)
            return
        self._untold_bytes += len(part.body)
        if has_room and self._untold_bytes >= TOLD_BYTES:
            self._tell()

    def _tell(self) -> None:
        size_bytes, self._untold_bytes = self._untold_bytes, 0
        if size_bytes and not self.over.done():
            self._send(UrlTaken(self._number, size_bytes))


class RemoteCaller:
    """In the ingress process: to the router."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._numbers = 0
        self._open: dict[int, OnAnswer] = {}
        self._inflows: dict[int, Inflow] = {}

    def call(self, call: UrlCall, on_answer: OnAnswer) -> None:
        """See `Caller.call`."""
        self._numbers = call.number = self._numbers + 1
        self._open[call.number] = on_answer
        self._send(call)

    def answered(self, answer: UrlAnswer) -> None:
        """The router's answer. Raises `FrameError` for one that fits no call."""
        on_answer = self._open.pop(answer.number, None)
        if on_answer is None:
            raise FrameError(f"no such call: {answer.number}")
        inflow = None
        if answer.is_open:
            inflow = self._inflows[answer.number] = Inflow(answer.number, self._send)
        try:
            on_answer(answer, inflow)
        except Exception:  # a bug in one answer is no matter of the others
            log.exception("url_answer_failed")

    def more(self, part: UrlPart) -> None:
        """The next part of an answer. Raises `FrameError` for one of none that is open."""
        inflow = self._inflows.get(part.number)
        if inflow is None:
            raise FrameError(f"no such answer: {part.number}")
        if part.is_last:
            del self._inflows[part.number]
        inflow.take(part)


class LocalCaller(RemoteCaller):
    """Where the listener is in the router: the same messages, handed over as they are."""

    has_ended = False

    def __init__(self, answering: Answering) -> None:
        super().__init__(self._hand_over)
        self._desk = UrlDesk(answering)

    def _hand_over(self, message: Any) -> None:
        if isinstance(message, UrlCall):
            self._desk.take(message, self)
        else:
            self._desk.taken(message, self)

    def send(self, message: Any) -> None:
        """See `Way.send`."""
        if isinstance(message, UrlAnswer):
            self.answered(message)
        else:
            self.more(message)

    async def room(self) -> None:
        """See `Way.room`: there always is."""
