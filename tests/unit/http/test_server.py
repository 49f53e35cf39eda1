"""The HTTP server over real sockets, on asyncio's own loop and on uvloop."""

import asyncio
import time

import pytest

from router.http.connection import Connection
from router.http.values import Response
from tests.patience import PATIENCE_S
from tests.unit.http.client import connect, post

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"

# Ordinary requests.


async def test_a_request_and_its_answer(serve):
    running = await serve()
    reply = await running.exchange(post(b"hello", "/echo?a=1&b", X_Some="Thing"))
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.headers["content-length"] == "5"
    assert reply.headers["x-peer"] == "127.0.0.1"
    assert reply.headers["date"].endswith("GMT")
    head = running.handler.requests[0].head
    assert (head.method, head.path, head.query) == ("POST", "/echo", "a=1&b")
    assert head.headers == {"host": "test", "content-length": "5", "x-some": "Thing"}
    assert head.repeated is None


async def test_repeated_headers_are_joined_and_kept_apart(serve):
    running = await serve()
    data = b"POST / HTTP/1.1\r\nHost: t\r\nA: 1\r\nB: x\r\na: 2, 3\r\nA:\r\n\r\n"
    await running.exchange(data)
    head = running.handler.requests[0].head
    assert head.headers["a"] == "1,2, 3,"
    assert head.repeated == {"a": ["1", "2, 3", ""]}


async def test_one_connection_serves_many_requests(serve):
    running = await serve()
    client = await running.client()
    for number in range(20):
        await client.send(post(b"%d" % number))
        assert (await client.reply()).body == b"%d" % number
    assert running.server.connections == 1


async def test_a_request_that_comes_byte_by_byte(serve):
    running = await serve()
    client = await running.client()
    for byte in post(b"slow", X_Long="value"):
        await client.send(bytes([byte]))
    assert (await client.reply()).body == b"slow"
    assert running.handler.requests[0].head.headers["x-long"] == "value"


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"first", "/held") + post(b"second") + post(b"", "/absent"))
    await running.eventually(lambda: running.handler.requests)
    await client.send(post(b"last"))
    await asyncio.sleep(0.05)
    assert len(running.handler.requests) == 1
    running.handler.gate.set()
    bodies = [(await client.reply()).body for _ in range(4)]
    assert bodies == [b"first", b"second", b'{"message":"Not Found"}', b"last"]


async def test_pipelining_is_bounded(serve):
    running = await serve(pipelined_max=8)
    client = await running.client()
    await client.send(post(b"x", "/held") + post(b"y") * 100)
    await running.eventually(lambda: running.handler.requests)
    running.handler.gate.set()
    replies = [await client.reply() for _ in range(8)]
    assert [reply.headers.get("connection") for reply in replies] == [None] * 7 + ["close"]
    assert await client.is_closed()
    assert len(running.handler.requests) == 8


async def test_large_pipelined_bodies_wait_in_the_socket(serve):
    running = await serve()
    client = await running.client()
    body = b"b" * 400_000
    await client.send(post(b"first", "/held"))
    sending = asyncio.create_task(client.send(post(body) * 5))
    await running.eventually(lambda: running.handler.requests)
    await asyncio.sleep(0.05)
    assert running.server.memory.held_bytes < 300_000
    running.handler.gate.set()
    assert (await client.reply()).body == b"first"
    for _ in range(5):
        assert (await client.reply()).body == body
    await sending


async def test_chunked_bodies(serve):
    running = await serve()
    client = await running.client()
    await client.send(CHUNKED + b"5\r\nhello\r\n1;name=value\r\n \r\n")
    await client.send(b"5\r\nwor")
    await client.send(b"ld\r\n0\r\nTrailer: dropped\r\n\r\n" + post(b"next"))
    assert (await client.reply()).body == b"hello world"
    assert (await client.reply()).body == b"next"
    assert "trailer" not in running.handler.requests[0].head.headers


async def test_expect_100_continue(serve):
    running = await serve()
    client = await running.client()
    head, _, _ = post(b"12345", Expect="100-continue").rpartition(b"12345")
    await client.send(head)
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"12345")
    assert (await client.reply()).body == b"12345"
    await client.send(head + b"12345")  # did not wait: no interim answer
    assert (await client.reply()).status == 200


