"""What goes in and out of the HTTP server: small values, and the limits it keeps.

A handler is plain functions from a request to a response, so that the server under it can change.
"""

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec
import orjson

from router.model.limits import KIB, MIB
from router.outcomes.http_reply import BODILESS

Pairs = tuple[tuple[str, str], ...]


class Head(msgspec.Struct, frozen=True):
    """A request before its body."""

    method: str
    path: str
    """As sent: percent signs are not decoded."""
    query: str
    """What follows the question mark, as sent."""
    headers: dict[str, str]
    """Names are lower-case; the values of a repeated one are joined by commas."""
    repeated: dict[str, list[str]] | None
    """Headers that came more than once, with each value; None when there are none."""
    content_length: int | None
    """None: no body, or a chunked one."""
    peer: str
    """Address of the other end."""
    is_barred: bool = False
    """The server's `is_barred` said so of the other end: nothing may be done for it."""


class Request(msgspec.Struct, frozen=True):
    """A complete request."""

    head: Head
    body: bytes
    note: Any = None
    """That of the `BodyPolicy`."""


class Response(msgspec.Struct, frozen=True):
    """An answer. Length, date and connection headers are the server's to add."""

    status: int
    body: bytes = b""
    headers: Pairs = ()
    is_own: bool = False
    """Nobody else will get these headers: they are not worth remembering."""


class BodyPolicy(msgspec.Struct, frozen=True):
    """Go on and read the body."""

    body_bytes_max: int
    refused: Callable[[str], None]
    """Told the reason when the body is not read to its end after all."""
    too_large: "Callable[[], Refusal] | None" = None
    """Makes what is said to a body that is larger, if not the usual."""
    note: Any = None
    """For the handler: what it knows from the head, and gets back with the request."""


class Outlet(Protocol):
    """Where a body goes that is made while it is sent."""

    def write(self, data: bytes) -> bool:
        """Send a piece; whether there is room for more. When there is again, `go_on` is called."""

    def end(self, *, is_broken: bool) -> None:
        """Nothing more comes; broken: and something is missing, which the client is to see."""


class BodySource(Protocol):
    """Who makes a body while it is sent."""

    def open(self, outlet: Outlet) -> None:
        """The head is sent: pieces go here, now and from now on. Called once, unless `leave` is."""

    def go_on(self) -> None:
        """There is room again."""

    def leave(self) -> None:
        """Nobody takes any more of it."""


class Streamed(msgspec.Struct, frozen=True):
    """An answer of which the head is known, and the body comes while it is made."""

    head: Response
    """Its body is how the whole one begins."""
    source: BodySource
    wait_s: float
    """How long the rest may take while the client reads."""


class Pending(Protocol):
    """An answer to come."""

    @property
    def wait_s(self) -> float:
        """How long the answer may take; 0 is what the server's limits say."""

    @property
    def ends_with_client(self) -> bool:
        """Whether it is cancelled when the client hangs up: nobody else may be answered."""

    def cancel(self) -> None:
        """It has taken too long."""

    def watch(self, done: Callable[[Any], None]) -> None:
        """Call this, with whatever, when there is an answer or none is to come. Called once."""

    def response(self) -> "Response | Streamed | Pending":
        """The answer, or what to wait for next; called once, when `watch` says so.

        Raises what there is no answer to: `CancelledError` of one that was cancelled.
        """


class Handler(Protocol):
    """What answers requests."""

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """Answer at once, or say how large a body may be."""

    def on_request(self, request: Request) -> Response | Pending:
        """Answer a complete request. Requests of one connection come one at a time, in order.

        No coroutine: a task for each request costs more than most of what is done in it.
        """


class HttpLimits(msgspec.Struct, frozen=True):
    """Bounds of one server. Deadlines are absolute: bytes that trickle in do not extend them."""

    connections_max: int = 4_096
    connections_per_address_max: int = 1_024
    head_bytes_max: int = 16 * KIB
    """Request line and headers; also whatever frames a chunked body between two chunks."""
    url_bytes_max: int = 8 * KIB
    headers_max: int = 128
    buffered_bytes_max: int = 128 * MIB
    """Bytes of requests not answered yet, all connections together."""
    large_bytes: int = 0
    """A body that may be longer than this needs one of `large_max` places: it is not read before
    there is one. 0: none does."""
    large_max: int = 0
    pipelined_max: int = 64
    """Requests read ahead on one connection; after that many it is closed."""
    header_s: float = 10.0
    """From the first byte of a request, or from the connection, to its complete head."""
    body_s: float = 60.0
    """From the complete head to the complete body."""
    idle_s: float = 75.0
    """Between requests."""
    handler_s: float = 60.0
    """From the complete request to its answer; then 503."""
    headway_s: float = 1.0
    """Near a bound, whoever has not gone on for this long gives way to others."""
    linger_s: float = 2.0
    """How long a connection that is closed early may still deliver, so that it sees the answer."""
    sweep_s: float = 0.5
    """How often deadlines are looked at: one timer for all connections."""


