"""The API listener: aiohttp around the dispatcher, with limits and deadlines of our own."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import structlog
from aiohttp import web

from router.auth.peer import Connected
from router.control.auth import Authenticator, PrincipalOf, keyring
from router.control.dispatch import Call, Dispatcher, failure
from router.control.errors import ApiError, TooLarge, denied
from router.control.model import ServiceModel
from router.control.protocol.wire import Reply, Request
from router.control.service import ModelledService, PlainHandler, PlainService
from router.dispatch.request_ids import RequestIds
from router.model.limits import EVENT_BYTES_MAX, INVOKE_ASYNC_BYTES_MAX, MIB
from router.telemetry import metrics

log = structlog.get_logger()

UPLOAD_BYTES_MAX: Final = 70_167_211
"""Largest body of CreateFunction and UpdateFunctionCode (Lambda quota)."""

UPLOADS_MAX: Final = 2
"""Uploads held at a time; more wait."""

BODY_BYTES_MAX: Final = 8 * MIB
"""Largest body of other operations: a 1 MiB batch of messages, escaped."""

BODY_DEADLINE_S: Final = 60.0
"""From the head of a request to its complete body."""

HEAD_BYTES_MAX: Final = 16 * 1024
"""Longest request line and longest header field."""

CONNECTIONS_MAX: Final = 1_024
"""Open connections of one listener; one more is answered 503 and closed."""

FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

IDLE_S_MAX: Final = 30.0
"""From a connection's start, or its last answer, to the complete head of its next request."""

LINGER_S: Final = 5.0
"""How long the rest of a refused body is read and dropped, so that the refusal is read too."""

DRAIN_S: Final = 5.0
"""How long running calls may finish at close."""

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

_LASTING: Final = contextlib.nullcontext()

NAMES_IN_LIMIT_TEXTS: Final = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
}

_HOST: Final = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}", re.ASCII)

Page = Callable[[Request], Awaitable[Reply]]


class Peers(Protocol):
    """Tells by the connection: `auth.peer.FunctionPeers`."""

    def must_refuse(self, connection: Connected) -> bool:
        """Whether the peer may not call this listener."""


