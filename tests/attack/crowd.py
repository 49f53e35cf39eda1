"""Hostile clients: what each sends, what it was answered, how long it was let live."""

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

ADDRESSES = ("127.0.1.1", "127.0.1.2", "127.0.1.3")
"""Where hostile clients come from: not from where normal traffic does, and more than one."""

OPENED_AT_A_TIME = 50
LOOK_S = 0.02
END_S = 120.0
"""No connection is waited for longer."""


class Line:
    """One hostile connection. What it is answered is read all the time, unless it is `deaf`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.began = time.monotonic()
        self.ended: float | None = None
        self._reader = reader
        self._data = b""
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(65_536):
                self._data += data
                self._more.set()
        # What came before a reset came all the same; a reader that is read late forgets it.
        self._data += bytes(self._reader._buffer)
        self.ended = time.monotonic()
        self._more.set()

    async def send(self, data: bytes) -> None:
        """Raises `OSError` when the router does not want to hear more."""
        self.writer.write(data)
        await self.writer.drain()

    async def trickle(self, parts: Iterable[bytes], every_s: float) -> None:
        """Now and then a little, for as long as it is let."""
        for part in parts:
            if self.ended is not None:
                return
            await self.send(part)
            await asyncio.sleep(every_s)

    async def answered(self, count: int = 1) -> None:
        """Wait for so many answers in all, or for the end."""
        while len(self.statuses()) < count and self.ended is None:
            self._more.clear()
            await self._more.wait()

    async def closed(self) -> None:
        """Wait until the router closes."""
        await asyncio.wait([self._reading], timeout=END_S)

    def statuses(self) -> list[int]:
        parts = self._data.split(b"HTTP/1.1 ")[1:]
        return [int(part[:3]) for part in parts if b"\r\n\r\n" in part]

    def be_deaf(self) -> None:
        """Read nothing from now on."""
        self.writer.transport.pause_reading()

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Go without a word: a reset instead of an orderly end."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def leave(self) -> None:
        self.writer.transport.abort()
        self._reading.cancel()
        await asyncio.wait([self._reading])


Client = Callable[[Line], Awaitable[None]]


class Crowd:
    """Many of them, all at once."""

    def __init__(self, address: str, *, is_narrow: bool = False) -> None:
        """`is_narrow`: what the kernel takes for a client that does not read is little."""
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._is_narrow = is_narrow
        self._gate = asyncio.Semaphore(OPENED_AT_A_TIME)
        self.answers: Counter[int] = Counter()
        """Statuses; 0 for connections that ended without an answer."""
        self.lives_s: list[float] = []
        """How long each connection lasted until the router closed it."""
        self.open = 0
        self.stood_s = 0.0
        """The longest that no client could do anything, as nothing here came round."""

    async def one(self, number: int, client: Client) -> None:
        """One connection from its start to its end."""
        try:
            async with self._gate:
                where = (ADDRESSES[number % len(ADDRESSES)], 0)
                reader, writer = await asyncio.open_connection(sock=await self._connect(where))
        except OSError:
            self.answers[-1] += 1
            return
        line = Line(reader, writer)
        self.open += 1
        try:
            with contextlib.suppress(OSError):
                await client(line)
            await line.closed()
            self.lives_s.append((line.ended or time.monotonic()) - line.began)
        finally:
            self.open -= 1
            self.answers.update(line.statuses() or [0])
            await line.leave()

    async def _connect(self, where: tuple[str, int]) -> socket.socket:
        line = socket.socket()
        line.setblocking(False)
        if self._is_narrow:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.bind(where)
        try:
            await asyncio.get_running_loop().sock_connect(line, (self._host, self._port))
        except OSError:
            line.close()
            raise
        return line

    async def all(self, count: int, client: Client) -> None:
        """So many at once, until the last has ended."""
        async with self._watched():
            await asyncio.gather(*(self.one(number, client) for number in range(count)))

    async def stream(self, per_second: float, for_s: float, client: Client) -> None:
        """A new one again and again; whoever is still there at the end is waited for."""
        async with self._watched():
            await self._stream(per_second, for_s, client)

    async def _stream(self, per_second: float, for_s: float, client: Client) -> None:
        began = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while (now := time.monotonic() - began) < for_s:
            while number < now * per_second:
                task = asyncio.create_task(self.one(number, client))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        async def look() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(LOOK_S)
                self.stood_s = max(self.stood_s, time.monotonic() - began - LOOK_S)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