async def test_expect_100_continue_behind_another_request_waits_for_its_turn(serve):
    running = await serve()
    client = await running.client()
    head = post(b"12345", Expect="100-continue")[:-5]
    await client.send(post(b"first", "/held") + head)
    await running.eventually(lambda: running.handler.requests)
    running.handler.gate.set()
    assert (await client.reply()).body == b"first"
    assert (await client.reply()).status == 100
    await client.send(b"12345")
    assert (await client.reply()).body == b"12345"


async def test_refused_before_the_body_is_sent(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"x" * 10, "/absent", Expect="100-continue")[:-10])
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (404, "close")
    assert await client.is_closed()
    reply = await running.exchange(post(b"", Expect="200-maybe"))
    assert reply.status == 417


async def test_a_small_refused_body_that_came_along_keeps_the_connection(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"x" * 100, "/absent") + post(b"next"))
    assert (await client.reply()).status == 404
    assert (await client.reply()).body == b"next"


async def test_head_gets_no_body(serve):
    running = await serve()
    client = await running.client()
    await client.send(b"HEAD /echo HTTP/1.1\r\nHost: t\r\n\r\n" + post(b"next"))
    reply = await client.reply(has_body=False)
    assert (reply.status, reply.headers["content-length"]) == (200, "1")
    assert (await client.reply()).body == b"next"


async def test_http_1_0(serve):
    running = await serve()
    client = await running.client()
    await client.send(b"POST / HTTP/1.0\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na")
    reply = await client.reply()
    assert (reply.body, reply.headers["connection"]) == (b"a", "keep-alive")
    await client.send(b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nb")
    reply = await client.reply()
    assert (reply.body, reply.headers["connection"]) == (b"b", "close")
    assert await client.is_closed()


async def test_connection_close(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"a", Connection="close"))
    assert (await client.reply()).headers["connection"] == "close"
    assert await client.is_closed()


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_an_offered_upgrade_is_ignored(serve, framing):
    """Java's HTTP client offers h2c with every first request, body and all."""
    running = await serve()
    client = await running.client()
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    head = b"POST / HTTP/1.1\r\nHost: t\r\n" + offer
    parts = {
        "length": head + b"Content-Length: 3\r\n\r\nabc",
        "chunked": head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "none": head + b"\r\n",
    }
    await client.send(parts[framing] + post(b"next"))
    assert (await client.reply()).body == (b"-" if framing == "none" else b"abc")
    assert (await client.reply()).body == b"next"
    await client.send(parts[framing])
    assert (await client.reply()).body == (b"-" if framing == "none" else b"abc")
    assert running.handler.requests[0].head.headers["upgrade"] == "h2c"


async def test_a_client_that_half_closes_gets_its_answer(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"a", "/held"))
    await running.eventually(lambda: running.handler.requests)
    client.writer.write_eof()
    await asyncio.sleep(0.05)
    running.handler.gate.set()
    assert (await client.reply()).body == b"a"
    assert await client.is_closed()


async def test_a_client_that_leaves_does_not_stop_its_request(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"a", "/held"))
    await running.eventually(lambda: running.handler.requests)
    client.reset()
    await running.eventually(lambda: running.server.connections == 0)
    assert running.server.memory.held_bytes > 0
    running.handler.gate.set()
    await running.eventually(lambda: running.server.memory.held_bytes == 0)


async def test_a_bug_of_the_handler_is_a_500_and_nothing_else(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"a", "/broken"))
    assert (await client.reply()).status == 500
    await client.send(post(b"b"))
    assert (await client.reply()).body == b"b"
    await client.send(post(b"c", "/broken-head"))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (500, "close")
    assert running.reasons == ["internal_error", "internal_error"]


async def test_the_absolute_form_of_a_target(serve):
    running = await serve()
    await running.exchange(post(b"", "http://proxy.example/a/b?c=1"))
    await running.exchange(post(b"", "HTTP://proxy.example"))
    paths = [(request.head.path, request.head.query) for request in running.handler.requests]
    assert paths == [("/a/b", "c=1"), ("/", "")]


