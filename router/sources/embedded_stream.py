"""An embedded stream as a source: the store's shards, long-polled."""

import asyncio

from router.mapping.budget import Aside
from router.model.record import Fetched
from router.store.base import StreamStore


class EmbeddedStreamSource:
    """One stream. Holds no position: the engine remembers, the store keeps."""

    def __init__(self, streams: StreamStore, stream: str) -> None:
        self._streams = streams
        self._stream = stream

    async def fetch(
        self, shard: str, after: int, records_max: int, bytes_max: int, wait_ms: int, aside: Aside
    ) -> Fetched:
        """Records after a position and how far was read; waits while more may come.

        Empty when the wait runs out. Raises `StoreError`.
        """
        arrived, wanted = _Arrival(), (self._stream, shard, after, records_max)
        # Before the first read: no record can come between the two.
        unsubscribe = self._streams.subscribe(self._stream, shard, arrived.wake)
        try:
            found = self._streams.recent(*wanted, bytes_max)
            if found is None:
                found = await self._streams.read(*wanted, aside.take(bytes_max))
            if found.records or found.is_end:
                return found
            if aside.size_bytes:
                aside.give_back()
            if not await arrived.within(wait_ms / 1000):
                return found
            recent = self._streams.recent(*wanted, bytes_max)
            return recent or await self._streams.read(*wanted, aside.take(bytes_max))
        finally:
            unsubscribe()


class _Arrival:
    """Whether something came; an event with a deadline, without a task's timeout."""

    def __init__(self) -> None:
        self._has_come = False
        self._waiter: asyncio.Future[bool] | None = None

    def wake(self) -> None:
        """Something has come."""
        self._has_come = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    async def within(self, wait_s: float) -> bool:
        """Wait for it; False when the time ran out first."""
        if self._has_come:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(wait_s, _give_up, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()


def _give_up(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)
