"""The thinnest ways from HTTP to a function and back: what G11 is measured against.

    raw:      Protocol + httptools ─► event (orjson) ─► frame ─► forked worker ─► answer
    aiohttp:  the same behind aiohttp's Application
    apart:    raw, but HTTP and event are the work of a process of its own, as with ours:
              Protocol + httptools ─► event (orjson) ═ frame ═► router ─► frame ─► forked worker

uvloop, so many forked workers, the last one used first. Left out is all that is not the work
itself: who may call, limits, timeouts, deadlines, isolation, logs, metrics.
"""

import argparse
import asyncio
import collections
import json
import os
import socket
import struct
import sys
import time
import uuid

import httptools
import orjson
import uvloop
from aiohttp import web

from tests.bench.lambda_peers.functions import quiet

LENGTH = struct.Struct(">I")
NUMBERED = struct.Struct(">IQ")
"""Length of what follows both, and a number that comes back with the answer."""

SENT_BYTES = 1 << 20
HEAD = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def event_of(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request in payload format 2.0."""
    return orjson.dumps({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "bench",
            "domainName": headers.get("host", ""),
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1"},
            "requestId": str(uuid.uuid4()),
            "timeEpoch": int(time.time() * 1000),
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    })  # fmt: skip


class Worker(asyncio.Protocol):
    """A forked process; one event at a time."""

    reply: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def invoke(self, event: bytes) -> asyncio.Future[bytes]:
        self.reply = asyncio.get_running_loop().create_future()
        self._transport.write(LENGTH.pack(len(event)) + event)
        return self.reply

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= 4 + LENGTH.unpack_from(self._buffer)[0]:
            reply, self._buffer = self._buffer[4:], b""
            self.reply.set_result(reply)


class Workers:
    """Who waits for one is served in order."""

    def __init__(self) -> None:
        self.idle: list[Worker] = []
        self._waiting: collections.deque[asyncio.Future[Worker]] = collections.deque()

    async def invoke(self, event: bytes) -> dict:
        reply: dict = orjson.loads(await self.run(event))
        return reply

    async def run(self, event: bytes) -> bytes:
        """The reply as it came."""
        if self.idle:
            worker = self.idle.pop()
        else:
            turn: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            worker = await turn
        reply = await worker.invoke(event)
        if self._waiting:
            self._waiting.popleft().set_result(worker)
        else:
            self.idle.append(worker)
        return reply


class Link(asyncio.Protocol):
    """One end of what is between the process with the listener and the router."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        start = 0
        while len(data) - start >= NUMBERED.size:
            length, number = NUMBERED.unpack_from(data, start)
            end = start + NUMBERED.size + length
            if end > len(data):
                break
            self.on_frame(number, data[start + NUMBERED.size : end])
            start = end
        self._buffer = data[start:]

    def on_frame(self, number: int, body: bytes) -> None:
        raise NotImplementedError

    def send(self, number: int, body: bytes) -> None:
        self._transport.write(NUMBERED.pack(len(body), number) + body)


class ToRouter(Link):
    """In the process with the listener: what invokes."""

    def __init__(self) -> None:
        self._numbers = 0
        self._open: dict[int, asyncio.Future[bytes]] = {}

    async def invoke(self, event: bytes) -> dict:
        self._numbers += 1
        answer = self._open[self._numbers] = asyncio.get_running_loop().create_future()
        self.send(self._numbers, event)
        reply: dict = orjson.loads(await answer)
        return reply

    def on_frame(self, number: int, body: bytes) -> None:
        self._open.pop(number).set_result(body)


class ToListener(Link):
    """In the router: events in, replies out, none of them looked at."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def on_frame(self, number: int, body: bytes) -> None:
        asyncio.get_running_loop().create_task(self._answer(number, body))

    async def _answer(self, number: int, body: bytes) -> None:
        self.send(number, await self._workers.run(body))


class Connection(asyncio.Protocol):
    """The raw way: one client."""

    def __init__(self, workers: Workers | ToRouter) -> None:
        self._workers = workers
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        method = self._parser.get_method().decode()
        event = event_of(method, self._path.decode(), self._headers, self._body)
        reply = await self._workers.invoke(event)
        body = reply["body"].encode()
        if not self._transport.is_closing():
            self._transport.write(HEAD % (reply["statusCode"], len(body)) + body)


def application(workers: Workers) -> web.Application:
    """The way of aiohttp."""

    async def answer(request: web.Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        event = event_of(request.method, request.path, headers, await request.read())
        reply = await workers.invoke(event)
        kind = "application/json"
        return web.Response(status=reply["statusCode"], text=reply["body"], content_type=kind)

    made = web.Application()
    made.router.add_post("/{path:.*}", answer)
    return made


def work(theirs: socket.socket) -> None:
    """The forked worker: decode, handle, encode."""
    reader = theirs.makefile("rb", 262_144)
    while head := reader.read(4):
        event = json.loads(reader.read(LENGTH.unpack(head)[0]))
        reply = json.dumps(quiet.handler(event, None)).encode()
        theirs.sendall(LENGTH.pack(len(reply)) + reply)


async def listen(end: socket.socket, port: int) -> None:
    """The process with the listener."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(ToRouter, sock=end)
    await loop.create_server(lambda: Connection(link), "127.0.0.1", port)
    await asyncio.Event().wait()


async def serve(
    kind: str, port: int, sockets: list[socket.socket], end: socket.socket | None
) -> None:
    """`end` leads to the process with the listener, if that is apart."""
    loop = asyncio.get_running_loop()
    workers = Workers()
    for ours in sockets:
        _, worker = await loop.create_unix_connection(Worker, sock=ours)
        workers.idle.append(worker)
    if end is not None:
        await loop.create_unix_connection(lambda: ToListener(workers), sock=end)
    elif kind == "raw":
        await loop.create_server(lambda: Connection(workers), "127.0.0.1", port)
    else:
        runner = web.AppRunner(application(workers), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def pair() -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_BYTES)
    return ends


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("raw", "aiohttp", "apart"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    arguments = parser.parse_args()
    sockets: list[socket.socket] = []
    for _ in range(arguments.workers):
        ours, theirs = pair()
        if os.fork() == 0:
            for other in (*sockets, ours):
                other.close()
            work(theirs)
            os._exit(0)
        theirs.close()
        ours.setblocking(False)
        sockets.append(ours)
    end = None
    if arguments.kind == "apart":
        end, theirs = pair()
        if os.fork() == 0:
            for other in (*sockets, end):
                other.close()
            theirs.setblocking(False)
            uvloop.run(listen(theirs, arguments.port))
        theirs.close()
        end.setblocking(False)
    uvloop.run(serve(arguments.kind, arguments.port, sockets, end))


if __name__ == "__main__":
    sys.exit(main())