async def test_a_slash_in_the_query_of_an_absolute_target_begins_no_path(serve):
    """Whoever checks paths in front of the router sees `/` here, and so must the router."""
    running = await serve()
    await running.exchange(post(b"", "http://proxy.example?c=/hooks/secret"))
    (request,) = running.handler.requests
    assert (request.head.path, request.head.query) == ("/", "c=/hooks/secret")


async def test_space_around_a_value_is_no_part_of_it(serve):
    """RFC 9110, 5.5; else a signature with a space after it would match nothing."""
    running = await serve()
    lines = b"Content-Length: 5 \r\nA: \t1 2\t \r\na: 3 \r\nEmpty:  \r\n\r\nhello"
    reply = await running.exchange(b"POST / HTTP/1.1\r\nHost: t \r\n" + lines)
    assert reply.body == b"hello"
    headers = running.handler.requests[0].head.headers
    assert headers == {"host": "t", "content-length": "5", "a": "1 2,3", "empty": ""}


# Hostile input.

MALFORMED = {
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two equal lengths": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "signed length": b"Content-Length: +5\r\n\r\nhello",
    "negative length": b"Content-Length: -5\r\n\r\nhello",
    "hexadecimal length": b"Content-Length: 0x5\r\n\r\nhello",
    "length of endless zeros": b"Content-Length: " + b"0" * 5_000 + b"5\r\n\r\nhello",
    "endless length": b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello",
    "space before colon": b"Content-Length : 5\r\n\r\nhello",
    "folded header": b"A: b\r\n c\r\n\r\n",
    "bare line feeds": b"A: b\nContent-Length: 5\n\nhello",
    "nul in a value": b"A: b\0c\r\n\r\n",
    "carriage return in a value": b"A: b\rc\r\n\r\n",
    "two hosts": b"Host: other\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "endless chunk size": b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 17 + b"\r\nabc",
    "chunk without its end": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "chunk size and bare line feed": b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    "length in a trailer": b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_get_400_and_no_second_chance(serve, name):
    """Nothing after a request whose end is in doubt may be taken for another request."""
    running = await serve()
    client = await running.client()
    start = b"" if name == "not http" else b"POST /echo HTTP/1.1\r\nHost: test\r\n"
    await client.send(start + MALFORMED[name] + post(b"smuggled"))
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert await client.is_closed()
    assert not any(request.body == b"smuggled" for request in running.handler.requests)
    assert "malformed" in running.reasons + running.handler.refused


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST * HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"POST ftp://h/ HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"GET /echo\r\n\r\n", 505),
        (b"POST / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\n\r\nhello", 501),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\nhello", 501),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
)
async def test_requests_that_are_not_for_this_server(serve, data, status):
    running = await serve()
    assert (await running.exchange(data)).status == status
    assert running.handler.requests == []


async def test_too_many_headers(serve):
    running = await serve()
    lines = b"".join(b"h%d: v\r\n" % number for number in range(200))
    reply = await running.exchange(b"POST / HTTP/1.1\r\nHost: t\r\n" + lines + b"\r\n")
    assert reply.status == 431
    assert running.reasons == ["head_too_large"]


