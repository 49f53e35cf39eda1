"""Requests of the API listener: what a head may ask for, and answers for the HTTP server."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog

from router.control.dispatch import Call, Dispatcher, failure
from router.control.errors import ApiError, TooLarge, denied
from router.control.protocol.wire import Reply, Request
from router.dispatch.request_ids import RequestIds
from router.http import values
from router.http.values import BodyPolicy, Head, Outlet, Pairs, Refusal, Response, Streamed
from router.model.limits import EVENT_BYTES_MAX, INVOKE_ASYNC_BYTES_MAX, MIB
from router.telemetry import metrics

log = structlog.get_logger(__name__)

UPLOAD_BYTES_MAX: Final = 70_167_211
"""Largest body of CreateFunction and UpdateFunctionCode (Lambda quota)."""

BODY_BYTES_MAX: Final = 8 * MIB
"""Largest body of other operations: a 1 MiB batch of messages, escaped."""

LIMITS: Final = {
    "lambda:CreateFunction": UPLOAD_BYTES_MAX,
    "lambda:PublishLayerVersion": UPLOAD_BYTES_MAX,
    "lambda:UpdateFunctionCode": UPLOAD_BYTES_MAX,
    "lambda:Invoke": EVENT_BYTES_MAX,
    "lambda:InvokeWithResponseStream": EVENT_BYTES_MAX,
    "lambda:InvokeAsync": INVOKE_ASYNC_BYTES_MAX,
}
"""Body limits that differ from `BODY_BYTES_MAX`."""

ENDED_WITH_CALLER: Final = frozenset({"sqs:ReceiveMessage"})
"""A caller who hangs up must not be handed messages. All else is done to its end."""

NAMES_IN_LIMIT_TEXTS: Final = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
}

SERVER: Final = ("Server", "event-router")

OWN_SERVICE: Final = "router"
"""What the router's own commands speak to."""

STOPPING: Final = "The router is stopping, try again."

NO_TIME_LIMIT_S: Final = float("inf")
"""An invocation takes as long as its function may: whoever answers keeps the deadlines."""

_HOST: Final = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}", re.ASCII)

Page = Callable[[Request], Coroutine[Any, Any, Reply]]


class _Asked(msgspec.Struct, frozen=True):
    """What is known of a request before its body has come."""

    request: Request
    call: Call | None
    page: Page | None


class ApiHandler:
    """Answers requests through a dispatcher: the HTTP server's `Handler`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.pages: dict[str, Page] = {}
        """GET requests whose path begins so are a page's; it checks who asks."""
        self.address = ""
        """Ours, for callers who name no host."""
        self.is_draining = False
        """Nothing new is begun, except for who asks how this router is."""
        self._dispatcher = dispatcher
        self._ids = RequestIds()
        self._running: set[_Answering] = set()

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """See `Handler.on_head`."""
        pairs = parse_qsl(head.query, keep_blank_values=True) if head.query else []
        request = Request(head.method, head.path, pairs, head.headers, b"")
        if head.method == "GET" and not head.is_barred:
            for prefix, page in self.pages.items():
                if head.path.startswith(prefix):
                    return BodyPolicy(
                        BODY_BYTES_MAX, count_refused, note=_Asked(request, None, page)
                    )
        call = self._dispatcher.locate(request, head.query)
        if head.is_barred:
            problem = denied("Functions may not call this listener: theirs is in AWS_ENDPOINT_URL.")
            return _response(failure(call, problem, self._ids.next()))
        if self.is_draining and call.service_name != OWN_SERVICE:
            reply = failure(
                call, ApiError("ServiceUnavailable", STOPPING, status=503), self._ids.next()
            )
            reply.headers.update({"Retry-After": "1", "Connection": "close"})
            return _response(reply)
        limit = LIMITS.get(call.action, BODY_BYTES_MAX)
        too_large = partial(self._too_large, call, limit)
        return BodyPolicy(limit, count_refused, too_large, _Asked(request, call, None))

    def on_request(self, request: values.Request) -> "_Answering":
        """See `Handler.on_request`."""
        head, asked = request.head, request.note
        if asked.page is not None:
            return self._answering(asked.page(asked.request))
        whole = Request(head.method, head.path, asked.request.query, head.headers, request.body)
        call = self._dispatcher.complete(asked.call, whole)
        answer = self._dispatcher.answer(
            call, whole, head.query, self._base_url(head), self._ids.next()
        )
        return self._answering(answer, ends_with_client=call.action in ENDED_WITH_CALLER)

    def _answering(
        self, answer: Coroutine[Any, Any, Reply], *, ends_with_client: bool = False
    ) -> "_Answering":
        return _Answering(answer, self._running, ends_with_client=ends_with_client)

    async def finish(self, wait_s: float) -> None:
        """Let what runs end, also where its caller has gone; cancel it after that time."""
        if self._running:
            tasks = [answering.task for answering in self._running]
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()

    def _too_large(self, call: Call, limit: int) -> Refusal:
        name = NAMES_IN_LIMIT_TEXTS.get(call.operation, call.operation)
        request_id = self._ids.next()
        reply = failure(call, TooLarge(limit, name), request_id)
        reply.headers["x-amzn-RequestId"] = request_id
        return Refusal("body_too_large", _response(reply))

    def _base_url(self, head: Head) -> str:
        host = head.headers.get("host", "")
        return f"http://{host if _HOST.fullmatch(host) else self.address}"


