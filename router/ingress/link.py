"""The socket pair between the router and its ingress process."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import structlog

from router.ingress.frames import FrameError, FrameReader, decode, encode

log = structlog.get_logger(__name__)

UNREAD_BYTES_MAX: Final = 32 << 20
"""What the router keeps for a process that does not read; then it is cut off."""

PAIR_BYTES: Final = 1 << 20
"""What the kernel may hold in each direction, where it allows that much."""


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, with room for a whole turn's records."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAIR_BYTES)
    return ends


class Link(asyncio.Protocol):
    """One end. `on_message` gets the kind and the message; `on_end` is called once.

    `unread_bytes_max` is what the other side may leave unread before it is cut off; 0 is for the
    ingress process, which counts what it has sent and is not answered.
    """

    def __init__(
        self,
        on_message: Callable[[int, Any], None],
        on_end: Callable[[], None],
        unread_bytes_max: int = 0,
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._unread_bytes_max = unread_bytes_max
        self._reader = FrameReader(self._on_frame)
        self._transport: asyncio.Transport | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.has_ended = False
        """Nothing sent arrives any more."""

    async def open(self, end: socket.socket) -> None:
        """Begin, over this end; it is the link's own from here on."""
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=end)

    def send(self, message: Any) -> None:
        """Send a message; nobody hears it any more once the link has ended. Raises `FrameError`."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(encode(message))
            if 0 < self._unread_bytes_max < transport.get_write_buffer_size():
                log.error("ingress_link_unread")
                transport.abort()

    async def room(self) -> None:
        """Wait until everything sent is on its way, or the link has ended."""
        await self._has_room.wait()

    def close(self) -> None:
        """Send what waits, then end."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The link stands."""
        self._transport = cast("asyncio.Transport", transport)
        # At once, not at the end of the turn: the other side works on it meanwhile.
        self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Bytes of the other side; one that breaks the rules is cut off."""
        try:
            self._reader.feed(data)
        except FrameError as error:
            log.error("ingress_link_broken", error=str(error))
            self.abort()
        except Exception:
            log.exception("ingress_link_failed")
            self.abort()

    def pause_writing(self) -> None:
        """Something waits to be read by the other side."""
        self._has_room.clear()

    def resume_writing(self) -> None:
        """Nothing does any more."""
        self._has_room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        del exc
        self._transport = None
        self.has_ended = True
        self._has_room.set()
        self._on_end()

    def _on_frame(self, kind: int, body: memoryview) -> None:
        self._on_message(kind, decode(kind, body))