@pytest.mark.parametrize("repeat", [1, 1_100])
async def test_headers_too_large_even_at_once(serve, repeat):
    running = await serve()
    lines = b"same: %b\r\n" % (b"v" * (17_000 // repeat)) * repeat
    reply = await running.exchange(b"POST / HTTP/1.1\r\nHost: t\r\n" + lines + b"\r\n")
    assert reply.status == 431
    assert running.handler.requests == []


async def test_headers_just_small_enough(serve):
    running = await serve()
    line = b"large: %b\r\n" % (b"v" * 16_000)
    reply = await running.exchange(b"POST / HTTP/1.1\r\nHost: t\r\n" + line + b"\r\n")
    assert reply.status == 200


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: t\r\n", b"a: b\r\n" * 100, 431),
        (b"POST / HTTP/1.1\r\nHost: t\r\nendless: ", b"v" * 1_000, 431),
        (b"POST / HTTP/1.1\r\nHost: t\r\n", b"n" * 1_000, 431),
        (b"POST /", b"p" * 1_000, 414),
        (b"", b"\r\n" * 500, 431),
        (CHUNKED + b"3;x=", b"e" * 1_000, 400),
        (CHUNKED + b"3\r\nabc\r\n0\r\ntrailer: ", b"t" * 1_000, 400),
    ],
)
async def test_endless_streams_are_cut_early(serve, start, piece, status):
    """The parser holds back what it has not finished, so the bound must be on what is fed."""
    running = await serve()
    client = await running.client()
    await client.send(start)
    sent = 0
    while sent < 1_000_000 and not client.reader._buffer:
        await client.send(piece)
        await asyncio.sleep(0)
        sent += len(piece)
    assert (await client.reply()).status == status
    assert sent < 200_000
    assert running.handler.requests == []


async def test_url_too_long(serve):
    running = await serve()
    assert (await running.exchange(post(b"", "/" + "p" * 9_000))).status == 414


async def test_a_body_declared_too_large_is_refused_before_it_comes(serve):
    running = await serve()
    head = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1048577\r\n\r\n"
    assert (await running.exchange(head)).status == 413
    assert running.handler.refused == ["body_too_large"]


async def test_a_chunked_body_is_cut_when_it_grows_too_large(serve):
    running = await serve()
    running.handler.body_bytes_max = 100_000
    client = await running.client()
    await client.send(CHUNKED)
    chunk = b"2710\r\n" + b"c" * 10_000 + b"\r\n"
    for _ in range(11):
        await client.send(chunk)
    assert (await client.reply()).status == 413
    assert running.server.memory.held_bytes == 0
    assert running.handler.requests == []


async def test_a_sender_still_sending_gets_to_read_its_refusal(serve):
    """A reset would take the answer away; the rest is read and dropped for a while."""
    running = await serve()
    client = await running.client()
    await client.send(b"POST /absent HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n")
    await client.send(b"x" * 5_000_000)
    assert (await client.reply()).status == 404
    assert await client.is_closed()


async def test_who_never_stops_sending_is_cut_off(serve):
    running = await serve(linger_s=0.2)
    client = await running.client()
    await client.send(b"POST /absent HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n")
    with pytest.raises(ConnectionError):  # noqa: PT012 -- sending is the point
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await client.send(b"x" * 10_000)
                await asyncio.sleep(0.01)


async def test_memory_is_bounded_for_all_requests_together(serve):
    running = await serve(buffered_bytes_max=90_000)
    holders = [await running.client() for _ in range(3)]
    for client in holders:
        await client.send(post(b"h" * 20_000, "/held"))
    await running.eventually(lambda: len(running.handler.requests) == 3)
    reply = await running.exchange(post(b"h" * 30_000))
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    client = await running.client()
    await client.send(CHUNKED + b"4E20\r\n" + b"c" * 20_000 + b"\r\n4E20\r\n" + b"c" * 20_000)
    assert (await client.reply()).status == 503
    assert running.handler.refused == ["memory", "memory"]
    running.handler.gate.set()
    for client in holders:
        assert (await client.reply()).status == 200
    assert (await running.exchange(post(b"h" * 30_000))).status == 200


# Slow clients.


async def test_silence_is_closed_by_the_header_deadline(serve):
    running = await serve(header_s=0.2)
    started = time.monotonic()
    client = await running.client()
    assert await client.is_closed()
    assert time.monotonic() - started > 0.15


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"POST / HTTP/1.1\r\nHost: t\r\nslow: ", "head_late"),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n", "body_late"),
        (CHUNKED + b"FFFF\r\n", "body_late"),
    ],
)
async def test_a_trickle_does_not_extend_a_deadline(serve, start, reason):
    running = await serve(header_s=0.3, body_s=0.3)
    started = time.monotonic()
    client = await running.client()
    await client.send(start)
    while not client.reader._buffer and time.monotonic() - started < PATIENCE_S:
        await client.send(b"x")
        await asyncio.sleep(0.02)
    assert time.monotonic() - started > 0.2
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (408, "close")
    assert running.reasons + running.handler.refused == [reason]


