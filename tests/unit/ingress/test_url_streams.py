"""Answers of functions' URLs that are sent while the function makes them.

In the router and through the ingress process; section 16, line 12 (streaming prelude).
"""

import asyncio
import json
import socket

import pytest

from router.config import IngressSettings
from router.ingress.frames import FrameError
from router.ingress.url_desk import UrlDesk
from router.ingress.url_stream import PRELUDE_BYTES_MAX
from router.model.errors import NotInvoked
from router.model.function import InvokeReply
from router.model.function_url import UrlCall, UrlTaken
from router.outcomes.http_reply import INTEGRATION
from router.store.catalog import put
from router.telemetry import metrics
from tests.patience import PATIENCE_S, until
from tests.unit.http.client import Client, connect
from tests.unit.ingress.test_urls import CORS, STREAMS, Site, url

HOST = f"Host: {STREAMS}.lambda-url.us-east-1.localhost\r\n"
HEAD = {"statusCode": 202, "headers": {"X-B": "1", "Content-Length": "3"}, "cookies": ["a=1"]}
PRELUDE = json.dumps(HEAD).encode() + bytes(8)
PIECE = bytes(range(256)) * 256
MANY = 320
"""Pieces of an answer of 20 MiB: more than all that lies between function and client can hold."""


class Streamer:
    """A function that streams what the test tells it to."""

    def __init__(self):
        self.content_type = "text/html"
        self.error_type = None
        self.stream = None
        self.over = asyncio.Event()
        self.has_room = asyncio.Event()
        self.written_bytes = 0
        self.is_ended = False
        self.refusal = None

    async def invoke(self, function, qualifier, payload, *, stream=None, **_):
        if self.refusal is not None:
            raise self.refusal
        self.over.clear()
        self.written_bytes = 0
        stream.begin(self.content_type, self.has_room.set)
        self.stream = stream
        await self.over.wait()
        self.is_ended = True
        return InvokeReply(payload=b"", error_type=self.error_type)

    async def began(self):
        await until(lambda: self.stream is not None)
        return self

    async def write(self, *pieces):
        """As the connection of a runtime does."""
        for piece in pieces:
            self.has_room.clear()
            self.written_bytes += len(piece)
            if not self.stream.write(piece):
                await self.has_room.wait()

    def end(self, error_type=None):
        self.error_type = error_type
        self.stream = None
        self.over.set()


@pytest.fixture
async def site(tmp_path):
    running = Site(tmp_path, is_apart=False, invoker=Streamer())
    await running.start()
    yield running
    running.invoker.over.set()
    await running.stop()


@pytest.fixture
async def client(site):
    made = await connect(site.address)
    yield made
    await made.close()


def request(method="GET", version="1.1", more=""):
    return f"{method} /x HTTP/{version}\r\n{HOST}{more}\r\n".encode()


async def test_each_piece_arrives_before_the_function_makes_the_next(site, client):
    function = site.invoker
    await client.send(request())
    await function.began()
    for piece in (b"<p>", b"hello", b"</p>"):
        await function.write(piece)
        if piece == b"<p>":
            reply = await client.reply()
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/html"
            assert reply.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in reply.headers
            assert reply.headers["x-amzn-requestid"]
        assert await client.chunk() == piece
    function.end()
    assert await client.chunk() == b""
    # And the connection goes on.
    await client.send(request())
    await function.began()
    await function.write(b"again")
    function.end()
    assert (await client.reply()).status == 200
    assert await client.rest() == b"again"


async def test_a_prelude_is_sent_before_there_is_a_body(site, client):
    function = site.invoker
    function.content_type = INTEGRATION
    await client.send(request())
    await function.began()
    for at in range(len(PRELUDE)):
        await function.write(PRELUDE[at : at + 1])
    reply = await client.reply()
    assert (reply.status, reply.headers["x-b"]) == (202, "1")
    assert reply.headers["set-cookie"] == "a=1"
    assert reply.headers["content-type"] == "application/octet-stream"
    # A function cannot say where its answer ends: what came after it would be another's.
    assert "content-length" not in reply.headers
    await function.write(bytes(8), b"body\0")
    function.end()
    assert await client.rest() == bytes(8) + b"body\0"