class _Answering:
    """A call that runs: the server's `Pending`."""

    wait_s = NO_TIME_LIMIT_S
    __slots__ = (
        "_done",
        "_failure",
        "_has_begun",
        "_is_cancelled",
        "_reply",
        "_running",
        "ends_with_client",
        "task",
    )

    def __init__(
        self,
        answer: Coroutine[Any, Any, Reply],
        running: "set[_Answering]",
        *,
        ends_with_client: bool,
    ) -> None:
        self.ends_with_client = ends_with_client
        self._running = running
        self._reply: Reply | None = None
        self._failure: BaseException | None = None
        self._done: Callable[[Any], None] | None = None
        self._has_begun = self._is_cancelled = False
        self.task = asyncio.get_running_loop().create_task(self._run(answer))
        running.add(self)

    async def _run(self, answer: Coroutine[Any, Any, Reply]) -> None:
        """Tells by itself that it is done: a future's callbacks come a turn of the loop later."""
        self._has_begun = True
        try:
            if self._is_cancelled:
                answer.close()
            else:
                self._reply = await answer
        except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - see `response`
            self._failure = failure
        self._running.discard(self)
        if self._done is not None:
            self._done(self)

    def cancel(self) -> None:
        """See `Pending.cancel`."""
        if self._has_begun:
            self.task.cancel()
        else:  # a task that is cancelled before it begins would tell nobody
            self._is_cancelled = True

    def watch(self, done: Callable[[Any], None]) -> None:
        """See `Pending.watch`."""
        self._done = done

    def response(self) -> Response | Streamed:
        """See `Pending.response`."""
        if self._reply is None:
            raise self._failure or asyncio.CancelledError
        reply = self._reply
        if reply.pieces is None:
            return _response(reply)
        return Streamed(_response(reply), PieceSource(reply.pieces), NO_TIME_LIMIT_S)


class PieceSource:
    """A body that a generator makes while it is sent: a `BodySource`."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self._has_room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, outlet: Outlet) -> None:
        """See `BodySource.open`."""
        self._task = asyncio.get_running_loop().create_task(self._send(outlet))

    def go_on(self) -> None:
        """See `BodySource.go_on`."""
        self._has_room.set()

    def leave(self) -> None:
        """See `BodySource.leave`. The generator ends where it is."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._pieces.aclose())
        else:
            self._task.cancel()

    async def _send(self, outlet: Outlet) -> None:
        is_broken = True
        try:
            async with contextlib.aclosing(self._pieces):
                async for piece in self._pieces:
                    self._has_room.clear()
                    if not outlet.write(piece):
                        await self._has_room.wait()
            is_broken = False
        except Exception:
            log.exception("api_answer_broken")
        outlet.end(is_broken=is_broken)


def _response(reply: Reply) -> Response:
    headers: Pairs = (*_on_the_wire(reply.headers), SERVER)
    return Response(reply.status, reply.body, headers, is_own=True)


def _on_the_wire(headers: dict[str, str]) -> Pairs:
    """Values whose characters are their bytes in UTF-8, as headers are sent."""
    return tuple(
        (name, value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1"))
        for name, value in headers.items()
    )


def count_refused(reason: str) -> None:
    """Told of connections that are turned away, and of heads and bodies that do not come whole."""
    metrics.API_REFUSED.labels(reason).inc()
