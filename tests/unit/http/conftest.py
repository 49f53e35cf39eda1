"""A running server around a small handler, and clients that are closed after the test."""

import asyncio
import contextlib

import pytest
import uvloop

from router.http.server import HttpServer
from router.http.values import BodyPolicy, HttpLimits, Response, message_response
from tests.patience import until
from tests.unit.http.client import connect


class Echo:
    """Answers with what it got. `/held` waits for `gate`, `/absent` is refused by its head."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.requests = []
        self.refused = []
        self.body_bytes_max = 1 << 20
        self.ends_with_client = False
        self.cancelled = 0

    def on_head(self, head):
        if head.path == "/absent":
            return message_response(404, "Not Found")
        if head.path == "/broken-head":
            raise RuntimeError("a bug")
        return BodyPolicy(self.body_bytes_max, self.refused.append)

    def on_request(self, request):
        return Later(self.reply(request), ends_with_client=self.ends_with_client)

    async def reply(self, request):
        self.requests.append(request)
        if request.head.path == "/held":
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if request.head.path == "/broken":
            raise RuntimeError("a bug")
        headers = (("x-peer", request.head.peer),)
        if request.head.path == "/two-lines":
            headers = (("x-lines", "a\r\nb: c"),)
        return Response(200, request.body or b"-", headers)


class Later:
    """The answer of a coroutine."""

    wait_s = 0.0

    def __init__(self, reply, *, ends_with_client=False):
        self.ends_with_client = ends_with_client
        self.future = asyncio.ensure_future(reply)
        self.response = self.future.result
        self.watch = self.future.add_done_callback
        self.cancel = self.future.cancel


class Running:
    """A server, its handler and its clients."""

    def __init__(self, **limits):
        self.handler = Echo()
        self.reasons = []
        self.server = HttpServer(
            self.handler, HttpLimits(**{"sweep_s": 0.02, **limits}), self.reasons.append
        )
        self.clients = []

    async def start(self):
        self.address = await self.server.start("127.0.0.1", 0)

    async def client(self):
        client = await connect(self.address)
        self.clients.append(client)
        return client

    async def exchange(self, data, **options):
        client = await self.client()
        await client.send(data)
        return await client.reply(**options)

    async def eventually(self, is_true):
        await until(is_true)


def pytest_asyncio_loop_factories(config, item):
    """Every test runs on both loops: uvloop in production, asyncio's own wherever it is not."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve():
    """Start servers: `running = await serve(header_s=0.2)`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**limits):
            running = Running(**limits)
            await running.start()

            async def end():
                running.handler.gate.set()
                for client in running.clients:
                    await client.close()
                await running.server.stop(1)
                assert running.server.connections == 0
                assert running.server.memory.held_bytes == 0

            stack.push_async_callback(end)
            return running

        yield start