async def test_an_error_in_the_middle_ends_the_connection_without_the_last_chunk(site, client):
    counted = metrics.URL_REQUESTS.labels("f", "5xx")
    before = counted.value
    await client.send(request())
    function = await site.invoker.began()
    await function.write(b"half")
    assert (await client.reply()).status == 200
    assert await client.chunk() == b"half"
    function.end("Runtime.X")
    assert await client.is_closed()
    await until(lambda: counted.value == before + 1)


NO_ANSWERS = [
    ("text/html", [], "Runtime.X"),
    (INTEGRATION, [], "Runtime.X"),
    (INTEGRATION, [PRELUDE[:-1]], None),
    (INTEGRATION, [PRELUDE[:-1]], "Runtime.X"),
    (INTEGRATION, [b"{]" + bytes(8)], None),
    (INTEGRATION, [b"[1]" + bytes(8)], None),
    (INTEGRATION, [b'{"statusCode":"x"}' + bytes(8)], None),
    (INTEGRATION, [b'{"statusCode":101}' + bytes(8)], None),
    (INTEGRATION, [b'{"headers":{"a":"1\\r\\nb: 2"}}' + bytes(8)], None),
    (INTEGRATION, [b" " * (PRELUDE_BYTES_MAX // 4)] * 5, None),
    ("text/html; a=\0", [b"x"], None),
]


async def test_what_is_no_answer_before_it_begins_is_a_502(site, client):
    function = site.invoker
    for function.content_type, pieces, error_type in NO_ANSWERS:
        await client.send(request())
        await function.began()
        async with asyncio.timeout(PATIENCE_S):
            await function.write(*pieces)
        function.end(error_type)
        reply = await client.reply()
        assert (reply.status, reply.body) == (502, b"Internal Server Error"), pieces


async def test_a_function_that_streams_nothing(site, client):
    await client.send(request())
    function = await site.invoker.began()
    function.end()
    assert (await client.reply()).status == 200
    assert await client.rest() == b""


async def test_a_throttle_is_an_answer_of_its_own(site, client):
    site.invoker.refusal = NotInvoked("throttled")
    await client.send(request())
    assert (await client.reply()).status == 429


async def test_what_web_pages_are_told_comes_with_the_head(site, client):
    function = site.invoker
    function.content_type = INTEGRATION
    pages = url("p" * 32, qualifier="live", invoke_mode="RESPONSE_STREAM", cors=CORS)
    await site.catalog.commit([put("function_url", "f:pages", pages)])
    asked = request(more="Origin: https://a.example.com\r\n")
    await client.send(asked.replace(STREAMS.encode(), pages.id.encode()))
    await function.began()
    head = {"headers": {"Access-Control-Allow-Origin": "*"}}
    await function.write(json.dumps(head).encode() + bytes(8))
    reply = await client.reply()
    assert reply.headers["access-control-allow-origin"] == "https://a.example.com"
    await function.write(b"x")
    function.end()
    assert await client.rest() == b"x"


async def test_http_1_0_ends_with_the_connection(site, client):
    await client.send(request(version="1.0", more="Connection: keep-alive\r\n"))
    function = await site.invoker.began()
    await function.write(b"one ", b"two")
    function.end()
    reply = await client.reply()
    assert reply.headers["connection"] == "close"
    assert not {"transfer-encoding", "content-length"} & set(reply.headers)
    assert await asyncio.wait_for(client.reader.read(), PATIENCE_S) == b"one two"


async def test_http_1_0_sees_what_breaks_off(site, client):
    await client.send(request(version="1.0"))
    function = await site.invoker.began()
    await function.write(b"one")
    assert (await client.reply()).status == 200
    assert await client.reader.readexactly(3) == b"one"
    function.end("Runtime.X")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(), PATIENCE_S)


async def test_a_head_alone_and_answers_without_body_leave_the_connection_in_step(site, client):
    function = site.invoker
    await client.send(request("HEAD"))
    await function.began()
    await function.write(b"nobody reads this")
    reply = await client.reply(has_body=False)
    assert (reply.status, reply.headers["transfer-encoding"]) == (200, "chunked")
    function.end()
    function.content_type = INTEGRATION
    for status in (204, 304):
        await client.send(request())
        await function.began()
        prelude = json.dumps({"statusCode": status}).encode() + bytes(8)
        await function.write(prelude + b"HTTP/1.1 200 OK\r\n\r\n")
        reply = await client.reply()
        assert reply.status == status
        assert not {"transfer-encoding", "content-length"} & set(reply.headers)
        function.end()
    await client.send(request())
    await function.began()
    await function.write(PRELUDE + b"x")
    function.end()
    assert (await client.reply()).status == 202
    assert await client.rest() == b"x"


async def test_what_is_sent_meanwhile_waits_for_the_end(site, client):
    function = site.invoker
    await client.send(request() + request() + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await function.began()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await function.write(b"one")
    assert (await client.reply()).status == 200
    function.end()
    assert await client.rest() == b"one"
    await function.began()
    await function.write(b"two")
    function.end()
    assert (await client.reply()).status == 200
    assert await client.rest() == b"two"
    assert [(await client.reply()).status for _ in range(2)] == [404, 404]


async def slow_client(site):
    """One of which the system reads ahead little."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, site.address)
    return Client(*await asyncio.open_connection(sock=made, limit=16 * 1024))


async def stalled(function):
    """What the function has written when it comes no further."""
    before = -1
    while function.written_bytes != before or function.has_room.is_set():
        before = function.written_bytes
        await asyncio.sleep(0.2)
    return before


async def test_a_client_who_reads_slowly_holds_up_the_function_and_gets_everything(site):
    client = await slow_client(site)
    await client.send(request())
    function = await site.invoker.began()
    writing = asyncio.create_task(function.write(*[PIECE] * MANY))
    async with asyncio.timeout(PATIENCE_S):
        held = await stalled(function)
    # What the system's own buffers hold is its business: 6 MiB at most by default.
    assert held < 10 << 20
    assert not writing.done()
    assert (await client.reply()).status == 200
    got = 0
    while got < MANY * len(PIECE):
        chunk = await client.chunk()
        start = got % 256
        assert chunk == (PIECE + PIECE)[start : start + len(chunk)]
        got += len(chunk)
    await writing
    function.end()
    assert await client.chunk() == b""
    await client.close()


async def test_a_client_who_leaves_does_not_hold_up_the_function(site):
    client = await slow_client(site)
    await client.send(request())
    function = await site.invoker.began()
    writing = asyncio.create_task(function.write(*[PIECE] * MANY))
    await client.reply()
    client.reset()
    async with asyncio.timeout(PATIENCE_S):
        await writing
    function.end()
    await until(lambda: function.is_ended)
    # Others are served meanwhile and afterwards.
    other = await connect(site.address)
    await other.send(request())
    await function.began()
    await function.write(b"x")
    function.end()
    await other.reply()
    assert await other.rest() == b"x"
    await other.close()


async def test_a_client_who_leaves_before_the_answer_begins(site):
    client = await connect(site.address)
    await client.send(request())
    function = await site.invoker.began()
    client.reset()
    async with asyncio.timeout(PATIENCE_S):
        await function.write(*[PIECE] * MANY)
    function.end()


async def test_a_client_who_does_not_read_is_cut_off(tmp_path):
    listen = IngressSettings(body_deadline_s=1)
    site = Site(tmp_path, is_apart=False, invoker=Streamer(), listen=listen)
    await site.start()
    client = await slow_client(site)
    await client.send(request())
    function = await site.invoker.began()
    async with asyncio.timeout(PATIENCE_S):
        await function.write(*[PIECE] * MANY)  # nobody reads: it goes on once that is clear
    function.end()
    urls = site.ingress._urls
    await until(lambda: urls._calls == 0 and site.ingress.connections == 0)
    await client.close()
    await site.stop()


async def test_many_clients_read_their_own(site):
    """More than the link may leave unread, all at once."""
    function = site.invoker

    async def invoke(function, qualifier, payload, *, stream=None, **_):
        number = json.loads(payload)["rawQueryString"].encode()
        room = asyncio.Event()
        stream.begin("text/plain", room.set)
        for _ in range(100):
            room.clear()
            if not stream.write(number * 10_000):
                await room.wait()
        return InvokeReply(payload=b"")

    own, function.invoke = function.invoke, invoke

    async def ask(number):
        client = await connect(site.address)
        await client.send(request().replace(b"/x", b"/x?%d" % number))
        await client.reply()
        body = await client.rest()
        await client.close()
        return body == b"%d" % number * 1_000_000

    assert all(await asyncio.gather(*(ask(number) for number in range(10, 40))))
    function.invoke = own


async def test_stopping_waits_for_what_is_being_sent(site, client):
    await client.send(request())
    function = await site.invoker.began()
    await function.write(b"one")
    await client.reply()
    site.ingress.drain()
    stopping = asyncio.create_task(site.ingress.stop(PATIENCE_S))
    assert await client.chunk() == b"one"
    await function.write(b"two")
    assert await client.chunk() == b"two"
    function.end()
    assert await client.chunk() == b""
    assert await client.is_closed()
    await stopping


async def test_stopping_breaks_off_what_takes_too_long(site, client):
    await client.send(request())
    function = await site.invoker.began()
    await function.write(b"one")
    await client.reply()
    assert await client.chunk() == b"one"
    await site.ingress.stop(0.1)
    assert await client.is_closed()
    function.end()


async def an_ingress_process_that_ends_does_not_hold_up_the_function(site):
    client = await slow_client(site)
    await client.send(request())
    function = await site.invoker.began()
    writing = asyncio.create_task(function.write(*[PIECE] * MANY))
    await client.reply()
    site.ingress._child.kill()
    async with asyncio.timeout(PATIENCE_S):
        await writing
    function.end()
    desk = site.ingress._desk
    await until(lambda: len(desk._tasks) == len(desk._idle) and not desk._outgoing)
    await client.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_all_of_it_through_the_ingress_process(tmp_path):
    site = Site(tmp_path, is_apart=True, invoker=Streamer())
    await site.start()
    for check in (
        test_each_piece_arrives_before_the_function_makes_the_next,
        test_a_prelude_is_sent_before_there_is_a_body,
        test_an_error_in_the_middle_ends_the_connection_without_the_last_chunk,
        test_what_web_pages_are_told_comes_with_the_head,
        test_http_1_0_sees_what_breaks_off,
        test_a_head_alone_and_answers_without_body_leave_the_connection_in_step,
    ):
        client = await connect(site.address)
        site.invoker = site.service._invoker = Streamer()
        await check(site, client)
        await client.close()
    for check in (
        test_a_client_who_reads_slowly_holds_up_the_function_and_gets_everything,
        test_a_client_who_leaves_does_not_hold_up_the_function,
        test_a_client_who_leaves_before_the_answer_begins,
        test_many_clients_read_their_own,
        an_ingress_process_that_ends_does_not_hold_up_the_function,
    ):
        site.invoker = site.service._invoker = Streamer()
        await check(site)
    await site.stop()


class Nowhere:
    has_ended = False

    def send(self, message):
        pass


async def test_a_listener_cannot_take_what_was_not_sent():
    desk = UrlDesk(None)
    way = Nowhere()
    with pytest.raises(FrameError):
        desk.taken(UrlTaken(1, -1), way)
    desk.taken(UrlTaken(1, 1), way)  # of an answer that is over
    with pytest.raises(FrameError):
        desk.take(UrlCall(1, "", "", "", "", "", {}, "", bytes(7 << 20)), way)
