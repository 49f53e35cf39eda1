"""Bytes of one connection in, requests and refusals out, in order. No I/O, no clock.

The grammar is httptools' (strict: no bare line feeds, no folded headers, no doubled or mixed
lengths); every bound is ours and is checked while bytes come in, not when a request is complete.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import httptools
import msgspec
import structlog

from router.http import values
from router.http.values import (
    BodyPolicy,
    Handler,
    Head,
    HttpLimits,
    Refusal,
    Request,
    Response,
)
from router.model.limits import KIB

log = structlog.get_logger(__name__)

SLICE_BYTES: Final = 16 * KIB
"""Bytes given to the parser at a time: it cannot be stopped inside, and holds back what it has
not finished, so this bounds what it may do and hold beyond our limits."""

REQUEST_OVERHEAD_BYTES: Final = 2 * KIB
"""What a request takes besides its bytes, roughly: counted, so that tiny ones are not free."""

DISCARDED_BYTES_MAX: Final = 64 * KIB
"""A refused request's body up to this size is read over, so that the connection lives on."""

_FRAMING_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "expect"})


class Memory:
    """A shared bound on bytes held: every reader of a server takes from it and gives back."""

    def __init__(self, bytes_max: int) -> None:
        self.held_bytes = 0
        self._bytes_max = bytes_max

    def has(self, size_bytes: int) -> bool:
        """Whether so many more bytes would fit."""
        return self.held_bytes + size_bytes <= self._bytes_max

    def take(self, size_bytes: int) -> None:
        """Hold more bytes."""
        self.held_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Hold fewer bytes."""
        self.held_bytes -= size_bytes


class Turn(msgspec.Struct, frozen=True):
    """What is to be answered next: a request, or a refusal that is its own answer."""

    request: Request | None
    response: Response | None
    is_persistent: bool
    """The client may send another request afterwards."""
    is_legacy: bool
    """HTTP/1.0: persistence must be confirmed."""
    has_body: bool
    """False for HEAD: the answer keeps its body to itself."""
    cost_bytes: int
    """To give back to `Memory` once answered."""
    is_large: bool = False
    """It has one of the places for large bodies."""


IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
"""Where the input stands: `RequestReader.phase`. Plain numbers, looked at often."""


class _Stop(Exception):
    """Ends parsing from inside a parser callback."""


_LOWER: Final[dict[bytes, str]] = {}
"""Header names seen before, in lower case. Senders use the same few again and again."""

NAMES_KEPT_MAX: Final = 1024
NAME_KEPT_BYTES_MAX: Final = 64

LENGTH_DIGITS_MAX: Final = 20
"""Most digits of a length: the parser bounds its value, but not the zeros before it."""


def _lower(name: bytes) -> str:
    lower = name.lower().decode("latin-1")
    if len(name) <= NAME_KEPT_BYTES_MAX:
        if len(_LOWER) >= NAMES_KEPT_MAX:
            _LOWER.clear()
        _LOWER[name] = lower
    return lower


class RequestReader:
    """Reads the requests of one connection.

    `turns` fills up in order. `is_over`: nothing more will be read; `is_cut`: and what the client
    still sends is to be thrown away. `stage` grows with each start of a head or a body.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        memory: Memory,
        peer: str,
        refused: Callable[[str], None],
        *,
        is_barred: bool = False,
    ) -> None:
        self.turns: deque[Turn] = deque()
        self.is_over = False
        self.is_cut = False
        self.phase = IDLE
        self.stage = 0
        self._handler = handler
        self._limits = limits
        self._memory = memory
        self._peer = peer
        self._is_barred = is_barred
        self._refused = refused
        self._parser: Any = httptools.HttpRequestParser(self)
        self._is_replaying = False
        self._is_upgrading = False
        self._reset()

    def _reset(self) -> None:
        self.phase = IDLE
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated: dict[str, list[str]] | None = None
        self._head: Head | None = None
        self._policy: BodyPolicy | None = None
        self._refusal: Response | None = None
        self._awaits_continue = False
        self.is_large = False
        """What is being read needs a place, see `HttpLimits.large_bytes`."""
        self._is_persistent = False
        self._is_legacy = False
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._held_bytes = 0
        self._head_bytes = 0
        self._loose_bytes = 0
        """Fed since the head began or the last body byte came, and not seen again yet."""

    # What the connection calls.

    def feed(self, data: bytes) -> bytes:
        """Read on. Returns what is left for later: turns go first."""
        if len(data) <= SLICE_BYTES:
            self._feed_slice(data)
            return b""
        view = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            if self.turns or self.is_over:
                return b"" if self.is_over else bytes(view[start:])
            self._feed_slice(bytes(view[start : start + SLICE_BYTES]))
        return b""

    def refuse(self, refusal: Refusal) -> None:
        """Answer with this, and read nothing more."""
        (self._policy.refused if self._policy else self._refused)(refusal.reason)
        self._end(refusal.response)

    def take_continue(self) -> bool:
        """Whether the client waits for `100 Continue`; true once."""
        awaits = self._awaits_continue and not self._body_bytes
        self._awaits_continue = False
        return awaits

    def close(self) -> None:
        """Forget everything; the connection is gone."""
        self.is_over = True
        for turn in self.turns:
            self._memory.give(turn.cost_bytes)
        self.turns.clear()
        self._memory.give(self._held_bytes)
        self._reset()
        self._parser = None

    # Slices.

    def _feed_slice(self, data: bytes) -> None:
        turns, body_bytes, stage = len(self.turns), self._body_bytes, self.stage
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
        if self.is_over:
            return
        if self._refusal is not None:
            # Refused, and more body is to come: say so now instead of waiting for it.
            self._end(self._refusal)
        elif self.phase != IDLE or data.isspace():
            # Empty lines before a request are allowed, but not for ever.
            is_seen = len(self.turns) > turns or self._body_bytes > body_bytes
            self._check_loose(0 if is_seen or self.stage > stage else len(data))

    def _check_loose(self, size_bytes: int) -> None:
        """Bound what the parser swallows without telling: long names, values, chunk extensions."""
        self._loose_bytes = self._loose_bytes + size_bytes if size_bytes else 0
        if self._loose_bytes > self._limits.head_bytes_max:
            self.refuse(self._too_large())

    def _too_large(self) -> Refusal:
        if self.phase == BODY:
            return values.MALFORMED
        return values.HEAD_TOO_LARGE if self._headers or not self._url else values.URL_TOO_LONG

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if self.is_over:
            return  # ended by us, or data after the last request
        if isinstance(error, httptools.HttpParserCallbackError):
            log.error("http_reader_failed", exc_info=error.__context__)
            self.refuse(values.HANDLER_FAILED)
            return
        self.refuse(values.MALFORMED)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 after a head that offered another protocol.

        The parser stops there and never reads the body, so a new one is told the body's framing
        and takes over.
        """
        self._is_upgrading = False
        self._parser = httptools.HttpRequestParser(self)
        framing = "".join(
            f"{name}: {self._headers[name]}\r\n"
            for name in ("content-length", "transfer-encoding")
            if name in self._headers
        )
        self._is_replaying = True
        self._feed_slice(f"POST / HTTP/1.1\r\nhost: -\r\n{framing}\r\n".encode("latin-1"))
        self._is_replaying = False
        if not self.is_over:
            self._feed_slice(rest)

    def _stop(self, refusal: Refusal) -> None:
        self.refuse(refusal)
        raise _Stop

    def _end(self, response: Response) -> None:
        self._turn(response, is_persistent=False)
        self.is_over = self.is_cut = True

    def _turn(self, response: Response | None, *, is_persistent: bool) -> None:
        head = self._head
        request = None
        if response is None and head is not None:
            note = None if self._policy is None else self._policy.note
            request = Request(head, bytes(self._body), note)
        self.turns.append(
            Turn(
                request,
                response,
                is_persistent,
                self._is_legacy,
                head is None or head.method != "HEAD",
                self._held_bytes,
                self.is_large,
            )
        )
        self._reset()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_replaying:
            return
        if self.is_over or len(self.turns) >= self._limits.pipelined_max:
            self.is_over = self.is_cut = True
            raise _Stop
        self.phase = HEAD
        self.stage += 1

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        if self._is_replaying:
            return
        self._url += url
        if len(self._url) > self._limits.url_bytes_max:
            self._stop(values.URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if self.phase != HEAD:
            return  # a trailer of a chunked body, or a replayed head
        lower, headers = _LOWER.get(name) or _lower(name), self._headers
        text = value.rstrip().decode("latin-1")  # the parser leaves the space after a value in it
        if lower in headers:
            self._repeat(lower, text)
        elif len(headers) >= self._limits.headers_max:
            self._stop(values.HEAD_TOO_LARGE)
        else:
            headers[lower] = text

    def _repeat(self, name: str, value: str) -> None:
        if name in _FRAMING_HEADERS:
            self._stop(values.REPEATED)
        if self._repeated is None:
            self._repeated = {}
        self._repeated.setdefault(name, [self._headers[name]]).append(value)
        if len(self._repeated[name]) > self._limits.headers_max:
            self._stop(values.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is complete: ask the handler."""
        if self._is_replaying:
            return
        self.phase = BODY
        self.stage += 1
        parser, headers = self._parser, self._headers
        if self._repeated:
            headers.update({name: ",".join(texts) for name, texts in self._repeated.items()})
        self._is_persistent = parser.should_keep_alive()
        self._is_upgrading = parser.should_upgrade()
        self._check_head(headers)
        method = parser.get_method().decode()
        if method == "CONNECT":
            self._stop(values.NO_TUNNEL)
        path, _, query = self._target().partition("?")
        length = headers.get("content-length")
        if length is not None and len(length) > LENGTH_DIGITS_MAX:
            self._stop(values.MALFORMED)
        head = self._head = Head(
            method,
            path,
            query,
            headers,
            self._repeated,
            None if length is None else int(length),
            self._peer,
            self._is_barred,
        )
        answer = self._handler.on_head(head)
        if isinstance(answer, Response):
            self._refusal = answer
        else:
            self._policy = answer
            self._admit(answer, head)

    def _check_head(self, headers: dict[str, str]) -> None:
        limits = self._limits
        self._head_bytes = sum(map(len, headers)) + sum(map(len, headers.values()))
        if self._head_bytes > limits.head_bytes_max or len(headers) > limits.headers_max:
            self._stop(values.HEAD_TOO_LARGE)
        # Without a Connection header only HTTP/1.1 is persistent; asking costs more than knowing.
        if not self._is_persistent or "connection" in headers:
            self._check_version(headers)
        if "host" not in headers and not self._is_legacy:
            self._stop(values.NO_HOST)
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            self._stop(values.UNKNOWN_CODING)

    def _check_version(self, headers: dict[str, str]) -> None:
        version = self._parser.get_http_version()
        if version == "1.0":
            self._is_legacy = True
            if "transfer-encoding" in headers:
                self._stop(values.MALFORMED)
        elif version != "1.1":
            self._stop(values.UNKNOWN_VERSION)

    def _admit(self, policy: BodyPolicy, head: Head) -> None:
        expectation = self._headers.get("expect")
        if expectation is not None and not self._is_legacy:
            if expectation.lower() != "100-continue":
                self._stop(values.UNKNOWN_EXPECTATION)
            self._awaits_continue = True
        length = head.content_length or 0
        if length > policy.body_bytes_max:
            self._stop(policy.too_large() if policy.too_large else values.BODY_TOO_LARGE)
        is_chunked = head.content_length is None and "transfer-encoding" in self._headers
        size_bytes = policy.body_bytes_max if is_chunked else length
        self.is_large = 0 < self._limits.large_bytes < size_bytes
        cost = REQUEST_OVERHEAD_BYTES + self._head_bytes
        if not self._memory.has(cost + length):
            self._stop(values.NO_ROOM)
        self._hold(cost)

    def _target(self) -> str:
        """Path and query; the absolute form of a proxy's request loses scheme and host."""
        target = self._url.decode("latin-1")
        if target.startswith("/"):
            return target
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in {"http", "https"}:
            self._stop(values.BAD_TARGET)
        # A query may hold slashes too, and none of them begins the path.
        rest, mark, query = rest.partition("?")
        _, _, path = rest.partition("/")
        return f"/{path}{mark}{query}"

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(chunk)
        policy = self._policy
        if self._refusal is not None or policy is None:
            if self._body_bytes > DISCARDED_BYTES_MAX and self._refusal is not None:
                self._end(self._refusal)
                raise _Stop
            return
        if self._body_bytes > policy.body_bytes_max:
            self._stop(policy.too_large() if policy.too_large else values.BODY_TOO_LARGE)
        if not self._memory.has(len(chunk)):
            self._stop(values.NO_ROOM)
        self._hold(len(chunk))
        body = self._body
        if not body:
            self._body = chunk
            return
        if isinstance(body, bytes):
            # Pieces by themselves would take thirty times their size, if they are small.
            body = self._body = bytearray(body)
        body += chunk

    def on_message_complete(self) -> None:
        """The request is complete: its turn comes."""
        if self._is_upgrading:
            return
        is_persistent = self._is_persistent
        self._turn(self._refusal, is_persistent=is_persistent)
        if not is_persistent:
            self.is_over = True

    def _hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self._memory.take(size_bytes)
