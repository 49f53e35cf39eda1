"""An answer of a function's URL that is sent while the function makes it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from router.dispatch.response_stream import ResponseStream
from router.ingress.url_desk import SMALL_BYTES
from router.model.function import InvokeReply
from router.model.function_url import UrlAnswer
from router.model.limits import KIB
from router.model.media_types import media_type
from router.outcomes.http_reply import (
    BODILESS,
    INTEGRATION,
    PRELUDE_END,
    HttpReply,
    plain_head,
    prelude_head,
)

WAITING_BYTES_MAX: Final = 128 * KIB
"""What waits for a client who reads slowly, of each answer; then the function does."""

PRELUDE_BYTES_MAX: Final = 256 * KIB
"""Longest status, headers and cookies: more than any client takes."""


class StreamedReply:
    """What a function streams, as it comes: `url_desk.Rest` of its answer.

    `over` hears once whether it was whole.
    """

    def __init__(self, stream: ResponseStream, running: "asyncio.Task[InvokeReply]") -> None:
        self.over: Callable[[bool], None] = _not_told
        self._stream = stream
        self._running = running
        self._chunks = stream.chunks()
        self._first = b""
        """Read already, and not sent."""

    async def answer(self) -> UrlAnswer | None:
        """How the answer begins; None when what the function streams is none: 502.

        It begins with the first bytes of the body or, where the function says status and headers
        first, with those.
        """
        if media_type(self._stream.content_type) == INTEGRATION:
            prelude = await self._prelude()
            reply = None if prelude is None else prelude_head(prelude)
        else:
            self._first = await anext(self._chunks, b"")
            reply = plain_head(self._stream.content_type)
            if not self._first and not await self._is_success():
                reply = None
        if reply is None:
            self.close()
            return None
        return self._begun(reply)

    async def _prelude(self) -> bytes | None:
        """Status and headers; what comes behind them is kept as the first of the body."""
        read = bytearray()
        async for chunk in self._chunks:
            start = max(0, len(read) + 1 - len(PRELUDE_END))
            read += chunk
            end = read.find(PRELUDE_END, start)
            if end >= 0:
                self._first = bytes(read[end + len(PRELUDE_END) :])
                return bytes(read[:end])
            if len(read) > PRELUDE_BYTES_MAX:
                return None
        return None

    def _begun(self, reply: HttpReply) -> UrlAnswer:
        headers = [*reply.headers]
        if reply.status in BODILESS:
            self._first = b""
            self.close()
            return UrlAnswer(0, reply.status, headers, b"")
        body, self._first = self._first[:SMALL_BYTES], self._first[SMALL_BYTES:]
        return UrlAnswer(0, reply.status, headers, body, is_open=True)

    # The rest.

    async def pieces(self) -> AsyncIterator[bytes]:
        """See `Rest.pieces`."""
        if self._first:
            yield self._first
            self._first = b""
        async for chunk in self._chunks:
            yield chunk

    async def is_whole(self) -> bool:
        """See `Rest.is_whole`."""
        is_whole = await self._is_success()
        self.over(is_whole)
        return is_whole

    def close(self) -> None:
        """See `Rest.close`."""
        self._stream.close()

    async def _is_success(self) -> bool:
        return (await self._running).error_type is None


def _not_told(is_whole: bool) -> None:  # noqa: FBT001  as the one in its place is called
    del is_whole
