"""Takes telemetry to one extension: gathered into batches, sent over loopback, bounded.

The extension chooses the port, so nothing is sent before the kernel has said that a process of its
own environment listens there: neither the router's services nor other functions can be reached.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import orjson

from router.workers.extensions.subscriptions import Subscription

HOST: Final = "127.0.0.1"

SEND_S_MAX: Final = 2.0
"""For one try: connect, send and hear the answer."""

WAITS_S: Final = (0.1, 0.5)
"""Between tries; after the last one the batch is dropped and counted."""

CLOSE_S_MAX: Final = 0.2
"""From an answer's first line until the extension closes; then it is closed here."""

PAUSE_S: Final = 0.1
"""Between two batches of one extension, however short its `timeoutMs`."""

ANSWER_BYTES_MAX: Final = 64 * 1024
"""Read of what an extension answers."""

FALLEN_BEHIND: Final = (
    "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."
)

IsOwn = Callable[[int], bool]
"""Whether a process of the environment listens on this port; blocks for some ms at most."""


class Courier:
    """The way to one extension. `close` at the end of its environment."""

    def __init__(self, subscription: Subscription, is_own: IsOwn) -> None:
        self.subscription = subscription
        self._is_own = is_own
        self._events: list[bytes] = []
        self._size_bytes = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._is_flushing = False
        self._dropped_records = 0
        self._dropped_bytes = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def has_room(self) -> bool:
        """Whether another event would be kept."""
        wish = self.subscription
        return len(self._events) < wish.items_max and self._size_bytes < wish.bytes_max

    def add(self, event: bytes) -> None:
        """One event, as JSON; dropped and counted when too much waits already."""
        if not self.has_room():
            self.drop(1, len(event))
            return
        self._events.append(event)
        self._size_bytes += len(event)
        self._some.set()
        if not self.has_room():
            self._enough.set()

    def drop(self, records: int, size_bytes: int) -> None:
        """So much is not sent; the extension is told with what is."""
        self._dropped_records += records
        self._dropped_bytes += size_bytes
        self._some.set()

    def flush(self) -> None:
        """Send at once what waits, from now on: the environment ends."""
        self._is_flushing = True
        self._enough.set()

    def close(self) -> None:
        """Send nothing any more."""
        self._task.cancel()
        self._hang_up()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.subscription.timeout_ms / 1000):
                    await self._enough.wait()
            batch, size = self._take()
            records, size_bytes = self._dropped_records, self._dropped_bytes
            told = [self._loss()] if records else []
            if await self._deliver([*batch, *told]):
                self._dropped_records -= records
                self._dropped_bytes -= size_bytes
            else:
                self.drop(len(batch), size)
            await asyncio.sleep(PAUSE_S)

    def _take(self) -> tuple[list[bytes], int]:
        batch, size = self._events, self._size_bytes
        self._events, self._size_bytes = [], 0
        self._some.clear()
        if not self._is_flushing:
            self._enough.clear()
        return batch, size

    def _loss(self) -> bytes:
        record = {
            "reason": FALLEN_BEHIND,
            "droppedRecords": self._dropped_records,
            "droppedBytes": self._dropped_bytes,
        }
        return event("platform.logsDropped", record)

    async def _deliver(self, batch: list[bytes]) -> bool:
        for wait_s in (*WAITS_S, None):
            try:
                async with asyncio.timeout(SEND_S_MAX):
                    if await self._send(batch):
                        return True
            except (OSError, TimeoutError, ValueError):
                self._hang_up()
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        return False

    async def _send(self, batch: list[bytes]) -> bool:
        wish = self.subscription
        if not wish.is_http:
            if self._writer is None:
                _, self._writer = await self._connect()
            self._writer.write(b"".join(line + b"\n" for line in batch))
            await self._writer.drain()
            return True
        reader, self._writer = await self._connect()
        body = b"[" + b",".join(batch) + b"]"
        head = (
            f"POST {wish.target} HTTP/1.1\r\nHost: {wish.host}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        try:
            status = int((await reader.readline()).split(b" ")[1])
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await reader.readexactly(ANSWER_BYTES_MAX)
        except IndexError:
            return False
        finally:
            self._hang_up()
        return 200 <= status < 300

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `OSError` when nobody of the environment listens there."""
        port = self.subscription.port
        reader, writer = await asyncio.open_connection(HOST, port, limit=ANSWER_BYTES_MAX)
        # After connecting: what is asked about is what this connection has reached.
        if not await asyncio.to_thread(self._is_own, port):
            writer.close()
            raise PermissionError(f"port {port} is not the environment's own")
        return reader, writer

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def event(kind: str, record: object, time_ms: int | None = None) -> bytes:
    """One event as it is sent; `time_ms` is epoch, None is now."""
    moment_ms = time.time_ns() // 1_000_000 if time_ms is None else time_ms
    seconds, milliseconds = divmod(moment_ms, 1000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    document = {"time": f"{moment}.{milliseconds:03d}Z", "type": kind, "record": record}
    return orjson.dumps(document)