async def test_half_a_body_and_gone(serve):
    running = await serve()
    client = await running.client()
    await client.send(post(b"x" * 1_000)[:-500])
    await running.eventually(lambda: running.server.memory.held_bytes > 0)
    await client.close()
    await running.eventually(lambda: running.server.connections == 0)
    assert running.server.memory.held_bytes == 0
    assert running.handler.requests == []


async def test_idle_connections_are_closed_without_a_word(serve):
    running = await serve(idle_s=0.2)
    started = time.monotonic()
    client = await running.client()
    await client.send(post(b"a"))
    await client.reply()
    assert await client.is_closed()
    assert time.monotonic() - started > 0.15
    assert running.reasons == []


async def test_a_late_handler_is_answered_for(serve):
    running = await serve(handler_s=0.1)
    client = await running.client()
    await client.send(post(b"a", "/held"))
    reply = await client.reply()
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert await client.is_closed()
    assert running.reasons == ["handler_late"]


async def test_a_client_that_never_reads_is_dropped(serve):
    running = await serve(body_s=0.3, idle_s=5)
    client = await running.client()
    client.writer.transport.pause_reading()
    request = post(b"r" * 500_000)
    with pytest.raises((ConnectionError, TimeoutError)):  # noqa: PT012 -- sending is the point
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await client.send(request)
    await running.eventually(lambda: running.server.connections == 0)
    assert len(running.handler.requests) < 40


async def test_slow_clients_do_not_slow_the_others(serve):
    running = await serve()
    slow = [await running.client() for _ in range(600)]
    for number, client in enumerate(slow):
        if number % 3:
            await client.send(b"POST / HTTP/1.1\r\nHost: t\r\n" if number % 2 else CHUNKED)
    await running.eventually(lambda: running.server.connections == 600)
    client = await running.client()
    worst_s = 0.0
    for _ in range(200):
        started = time.monotonic()
        await client.send(post(b"quick"))
        assert (await client.reply()).body == b"quick"
        worst_s = max(worst_s, time.monotonic() - started)
    assert worst_s < 20


async def test_connections_are_bounded_in_all(serve):
    running = await serve(connections_max=3)
    kept = [await running.client() for _ in range(3)]
    await running.eventually(lambda: running.server.connections == 3)
    reply = await (await running.client()).reply()
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    await running.eventually(lambda: running.server.connections == 3)
    await kept[0].close()
    await running.eventually(lambda: running.server.connections == 2)
    assert (await running.exchange(post(b"a"))).status == 200
    assert running.reasons == ["connections"]


async def test_halves_of_requests_give_way_before_memory_is_full(serve):
    """Else whoever can send halves keeps all others out for as long as a body may take."""
    running = await serve(buffered_bytes_max=100_000, headway_s=0.2)
    held = await running.client()
    await held.send(post(b"h" * 10_000, "/held"))
    await running.eventually(lambda: len(running.handler.requests) == 1)
    halves = []
    for _ in range(7):
        halves.append(await running.client())
        await halves[-1].send(post(b"x" * 10_000, "/")[:-1])
        await asyncio.sleep(0.01)
    # Over 80,000 bytes the oldest go, no more than are in the way; what is with the handler stays.
    await running.eventually(lambda: running.handler.refused)
    await running.eventually(lambda: running.server.memory.held_bytes <= 75_000)
    for client in halves[:2]:
        reply = await client.reply()
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    await halves[-1].send(b"x")
    assert (await halves[-1].reply()).status == 200
    running.handler.gate.set()
    assert (await held.reply()).status == 200
    assert set(running.handler.refused) == {"gave_way"}


