"""Calls to one origin over HTTP/1.1: for the few calls that every message needs, and no others.

What a client for everything does beside (redirects, cookies, proxies, forms, compression) costs
several times the call itself; none of it is wanted here. The grammar is httptools'. A connection
has one call at a time and is kept for the next one. Nothing is tried again: who calls decides that.
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools

CONNECT_S_MAX: Final = 5.0
"""Longest wait for a connection to one address of the origin, its handshake included."""

IDLE_S_MAX: Final = 15.0
"""A connection that was not used for longer is not used again: the other side may be closing it."""

HEAD_BYTES_MAX: Final = 64 << 10
"""Of an answer, without its body."""

CA_BUNDLE: Final = "AWS_CA_BUNDLE"
"""The SDK's variable: a file of certificates to trust instead of the machine's."""

_FRAMED: Final = frozenset({b"content-length", b"transfer-encoding"})


class HttpClient:
    """As many connections as calls at a time. `close` it."""

    def __init__(self, url: str) -> None:
        """`url`: scheme, host and port of it count. Raises `ValueError`."""
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise ValueError(f"{url} is no address of a server: https://HOST[:PORT]")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_tls else 80)
        self._context: ssl.SSLContext | None = None
        self._all: set[_Connection] = set()
        self._free: deque[_Connection] = deque()
        """Used last stands last."""

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, answer_bytes_max: int
    ) -> tuple[int, bytes]:
        """Status and content of the answer. `headers` are sent as they are, with the body's length.

        Raises `OSError` when nobody knows what became of the call: no connection, none to the end,
        no HTTP, or content larger than allowed. Cut off, it closes its connection.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        connection = self._kept() or await self._connect()
        try:
            answer = await connection.call(head.encode("latin-1") + body, answer_bytes_max)
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            connection.used_s = asyncio.get_running_loop().time()
            self._free.append(connection)
        else:
            connection.abort()
        return answer

    def close(self) -> None:
        """Close every connection; calls under way are lost."""
        for connection in list(self._all):
            connection.abort()
        self._free.clear()

    def _kept(self) -> "_Connection | None":
        """The connection that was used last, if it still holds; older ones go in their turn."""
        free = self._free
        oldest_s = asyncio.get_running_loop().time() - IDLE_S_MAX
        while free and (free[0].used_s < oldest_s or not free[0].is_reusable):
            free.popleft().abort()
        while free:
            connection = free.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        """To the first address that takes it. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        if self._is_tls and self._context is None:
            self._context = await asyncio.to_thread(_context)
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{self._host} is no name of a host") from error
        problem: OSError = OSError(f"{self._host} has no address")
        for address in dict.fromkeys(str(where[0]) for *_, where in found):
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    return await self._connect_to(address)
            except TimeoutError:
                problem = TimeoutError(f"{address}:{self._port} does not answer")
            except OSError as error:
                problem = ConnectionError(f"{address}:{self._port}: {error}")
        raise problem

    async def _connect_to(self, address: str) -> "_Connection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._all),
            address,
            self._port,
            ssl=self._context,
            server_hostname=self._host if self._context is not None else None,
        )
        return connection


def _context() -> ssl.SSLContext:
    """Trusts whom the machine trusts, or whom the SDK is told to."""
    return ssl.create_default_context(cafile=os.environ.get(CA_BUNDLE) or None)


class _Connection(asyncio.Protocol):
    """One call at a time."""

    def __init__(self, others: "set[_Connection]") -> None:
        """`others`: where it stands while it is open."""
        self._others = others
        self._transport: asyncio.Transport
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        """What the call under way waits for."""
        self._content_bytes_max = 0
        self._head_bytes = self._content_bytes = 0
        self._content: list[bytes] = []
        self._has_end = self._is_framed = False
        """The head has ended; and it says where the content will."""
        self.is_reusable = True
        self.used_s = 0.0

    def call(self, request: bytes, content_bytes_max: int) -> "asyncio.Future[tuple[int, bytes]]":
        """Send it. The answer; raises `OSError`."""
        self._answer = asyncio.get_running_loop().create_future()
        self._content_bytes_max = content_bytes_max
        self._begin()
        self._transport.write(request)
        return self._answer

    def abort(self) -> None:
        """Close it; a call under way is lost."""
        self.is_reusable = False
        self._transport.abort()

    def _begin(self) -> None:
        self._head_bytes = self._content_bytes = 0
        self._content = []
        self._has_end = self._is_framed = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._others.add(self)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or of what nobody asked for."""
        if not self._has_end:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lose(f"an answer that is no HTTP: {error!r}")
        else:
            if not self._has_end and self._head_bytes > HEAD_BYTES_MAX:
                self._lose(f"an answer with a head larger than {HEAD_BYTES_MAX} bytes")

    def eof_received(self) -> None:
        """The other side has said all: it may be what ends the content."""
        if self._has_end and not self._is_framed:
            self._finish()
        self.is_reusable = False

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        self._others.discard(self)
        self._lose(str(error or "the connection was closed before the answer was complete"))

    # What the parser calls

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._answer is None:
            self._lose("an answer nobody asked for")

    def on_header(self, name: bytes, _value: bytes) -> None:
        """One of its headers."""
        self._is_framed = self._is_framed or name.lower() in _FRAMED

    def on_headers_complete(self) -> None:
        """Its head ends."""
        self._has_end = True

    def on_body(self, part: bytes) -> None:
        """A part of its content, of bounded size (L2)."""
        self._content_bytes += len(part)
        if self._content_bytes > self._content_bytes_max:
            self._lose(f"an answer larger than {self._content_bytes_max} bytes")
        else:
            self._content.append(part)

    def on_message_complete(self) -> None:
        """It ends."""
        if self._parser.get_status_code() // 100 == 1:
            self._begin()  # what comes before the answer
        else:
            self.is_reusable = self.is_reusable and self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._lose(f"an answer with the status {status}")
            return
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_result((status, b"".join(self._content)))
        self._content = []

    def _lose(self, text: str) -> None:
        self.abort()
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError(text))
