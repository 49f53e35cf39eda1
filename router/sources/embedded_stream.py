"""An embedded stream as a source: the store's shards, long-polled."""

import asyncio
from collections.abc import Sequence

from router.model.limits import FETCH_WAIT_MS
from router.model.record import Record
from router.store.base import StreamStore


class EmbeddedStreamSource:
    """One stream. Holds no position: the engine remembers, the store keeps."""

    def __init__(self, streams: StreamStore, stream: str, wait_ms: int = FETCH_WAIT_MS) -> None:
        self._streams = streams
        self._stream = stream
        self._wait_s = wait_ms / 1000

    async def fetch(
        self, shard: str, after: int, records_max: int, bytes_max: int
    ) -> tuple[Sequence[Record], int]:
        """Records after a position and how far was read; waits while there are none.

        Empty when the wait runs out. Raises `StoreError`.
        """
        records, read_to = await self._streams.read(
            self._stream, shard, after, records_max, bytes_max
        )
        if records:
            return records, read_to
        arrived = asyncio.Event()
        unsubscribe = self._streams.subscribe(self._stream, shard, arrived.set)
        try:
            # Read again: a record may have come between the read and the subscription.
            records, read_to = await self._streams.read(
                self._stream, shard, after, records_max, bytes_max
            )
            if records:
                return records, read_to
            try:
                async with asyncio.timeout(self._wait_s):
                    await arrived.wait()
            except TimeoutError:
                return (), read_to
            return await self._streams.read(self._stream, shard, after, records_max, bytes_max)
        finally:
            unsubscribe()