async def test_whoever_only_stays_gives_way_before_there_are_too_many(serve):
    running = await serve(connections_max=40, headway_s=0.3)
    busy = await running.client()
    await busy.send(post(b"a", "/held"))
    first = [await running.client() for _ in range(20)]
    await first[0].send(b"POST / HTTP/1.1\r\nHost: t\r\n")
    await asyncio.sleep(0.1)
    later = [await running.client() for _ in range(9)]
    await running.eventually(lambda: running.server.connections == 30)
    await asyncio.sleep(0.4)
    assert running.server.connections == 30  # three quarters: nobody is in the way
    await running.client()
    await running.eventually(lambda: running.server.connections == 20)
    for client in later:  # the longest there went first
        await client.send(post(b"a"))
        assert (await client.reply()).status == 200
    running.handler.gate.set()
    assert (await busy.reply()).status == 200
    assert running.reasons == ["gave_way"] * 11


async def test_what_came_while_the_process_was_stopped_is_not_late(serve):
    running = await serve(header_s=2, body_s=2, idle_s=2)
    halves = [await running.client() for _ in range(3)]
    await halves[0].send(post(b"abc"))
    await halves[0].reply()
    await halves[1].send(post(b"abc")[:10])
    await halves[2].send(post(b"abc")[:-1])
    await running.eventually(lambda: running.server.connections == 3)
    await asyncio.sleep(0.1)
    for client, data in zip(halves, (post(b"abc"), post(b"abc")[10:], b"c"), strict=True):
        client.writer.write(data)
    time.sleep(2.5)
    for client in halves:
        assert (await client.reply()).status == 200
    assert running.reasons + running.handler.refused == []


async def test_connections_are_bounded_per_address(serve):
    running = await serve(connections_per_address_max=2)
    for _ in range(2):
        await running.client()
    await running.eventually(lambda: running.server.connections == 2)
    assert (await (await running.client()).reply()).status == 503
    assert running.reasons == ["connections_per_address"]


# The end.


async def test_stop_finishes_what_has_begun(serve):
    """S1: running requests finish, idle connections close, nobody new gets in."""
    running = await serve()
    idle, busy, sending = [await running.client() for _ in range(3)]
    await idle.send(post(b"a"))
    await idle.reply()
    await busy.send(post(b"busy", "/held"))
    await sending.send(post(b"sending")[:-3])
    await running.eventually(lambda: len(running.handler.requests) == 2)
    stopping = asyncio.create_task(running.server.stop(PATIENCE_S))
    assert await idle.is_closed()
    await sending.send(b"ing")
    assert (await sending.reply()).headers["connection"] == "close"
    running.handler.gate.set()
    reply = await busy.reply()
    assert (reply.body, reply.headers["connection"]) == (b"busy", "close")
    await stopping
    with pytest.raises(OSError):
        await connect(running.address)


async def test_stop_does_not_wait_for_ever(serve):
    """S2: at the deadline everything ends."""
    running = await serve()
    client = await running.client()
    await client.send(post(b"a", "/held"))
    await running.eventually(lambda: running.handler.requests)
    started = time.monotonic()
    await running.server.stop(0.1)
    assert time.monotonic() - started < PATIENCE_S / 2
    assert running.server.connections == 0
    assert await client.is_closed()


class Wire:
    """The least a connection needs of a transport."""

    def __init__(self):
        self.written = b""

    def get_extra_info(self, _name):
        return ("127.0.0.1", 1)

    def is_closing(self):
        return False

    def write(self, data):
        self.written += data

    def close(self):
        self.written += b"closed"


async def test_a_deadline_in_the_turn_a_request_came_in_does_not_lose_it(serve):
    server = (await serve()).server
    connection, wire = Connection(server), Wire()
    connection.connection_made(wire)
    connection.data_received(post(b"hello", "/echo"))
    connection.on_deadline()
    async with asyncio.timeout(PATIENCE_S):
        while not wire.written:
            await asyncio.sleep(0)
    assert wire.written.startswith(b"HTTP/1.1 200 OK")
    connection.connection_lost(None)


