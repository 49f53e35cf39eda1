"""The attacks on the listener: a table of hostile clients and what each must meet."""

import asyncio
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.attack.crowd import Client, Crowd, Line

HOST = b"Host: router\r\n"
POST = b"POST /in HTTP/1.1\r\n" + HOST


@dataclass
class Pace:
    """How hard: short for every change, long as the settings' defaults have it."""

    connections: int = 2_000
    header_s: float = 1.5
    body_s: float = 2.0
    idle_s: float = 2.5
    byte_every_s: float = 0.5
    flood_s: float = 2.0
    per_second: float = 150.0


LATE = {408, 0}
"""0: a client that has no processor for longer than the linger sends on after the end, and what it
was answered goes with the reset."""

SHORT = Pace()
LONG = Pace(header_s=10.0, body_s=60.0, idle_s=75.0, byte_every_s=10.0, flood_s=30.0)


def pace() -> Pace:
    """The one that was asked for: `make attack` asks for the long one."""
    return LONG if os.environ.get("ATTACK_PACE") == "long" else SHORT


@dataclass
class Attack:
    """A hostile client, how many of it, and what they must meet."""

    name: str
    client: Client
    answers: set[int]
    """What may be answered; 0: closed without a word."""
    life_s: Callable[[Pace], float] | None = None
    """The absolute deadline a connection ends by."""
    is_stream: bool = False
    """New ones again and again, instead of many at once."""
    is_narrow: bool = False
    connections: int | None = None
    must: set[int] = field(default_factory=set)
    """Of `answers`, what must be among them."""

    async def run(self, address: str, pace: Pace) -> Crowd:
        crowd = Crowd(address, is_narrow=self.is_narrow)
        if self.is_stream:
            await crowd.stream(pace.per_second, pace.flood_s, self.client)
        else:
            await crowd.all(self.connections or pace.connections, self.client)
        return crowd


def table(pace: Pace) -> list[Attack]:
    """Every attack at a pace."""
    every = pace.byte_every_s

    async def slow_header(line: Line) -> None:
        await line.trickle(bytes_of(POST + b"X-Slow: " + b"x" * 10_000), every)

    async def slow_body(line: Line) -> None:
        await line.send(POST + b"Content-Length: 10000\r\n\r\n")
        await line.trickle([b"x"] * 10_000, every)

    async def slow_chunks(line: Line) -> None:
        await line.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        await line.trickle([b"1\r\nx\r\n"] * 10_000, every)

    async def idle_after_request(line: Line) -> None:
        await line.send(POST + b"Content-Length: 2\r\n\r\n{}")

    return [
        Attack("silent connections", silent, {0}, lambda p: p.header_s),
        Attack("idle after a request", idle_after_request, {401}, lambda p: p.idle_s),
        Attack("a byte now and then, head", slow_header, LATE, lambda p: p.header_s,
               must={408}),
        Attack("a byte now and then, body", slow_body, LATE, lambda p: p.body_s,
               must={408}),
        Attack("a byte now and then, chunks", slow_chunks, LATE, lambda p: p.body_s,
               must={408}),
        Attack("half a body, then silence", half_body, {408, 503}, lambda p: p.body_s),
        Attack("100-continue, then silence", continue_silence, {100, 408}, lambda p: p.body_s),
        # Once it has sent more than it reads, its next request has no end.
        Attack("never reads its answers", never_reads, {0}, lambda p: p.idle_s + p.header_s,
               connections=10, is_narrow=True),
        Attack("half-closed in mid-body", half_closed, {0}, lambda _: 0.0),
        Attack("half-closed after a request", half_closed_whole, {401}, lambda _: 0.0),
        Attack("TLS on the plain port", tls, {400}, lambda _: 0.0, is_stream=True),
        Attack("a flood of headers", many_headers, {431}, lambda _: 0.0, is_stream=True),
        Attack("headers too large", large_headers, {431}, lambda _: 0.0, is_stream=True),
        Attack("a request line too long", long_line, {414}, lambda _: 0.0, is_stream=True),
        Attack("bodies of another length", Lies(), {400, 401, 413, 505}, lambda _: 0.0,
               is_stream=True,
               must={400, 401, 413}),
        Attack("odd chunks", OddChunks(), {400, 401, 431, 501}, lambda _: 0.0, is_stream=True,
               must={400, 401}),
        Attack("pipelined floods", pipelined, {401}, None, connections=10),
        Attack("connections come and go", come_and_go, {0}, None, is_stream=True),
        Attack("requests that hang up", hang_up, {0}, None, is_stream=True),
    ]  # fmt: skip


