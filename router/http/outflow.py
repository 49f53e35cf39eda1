"""The body of one answer on its way to a client, while it is made.

In HTTP/1.1 it goes in chunks, and one that breaks off lacks the last; in HTTP/1.0 it ends with the
connection, and one that breaks off with a reset.
"""

import asyncio
import socket
import struct
from typing import Final, Protocol

from router.http.values import CHUNKED, TO_THE_END, BodySource, Streamed, render_open

LAST_CHUNK: Final = b"0\r\n\r\n"


class Way(Protocol):
    """The connection, as far as a body needs it."""

    @property
    def is_write_paused(self) -> bool:
        """The client does not read."""

    def outflow_ended(self, *, is_broken: bool) -> None:
        """The body has been handed to the transport, or will never be."""


class Outflow:
    """An `Outlet`, from the head of an answer to the end of its body."""

    def __init__(
        self, way: Way, transport: asyncio.Transport, streamed: Streamed, *, is_legacy: bool
    ) -> None:
        """`is_legacy`: HTTP/1.0."""
        self.wait_s = streamed.wait_s
        self._way = way
        self._transport = transport
        self._head = streamed.head
        self._source: BodySource | None = streamed.source
        self._is_chunked = not is_legacy

    def begin(self, line: bytes) -> None:
        """Send the head, and what there is of the body; `line` is the server's own headers."""
        framing = CHUNKED if self._is_chunked else TO_THE_END
        body = self._framed(self._head.body) if self._head.body else b""
        self._transport.write(render_open(self._head, line, framing) + body)
        if self._source is not None:
            self._source.open(self)

    def write(self, data: bytes) -> bool:
        """See `Outlet.write`."""
        # An empty chunk would be the last one; a transport whose other end is gone raises.
        if data and not self._transport.is_closing():
            self._transport.write(self._framed(data))
        return not self._way.is_write_paused

    def end(self, *, is_broken: bool) -> None:
        """See `Outlet.end`."""
        self._source = None
        if self._is_chunked and not is_broken and not self._transport.is_closing():
            self._transport.write(LAST_CHUNK)
        if is_broken and not self._is_chunked:
            _reset(self._transport)
        self._way.outflow_ended(is_broken=is_broken)

    def go_on(self) -> None:
        """The client reads again."""
        if self._source is not None:
            self._source.go_on()

    def leave(self) -> None:
        """The client is gone."""
        source, self._source = self._source, None
        if source is not None:
            source.leave()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data


def _reset(transport: asyncio.Transport) -> None:
    """Close so that the client sees an error: an end would look like the body's."""
    end = transport.get_extra_info("socket")
    if end is not None and not transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
