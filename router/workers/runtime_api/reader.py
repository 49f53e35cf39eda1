"""Bytes of one connection in, requests out, in order. No I/O, no clock.

The grammar is httptools'; the bounds are ours and looked at while bytes come in. Bodies that are
not wanted are read over, so that a client which sends all before it reads sees its answer.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import httptools

from router.model.limits import KIB, MIB
from router.workers.runtime_api.answers import RESPONSE_BYTES_MAX, STREAM_BYTES_MAX
from router.workers.runtime_api.familiar import Familiar
from router.workers.runtime_api.requests import Head, Request

SLICE_BYTES: Final = 16 * KIB
"""Given to the parser at a time: it holds back what is unfinished, so this is what it may hold
beyond our limits."""

HEAD_BYTES_MAX: Final = 1 * MIB + 64 * KIB
"""A head, most of it the cause for X-Ray, which may take 1 MiB."""

FIELDS_MAX: Final = 100
"""Headers and trailers of one request."""

SMALL_BYTES_MAX: Final = 64 * KIB
"""A body that is no answer to an invocation and no error."""

THROWN_BYTES_MAX: Final = 256 * MIB
"""Of a body that is not wanted; beyond it the connection is closed."""


MESSAGE_COST: Final = 10
CHUNK_COST: Final = 1
SLICE_COST: Final = 4

KEPT: Final = {
    name.encode(): name
    for name in (
        *("content-length", "transfer-encoding", "expect", "content-type"),
        *("lambda-runtime-function-error-type", "lambda-runtime-function-error-body"),
        "lambda-runtime-function-response-mode",
        *("lambda-extension-name", "lambda-extension-identifier"),
        *("lambda-extension-accept-feature", "lambda-extension-function-error-type"),
    )
}
"""Headers and trailers that mean something here; others are counted and passed over."""


class Malformed(Exception):
    """Not HTTP, or more of it than is allowed. The connection cannot be used any further."""

    def __init__(self, *, is_too_large: bool = False) -> None:
        super().__init__()
        self.is_too_large = is_too_large


class Wish(Enum):
    """What becomes of a body, and how large it may be."""

    THROW = 0
    """Read over."""
    KEEP_SMALL = SMALL_BYTES_MAX
    """Kept too, of calls that have little to say."""
    KEEP = RESPONSE_BYTES_MAX
    """Kept for the complete request."""
    PASS_ON = STREAM_BYTES_MAX
    """Passed on while it comes."""


class RequestReader:
    """Reads one request after another and calls `begun` and `complete` for each.

    `begun` says what becomes of the body; `piece` is called with what is to be passed on.
    """

    def __init__(
        self,
        begun: Callable[[Head], "Wish"],
        complete: Callable[[Request], None],
        piece: Callable[[bytes], None],
    ) -> None:
        self._begun = begun
        self._complete = complete
        self._piece = piece
        self._parser: Any = httptools.HttpRequestParser(self)
        self._is_upgrading = False
        self._is_replaying = False
        self._familiar = Familiar()
        self._completed = 0
        self._last: Request | None = None
        self.cost = 0
        """Of all that was read, roughly in µs: what floods of tiny things are held back by."""
        self._body = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._url = bytearray()
        self._headers: dict[str, str] = {}
        self._trailers: dict[str, str] = {}
        self._head: Head | None = None
        self._is_begun = False
        self._wish = Wish.THROW
        self._awaits_continue = False
        self._body_bytes = 0
        self._fields = 0
        self._field_bytes = 0
        self._loose_bytes = 0
        """Fed since the request began or the last piece of body came."""

    @property
    def is_inside(self) -> bool:
        """Whether a request has begun that is not complete."""
        return self._is_begun

    @property
    def head(self) -> Head | None:
        """The head of a request whose body is still to come."""
        return self._head

    def take_continue(self) -> bool:
        """Whether the client waits to be told to go on; true once."""
        awaits, self._awaits_continue = self._awaits_continue and not self._body_bytes, False
        return awaits

    def feed(self, data: bytes, cost_max: int) -> bytes:
        """Read on until so much was spent; what is left for later.

        Raises `Malformed`, and what `begun` and `complete` raise.
        """
        enough = self.cost + cost_max
        is_between = not self._is_begun
        if is_between and cost_max > 0 and (known := self._familiar.recognise(data)) is not None:
            self._take(known)
            return b""
        completed = self._completed
        for start in range(0, len(data), SLICE_BYTES):
            if self.cost >= enough:
                return data[start:]
            piece = data[start : start + SLICE_BYTES] if len(data) > SLICE_BYTES else data
            self._loose_bytes += len(piece)
            self.cost += SLICE_COST
            self._parse(piece)
            if self._loose_bytes > HEAD_BYTES_MAX + SLICE_BYTES:
                raise Malformed(is_too_large=True)
        last, self._last = self._last, None
        is_alone = is_between and self._completed == completed + 1 and not self._is_begun
        if is_alone and last is not None:
            self._familiar.learn(data, last)
        return b""

    def _take(self, request: Request) -> None:
        """One whose head needs no parser; its body came with it."""
        self.cost += SLICE_COST + MESSAGE_COST
        wish, body = self._begun(request.head), request.body
        is_too_large = len(body) > (wish.value or RESPONSE_BYTES_MAX)
        if wish is Wish.PASS_ON and not is_too_large:
            self.cost += CHUNK_COST
            self._piece(body)
        if body and (is_too_large or wish in {Wish.PASS_ON, Wish.THROW}):
            request = Request(request.head, b"", request.trailers, is_too_large, True)
        self._complete(request)

    def _parse(self, piece: bytes) -> None:
        while piece:
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                piece = piece[upgrade.args[0] :]
                self._stay()
            except httptools.HttpParserCallbackError as error:
                raise error.__context__ or error from None
            except httptools.HttpParserError:
                raise Malformed from None
            else:
                return

    def _stay(self) -> None:
        """Go on in HTTP/1.1 after a head that offered another protocol, as clients in Java do.

        The parser stops there without the body, so a new one is told the body's framing.
        """
        self._parser = httptools.HttpRequestParser(self)
        self._completed += 1  # not to be taken for one that is plain
        framing = "".join(
            f"{name}: {self._headers[name]}\r\n"
            for name in ("content-length", "transfer-encoding")
            if name in self._headers
        )
        self._is_upgrading, self._is_replaying = False, True
        self._parser.feed_data(f"POST / HTTP/1.1\r\nhost: -\r\n{framing}\r\n".encode("latin-1"))
        self._is_replaying = False

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_begun = True
        self.cost += MESSAGE_COST

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if self._is_replaying:
            return
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the body a trailer."""
        if self._is_replaying:
            return
        self._count(len(name) + len(value))
        self._fields += 1
        self.cost += 1
        if self._fields > FIELDS_MAX:
            raise Malformed(is_too_large=True)
        fields = self._headers if self._head is None else self._trailers
        kept = KEPT.get(name.lower())
        if kept is not None:
            fields[kept] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._is_replaying:
            return
        self._is_upgrading = self._parser.should_upgrade()
        method = self._parser.get_method().decode()
        path = self._url.partition(b"?")[0].decode("latin-1")
        self._head = Head(method, path, self._headers)
        self._awaits_continue = self._headers.get("expect", "").lower() == "100-continue"
        self._wish = self._begun(self._head)

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._loose_bytes = 0
        self._body_bytes += len(chunk)
        self.cost += CHUNK_COST
        if self._body_bytes > THROWN_BYTES_MAX:
            raise Malformed(is_too_large=True)
        if self._body_bytes > self._wish.value:
            if self._body:
                self._body = bytearray()
        elif self._wish is Wish.PASS_ON:
            self._piece(chunk)
        else:
            self._body += chunk

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._is_upgrading:
            return
        head = self._head
        if head is None:
            raise Malformed
        is_too_large = self._body_bytes > (self._wish.value or RESPONSE_BYTES_MAX)
        body = bytes(self._body)
        self._body = bytearray()
        request = Request(
            head, body, self._trailers, is_too_large, self._parser.should_keep_alive()
        )
        self._reset()
        self._completed += 1
        self._last = request
        if not request.is_persistent:
            self._familiar.close()
        self._complete(request)

    def _count(self, size_bytes: int) -> None:
        self._field_bytes += size_bytes
        if self._field_bytes > HEAD_BYTES_MAX:
            raise Malformed(is_too_large=True)