async def test_an_answer_that_cannot_be_written_is_no_matter_of_others(serve, monkeypatch):
    running = await serve()
    clients = [await running.client() for _ in range(3)]

    def answer(request):
        is_bad = request.head.path == "/bad"
        return Response(200, b"-", (("x", "a\r\nb"),) if is_bad else ())

    monkeypatch.setattr(running.handler, "on_request", answer)
    # All are read in one turn, and begun together.
    for client, path in zip(clients, (b"/", b"/bad", b"/"), strict=True):
        client.writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
    replies = [await clients[index].reply() for index in (0, 2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert await clients[1].is_closed()


# Large bodies, and who hangs up.


def large(path="/held", size=100):
    return f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode()


async def hold_place(running, client):
    """Until the gate is opened."""
    await client.send(large())
    await running.eventually(lambda: not running.server.places.is_free)
    await client.send(b"a" * 100)
    await running.eventually(lambda: running.handler.requests)


async def test_a_large_body_waits_for_a_place_and_small_ones_do_not(serve):
    """Nobody's deadline runs while it waits."""
    running = await serve(large_bytes=50, large_max=1, body_s=0.5)
    first, second, third = [await running.client() for _ in range(3)]
    await hold_place(running, first)
    await second.send(large("/echo"))
    await third.send(post(b"small"))
    assert (await third.reply()).body == b"small"
    await asyncio.sleep(1)  # twice its deadline
    await second.send(b"b" * 100)
    assert [request.body for request in running.handler.requests] == [b"a" * 100, b"small"]
    running.handler.gate.set()
    assert (await first.reply()).body == b"a" * 100
    assert (await second.reply()).body == b"b" * 100


async def test_who_waits_for_a_place_is_told_to_go_on_when_there_is_one(serve):
    running = await serve(large_bytes=50, large_max=1)
    first, second = await running.client(), await running.client()
    await hold_place(running, first)
    expecting = large("/echo").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    await second.send(expecting)
    running.handler.gate.set()
    await first.reply()
    async with asyncio.timeout(PATIENCE_S):
        assert await second.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await second.send(b"b" * 100)
    assert (await second.reply()).body == b"b" * 100


@pytest.mark.parametrize("leaves", ["with a place", "waiting"])
async def test_who_hangs_up_leaves_its_place_to_the_next(serve, leaves):
    running = await serve(large_bytes=50, large_max=1)
    first, second, third = [await running.client() for _ in range(3)]
    await first.send(large("/echo") + b"a")
    await running.eventually(lambda: not running.server.places.is_free)
    await second.send(large("/echo"))
    await running.eventually(lambda: running.server.places.waiting == 1)
    await third.send(large("/echo"))
    await running.eventually(lambda: running.server.places.waiting == 2)
    gone, other = (first, second) if leaves == "with a place" else (second, first)
    await gone.close()
    await other.send(b"b" * (99 if other is first else 100))
    assert (await other.reply()).status == 200
    await third.send(b"c" * 100)
    assert (await third.reply()).body == b"c" * 100
    assert running.server.places.is_free


async def test_a_large_body_in_pieces_needs_a_place_too(serve):
    """How long it will be nobody knows."""
    running = await serve(large_bytes=50, large_max=1)
    first, second = await running.client(), await running.client()
    await hold_place(running, first)
    await second.send(CHUNKED)
    await running.eventually(lambda: running.server.places.waiting == 1)
    running.handler.gate.set()
    await first.reply()
    await second.send(b"2\r\nhi\r\n0\r\n\r\n")
    assert (await second.reply()).body == b"hi"


@pytest.mark.parametrize("how", ["closes", "sends no more"])
async def test_an_answer_for_nobody_else_ends_with_its_client(serve, how):
    running = await serve()
    running.handler.ends_with_client = True
    client = await running.client()
    await client.send(post(b"", "/held"))
    await running.eventually(lambda: running.handler.requests)
    if how == "closes":
        await client.close()
    else:
        client.writer.write_eof()
    await running.eventually(lambda: running.handler.cancelled == 1)
    await running.eventually(lambda: running.server.connections == 0)


async def test_who_is_sent_an_answer_that_cannot_be_sent_does_not_wait_for_it(serve):
    running = await serve(handler_s=float("inf"))
    client = await running.client()
    await client.send(post(b"", "/two-lines"))
    assert await client.is_closed()
    await running.eventually(lambda: running.server.connections == 0)
    assert (await running.exchange(post(b"next"))).body == b"next"