class ControlServer:
    """Serves services on one listener. Any number of listeners may share the same services.

    `principal_of` decides who holds a key; without it and without `access_keys` everybody may
    call everything, which the caller must allow on loopback only.
    """

    def __init__(
        self,
        *,
        region: str,
        account: str,
        access_keys: Mapping[str, str] | None = None,
        principal_of: PrincipalOf | None = None,
        token: str = "",
        peers: Peers | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """`peers`: whom to refuse whatever they show."""
        holder = principal_of or (keyring(access_keys) if access_keys else None)
        self._peers = peers
        self._connections_max = connections_max
        self._refused: WeakKeyDictionary[asyncio.BaseTransport, bool] = WeakKeyDictionary()
        self._dispatcher = Dispatcher(Authenticator(holder, token=token), region, account)
        self._pages: dict[str, Page] = {}
        self._ids = RequestIds()
        self._uploads = asyncio.Semaphore(UPLOADS_MAX)
        self._running: set[asyncio.Task[Any]] = set()
        self._server: _Bounded
        self._runner: web.ServerRunner | None = None
        self.host = ""
        self.port = 0

    def serve(self, name: str, model: ServiceModel, *parts: object) -> None:
        """Serve an AWS service; `name` is the one its clients sign with.

        An operation is a method of the last part that has it.
        """
        self._dispatcher.add(ModelledService(name, model, parts))

    def register(self, name: str, operations: Mapping[str, PlainHandler]) -> None:
        """Serve a private service: `X-Amz-Target: <Name>.<Operation>`, JSON object in and out."""
        self._dispatcher.add(PlainService(name, operations))

    def mount(self, prefix: str, page: Page) -> None:
        """Answer GET requests whose path begins with `prefix`; the page checks who asks."""
        self._pages[prefix] = page

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 is a free one, then in `port`. Raises `OSError` when it is taken."""
        quiet = logging.getLogger("router.control.http")
        quiet.setLevel(logging.CRITICAL)  # aiohttp would log the bytes of broken requests
        server = _Bounded(
            self._handle,
            self._connections_max,
            access_log=None,
            logger=quiet,
            keepalive_timeout=IDLE_S_MAX,
            lingering_time=LINGER_S,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )
        self._server = server
        runner = web.ServerRunner(server, shutdown_timeout=DRAIN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.host, self.port = runner.addresses[0][:2]

    async def close(self) -> None:
        """Stop listening; running calls have `DRAIN_S` to finish."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=DRAIN_S)
            for task in late:
                task.cancel()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        path, _, raw_query = http.raw_path.partition("?")
        pairs = parse_qsl(raw_query, keep_blank_values=True) if raw_query else []
        head = Request(http.method, path or "/", pairs, http.headers, b"")
        if self._must_refuse(http):
            return _refuse_peer(self._dispatcher.locate(head, raw_query), self._ids.next())
        if http.method == "GET":
            for prefix, page in self._pages.items():
                if path.startswith(prefix):
                    return _response(await page(head))
        request_id = self._ids.next()
        call = self._dispatcher.locate(head, raw_query)
        if LIMITS.get(call.action) == UPLOAD_BYTES_MAX:
            async with self._uploads:
                reply = await self._answer(call, head, raw_query, http, request_id)
        else:
            reply = await self._answer(call, head, raw_query, http, request_id)
        if reply.pieces is None:
            return _response(reply)
        with self._server.ended_with(http):
            return await _send_pieces(http, reply, reply.pieces)

    async def _answer(
        self, call: Call, head: Request, raw_query: str, http: web.BaseRequest, request_id: str
    ) -> Reply:
        try:
            body = await _read_body(http, call)
        except ApiError as problem:
            reply = failure(call, problem, request_id)
            reply.headers.update({"x-amzn-RequestId": request_id, "Connection": "close"})
            return reply
        request = Request(head.method, head.path, head.query, head.headers, body)
        call = self._dispatcher.complete(call, request)
        answer = self._dispatcher.answer(call, request, raw_query, self._base_url(http), request_id)
        with self._server.ended_with(http) if call.action in ENDED_WITH_CALLER else _LASTING:
            return await self._tracked(answer)

    async def _tracked(self, answer: Awaitable[Reply]) -> Reply:
        """Go on without the caller too; `close` waits for it."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered in a task")
        self._running.add(task)
        try:
            return await answer
        finally:
            self._running.discard(task)

    def _must_refuse(self, http: web.BaseRequest) -> bool:
        """Whether the peer may not call at all; the kernel is asked once a connection."""
        transport = http.transport
        if self._peers is None or transport is None:
            return False
        is_refused = self._refused.get(transport)
        if is_refused is None:
            connection = transport.get_extra_info("socket")
            is_refused = self._refused[transport] = self._peers.must_refuse(connection)
        return is_refused

    def _base_url(self, http: web.BaseRequest) -> str:
        host = http.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            host = f"{self.host}:{self.port}"
        return f"http://{host}"


class _Bounded(web.Server):
    """Takes so many connections at a time, whatever they do or leave undone.

    A request is answered to its end, also when its caller has hung up; `ended_with` says where not.
    """

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connections_max: int,
        **limits: Any,
    ) -> None:
        super().__init__(handle, **limits)
        self._connections_max = connections_max
        self._ended_with: dict[web.RequestHandler, asyncio.Task[Any]] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Called for each; who is one too many hears so at once."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._connections_max:
            metrics.API_CONNECTIONS_REFUSED.inc()
            transport.write(FULL)
            transport.close()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Called for each; ends what was to end with it."""
        super().connection_lost(handler, exc)
        task = self._ended_with.pop(handler, None)
        if task is not None:
            task.cancel()

    @contextlib.contextmanager
    def ended_with(self, http: web.BaseRequest) -> Iterator[None]:
        """Cancel the block when the caller hangs up, or now when that has happened."""
        task = asyncio.current_task()
        if task is None or http.transport is None:
            raise asyncio.CancelledError
        self._ended_with[http.protocol] = task
        try:
            yield
        finally:
            self._ended_with.pop(http.protocol, None)


async def _read_body(http: web.BaseRequest, call: Call) -> bytes:
    """The body, counted while it comes. Raises `ApiError` when it is too long or too slow."""
    limit = LIMITS.get(call.action, BODY_BYTES_MAX)
    name = NAMES_IN_LIMIT_TEXTS.get(call.operation, call.operation)
    if (http.content_length or 0) > limit:
        raise TooLarge(limit, name)
    if http.headers.get("Expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        http.writer.output_size = 0
    if http.content.is_eof():  # it came with its head: nothing to wait for
        body = http.content.read_nowait()
        if len(body) > limit:
            raise TooLarge(limit, name)
        return body
    chunks, size_bytes = [], 0
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            async for chunk in http.content.iter_any():
                size_bytes += len(chunk)
                if size_bytes > limit:
                    raise TooLarge(limit, name)
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError(
            "RequestTimeoutException",
            f"The body did not arrive within {BODY_DEADLINE_S:.0f} seconds.",
            status=408,
        ) from None
    return b"".join(chunks)


def _refuse_peer(call: Call, request_id: str) -> web.Response:
    """403 before a byte of the body is read."""
    problem = denied("Functions may not call this listener: theirs is in AWS_ENDPOINT_URL.")
    reply = failure(call, problem, request_id)
    reply.headers["Connection"] = "close"
    return _response(reply)


async def _send_pieces(
    http: web.BaseRequest, reply: Reply, pieces: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """Send a body as it is made. A caller who hangs up ends it."""
    response = web.StreamResponse(status=reply.status, headers=_headers(reply))
    async with contextlib.aclosing(pieces):
        await response.prepare(http)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    return response


def _headers(reply: Reply) -> dict[str, str]:
    return {**reply.headers, "Server": "event-router"}


def _response(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body, headers=_headers(reply))
    if reply.headers.get("Connection") == "close":
        response.force_close()
    return response