JSON_HEADERS: Final[Pairs] = (("content-type", "application/json"),)
RETRY_HEADERS: Final[Pairs] = (*JSON_HEADERS, ("retry-after", "1"))


def retry_headers(wait_s: int) -> Pairs:
    """Ask again after so many seconds."""
    return (*JSON_HEADERS, ("retry-after", str(wait_s)))


def json_response(status: int, members: object, headers: Pairs = JSON_HEADERS) -> Response:
    """An answer in JSON."""
    return Response(status, orjson.dumps(members), headers)


def message_response(status: int, message: str, headers: Pairs = JSON_HEADERS) -> Response:
    """`{"message": …}`, the form of every refusal."""
    return json_response(status, {"message": message}, headers)


CHUNKED: Final = -1
TO_THE_END: Final = -2
"""Instead of a body's length: how a client knows where it ends."""


_STATUS_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}" for one in HTTPStatus}


def _framing(status: int, body_bytes: int) -> tuple[str, ...]:
    """The header that says where the body ends."""
    if status in BODILESS or body_bytes == TO_THE_END:
        return ()
    if body_bytes == CHUNKED:
        return ("transfer-encoding: chunked",)
    return (f"content-length: {body_bytes}",)


def _head_lines(status: int, headers: Pairs, body_bytes: int) -> bytes:
    """Status line and headers. Raises `ValueError` for a header that would end its line."""
    lines = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += _framing(status, body_bytes)
    ends = len(lines)
    lines.append("")
    text = "\r\n".join(lines)
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise ValueError("a response header holds a line break")
    return text.encode("latin-1")


_common_lines = lru_cache(maxsize=1024)(_head_lines)


def render(response: Response, trailer: bytes, *, has_body: bool) -> bytes:
    """A response as bytes. `trailer` is the server's own header lines."""
    body = response.body
    lines = _head_lines if response.is_own else _common_lines
    head = lines(response.status, response.headers, len(body))
    return b"".join((head, trailer, b"\r\n", body if has_body else b""))


def render_open(response: Response, trailer: bytes, framing: int) -> bytes:
    """The head of a response whose body follows. `framing` is `CHUNKED` or `TO_THE_END`."""
    return b"".join((_head_lines(response.status, response.headers, framing), trailer, b"\r\n"))


class Refusal(msgspec.Struct, frozen=True):
    """An answer the server gives by itself, and the reason it counts it under."""

    reason: str
    response: Response


def _refusal(reason: str, status: int, message: str, headers: Pairs = JSON_HEADERS) -> Refusal:
    return Refusal(reason, message_response(status, message, headers))


MALFORMED: Final = _refusal("malformed", 400, "The request is not well-formed HTTP.")
NO_HOST: Final = _refusal("malformed", 400, "The Host header is missing.")
REPEATED: Final = _refusal("malformed", 400, "A header that may come once is repeated.")
BAD_TARGET: Final = _refusal("malformed", 400, "The request target is not a path.")
UNKNOWN_CODING: Final = _refusal("malformed", 501, "Only chunked transfer coding is understood.")
UNKNOWN_VERSION: Final = _refusal("malformed", 505, "Only HTTP/1.1 and HTTP/1.0 are understood.")
UNKNOWN_EXPECTATION: Final = _refusal("malformed", 417, "Only 100-continue is understood.")
NO_TUNNEL: Final = _refusal("malformed", 405, "CONNECT is not supported.")
HEAD_TOO_LARGE: Final = _refusal("head_too_large", 431, "The headers are too large.")
URL_TOO_LONG: Final = _refusal("url_too_long", 414, "The request target is too long.")
BODY_TOO_LARGE: Final = _refusal("body_too_large", 413, "The body is too large.")
HEAD_LATE: Final = _refusal("head_late", 408, "The headers took too long.")
BODY_LATE: Final = _refusal("body_late", 408, "The body took too long.")
NO_ROOM: Final = _refusal("memory", 503, "Too much is waiting, try again later.", RETRY_HEADERS)
GAVE_WAY: Final = _refusal(
    "gave_way", 503, "The request came too slowly while others waited.", RETRY_HEADERS
)
TOO_MANY: Final = _refusal("connections", 503, "Too many connections.", RETRY_HEADERS)
TOO_MANY_OF_PEER: Final = _refusal(
    "connections_per_address", 503, "Too many connections from this address.", RETRY_HEADERS
)
HANDLER_LATE: Final = _refusal(
    "handler_late", 503, "The answer took too long, try again later.", RETRY_HEADERS
)
HANDLER_FAILED: Final = _refusal("internal_error", 500, "Internal server error.")