def bytes_of(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


async def silent(line: Line) -> None:
    """Nothing at all."""


async def half_body(line: Line) -> None:
    await line.send(POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)


async def continue_silence(line: Line) -> None:
    await line.send(POST + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")


async def never_reads(line: Line) -> None:
    """Asks and asks, and lets the answers pile up."""
    line.be_deaf()
    await line.trickle([(b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n") * 60] * 10_000, 0.1)


async def half_closed(line: Line) -> None:
    await line.send(POST + b"Content-Length: 100\r\n\r\nhalf")
    line.half_close()


async def half_closed_whole(line: Line) -> None:
    await line.send(POST + b"Content-Length: 2\r\n\r\n{}")
    line.half_close()


async def tls(line: Line) -> None:
    """A ClientHello, roughly: version, length, random bytes."""
    await line.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(506))


async def many_headers(line: Line) -> None:
    await line.send(POST + b"".join(b"X-%d: x\r\n" % n for n in range(5_000)) + b"\r\n")


async def large_headers(line: Line) -> None:
    await line.send(POST + b"X-Large: " + b"x" * 1_000_000 + b"\r\n\r\n")


async def long_line(line: Line) -> None:
    await line.send(b"POST /" + b"a" * 1_000_000)


async def pipelined(line: Line) -> None:
    """Many requests in one write, their answers read; again and again."""
    one = POST + b"Content-Length: 2\r\n\r\n{}"
    for count in range(1, 21):
        await line.send(one * 40)
        await line.answered(40 * count)
        await asyncio.sleep(0.1)
    line.half_close()


async def come_and_go(line: Line) -> None:
    line.reset()


async def hang_up(line: Line) -> None:
    """A whole request, and gone before its answer."""
    await line.send(POST + b"Content-Length: 2\r\n\r\n{}")
    line.reset()


class Lies:
    """Bodies whose length is not what was said."""

    def __init__(self) -> None:
        self._next = itertools.cycle(
            [
                b"Content-Length: 2\r\n\r\n{}and more than was said",
                b"Content-Length: -1\r\n\r\n{}",
                b"Content-Length: +2\r\n\r\n{}",
                b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                b"Content-Length: 2, 2\r\n\r\n{}",
                b"Content-Length: 0x2\r\n\r\n{}",
                b"Content-Length: 99999999999999999999999\r\n\r\n{}",
                b"Content-Length: 999999999\r\n\r\n{}",
                b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"Content-Length: 0\r\n\r\n{}",
            ]
        )

    async def __call__(self, line: Line) -> None:
        await line.send(POST + next(self._next))
        line.half_close()


class OddChunks:
    """Chunked bodies no client would send."""

    def __init__(self) -> None:
        self._next = itertools.cycle(
            [
                b"chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
                b"chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
                b"chunked\r\n\r\nffffffffffffffffff\r\n{}",
                b"chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
                b"chunked\r\n\r\n2\n{}\n0\n\n",
                b"chunked\r\n\r\n2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
                b"chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: " + b"x" * 100_000 + b"\r\n\r\n",
                b"chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                b"gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                b"\x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                b"chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX-Trailer: x\r\n\r\n",
            ]
        )

    async def __call__(self, line: Line) -> None:
        await line.send(POST + b"Transfer-Encoding: " + next(self._next))
        line.half_close()
