"""A response on its way from a function that streams to whoever called it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from router.model.limits import MIB

WAITING_BYTES_MAX: Final = MIB
"""What a caller who reads slowly lets wait; then the function does."""


class ResponseStream:
    """A `Sink` one end of which can be read. Whoever reads no more closes it."""

    def __init__(self, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self.content_type = ""
        self.executed_version = "$LATEST"
        """Set by who looks the function up."""
        self.begun_at: float | None = None
        self._waiting_bytes_max = waiting_bytes_max
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._on_room: Callable[[], None] | None = None
        self._changed = asyncio.Event()
        self._is_over = False
        self._is_closed = False

    @property
    def has_begun(self) -> bool:
        """Whether the function streams its answer."""
        return self.begun_at is not None

    # What the function's side calls.

    def begin(self, content_type: str, on_room: Callable[[], None]) -> None:
        """See `Sink.begin`."""
        self.content_type, self.begun_at = content_type, time.perf_counter()
        self._on_room = on_room
        self._changed.set()

    def write(self, chunk: bytes) -> bool:
        """See `Sink.write`."""
        if self._is_closed:
            return True  # the function goes on to its end, as on Lambda
        self._chunks.append(chunk)
        self._waiting_bytes += len(chunk)
        self._changed.set()
        return self._waiting_bytes < self._waiting_bytes_max

    def end(self) -> None:
        """Nothing more comes: the invocation has ended."""
        self._is_over = True
        self._changed.set()

    # What the caller's side calls.

    async def begun(self) -> bool:
        """Wait until the response begins (True), or until it is clear that none is streamed."""
        while not (self.has_begun or self._is_over):
            self._changed.clear()
            await self._changed.wait()
        return self.has_begun

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces, as they come; what waits together comes together."""
        while True:
            while self._chunks:
                chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks.clear()
                self._waiting_bytes = 0
                self._make_room()
                yield chunk
            if self._is_over:
                return
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Nobody reads any more: what comes is dropped."""
        self._is_closed = True
        self._chunks.clear()
        self._waiting_bytes = 0
        self._make_room()

    def _make_room(self) -> None:
        if self._on_room is not None and self._waiting_bytes < self._waiting_bytes_max // 2:
            self._on_room()
