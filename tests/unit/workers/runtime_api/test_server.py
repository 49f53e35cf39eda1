"""The Runtime API as bytes on a socket: every answer of `functions-and-invocation.md` 8.1."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator

import pytest

from router.workers.extensions.calls import Extensions, Facts
from router.workers.runtime_api import answers
from router.workers.runtime_api.server import CONNECTIONS_MAX, RuntimeServer, listen

API = "/2018-06-01/runtime"
RESULT_BYTES_MAX = 6 * 1024 * 1024 + 100


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def on_ready(self) -> None:
        self.heard.append(("ready",))

    def on_registered(self) -> None:
        self.heard.append(("registered",))

    def on_settled(self) -> None:
        self.heard.append(("settled",))

    def telemetry_for_subscription(self) -> None:
        return None

    def on_init_error(self, error_type: str, document: bytes) -> None:
        self.heard.append(("init_error", error_type, document))

    def on_answer(self, error_type: str | None, payload: bytes) -> None:
        self.heard.append(("answer", error_type, payload))


class Client:
    """One connection, and what comes back on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, method: str, path: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
        if method == "POST" and not any("chunked" in line for line in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("Content-Length", 0)))
        return int(head[0].split()[1]), headers, body

    async def call(self, method: str, path: str, body: bytes = b"", *headers: str):
        self.send(method, path, body, *headers)
        status, _, answered = await self.answer()
        return status, answered

    async def is_closed(self) -> bool:
        async with asyncio.timeout(20):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


class Bed:
    def __init__(self) -> None:
        self.owner = Owner()
        listener = listen()
        self.port = listener.getsockname()[1]
        self.extensions = Extensions(self.owner, Facts("f", "7", "app.handler", "000000000000"))
        self.server = RuntimeServer(self.owner, listener, self.extensions)
        self.server.begin(os.getpid(), None)
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    def offer(self, request_id: str = "one", payload: bytes = b'{"a":1}', **header: object) -> None:
        facts = {"id": request_id, "arn": "arn:f", **header}
        self.server.session.offer(answers.event(facts, payload, int(time.time() * 1000) + 3000))

    async def until_ready(self) -> None:
        async with asyncio.timeout(20):
            while not self.server.session.is_ready:
                await asyncio.sleep(0.001)

    async def running(self, request_id: str = "one") -> Client:
        """A client that has the event."""
        client = await self.connect()
        client.send("GET", f"{API}/invocation/next")
        await self.until_ready()
        self.offer(request_id)
        assert (await client.answer())[0] == 200
        return client

    async def close(self) -> None:
        self.server.close()
        for client in self._clients:
            client.writer.close()


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    bed = Bed()
    yield bed
    await bed.close()


def error(error_type: str, text: str) -> bytes:
    return json.dumps(
        {"errorMessage": text, "errorType": error_type}, separators=(",", ":")
    ).encode()


OK = (202, b'{"status":"OK"}')
NOT_CURRENT = (400, error("InvalidRequestID", "Invalid request ID"))


async def test_an_event_and_its_headers(bed: Bed):
    client = await bed.connect()
    client.send("GET", f"{API}/invocation/next")
    await bed.until_ready()
    bed.offer(trace="Root=1-2", client='{"custom":\n{"é":1}}', tenant="")
    status, headers, body = await client.answer()
    assert (status, body) == (200, b'{"a":1}')
    assert headers.pop("Content-Length") == "7"
    assert int(headers.pop("Lambda-Runtime-Deadline-Ms")) > time.time() * 1000
    assert headers == {
        "Content-Type": "application/json",  # exactly: clients see bytes with a charset
        "Lambda-Runtime-Aws-Request-Id": "one",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:f",
        "Lambda-Runtime-Trace-Id": "Root=1-2",
        "Lambda-Runtime-Client-Context": '{"custom": {"é":1}}',
    }
    assert bed.owner.heard == [("ready",)]


async def test_next_again_gives_the_same_event_until_it_is_answered(bed: Bed):
    client = await bed.running()
    assert await client.call("GET", f"{API}/invocation/next") == (200, b'{"a":1}')
    other = await bed.connect()
    assert await other.call("GET", f"{API}/invocation/next") == (200, b'{"a":1}')
    assert await client.call("POST", f"{API}/invocation/one/response", b"[1]") == OK
    assert bed.owner.heard == [("ready",), ("answer", None, b"[1]")]


async def test_an_event_goes_to_one_of_two_that_wait_and_a_lost_one_is_given_again(bed: Bed):
    first, second = await bed.connect(), await bed.connect()
    for client in (first, second):
        client.send("GET", f"{API}/invocation/next")
        client.send("GET", "/2018-06-01/ping")  # behind it, on the same connection
    await asyncio.sleep(0.05)
    first.writer.transport.abort()
    await asyncio.sleep(0.05)
    bed.offer()
    assert (await second.answer())[2] == b'{"a":1}'
    assert (await second.answer())[2] == b"pong"


async def test_only_the_invocation_at_hand_is_answered_and_once(bed: Bed):
    client = await bed.running()
    path = f"{API}/invocation"
    for request_id in ("two", "ONE", "one%20"):
        assert await client.call("POST", f"{path}/{request_id}/response", b"1") == NOT_CURRENT
    assert await client.call("POST", f"{path}/one/error", b'{"errorType":"Odd"}') == OK
    status, body = await client.call("POST", f"{path}/one/response", b"2")
    assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")
    assert b"from RuntimeResponseSentState to InvocationResponse failed" in body
    client.send("GET", f"{path}/next")
    bed.offer("two")
    await client.answer()
    assert await client.call("POST", f"{path}/one/response", b"3") == NOT_CURRENT
    assert [item for item in bed.owner.heard if item[0] == "answer"] == [
        ("answer", "Odd", b'{"errorType":"Odd"}')
    ]


async def test_a_failed_start(bed: Bed):
    client = await bed.connect()
    header = "Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError"
    assert await client.call("POST", f"{API}/init/error", b'{"x":1}', header) == OK
    assert bed.owner.heard == [("init_error", "Runtime.ImportModuleError", b'{"x":1}')]
    for method, path in (("POST", "init/error"), ("GET", "invocation/next")):
        status, body = await client.call(method, f"{API}/{path}")
        assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")


async def test_a_start_does_not_fail_after_the_first_next(bed: Bed):
    client = await bed.running()
    status, body = await client.call("POST", f"{API}/init/error", b"{}")
    assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")


@pytest.mark.parametrize(
    ("header", "body", "shown"),
    [
        ("Function.Odd", b"{}", "Function.Odd"),
        ("my Runtime.BadThing here", b"{}", "Runtime.BadThing"),
        ("Function.lower", b"{}", "Function.Unknown"),
        ("unhandled", b'{"errorType":"X"}', "Runtime.Unknown"),
        ("", b'{"errorType":"ValueError"}', "ValueError"),
        ("", b'{"errorType":7}', "Runtime.Unknown"),
        ("", b"not JSON", "Runtime.Unknown"),
        ("", b"", "Runtime.Unknown"),
    ],
)
async def test_the_type_of_an_error(bed: Bed, header: str, body: bytes, shown: str):
    client = await bed.running()
    headers = (f"Lambda-Runtime-Function-Error-Type: {header}",) if header else ()
    assert await client.call("POST", f"{API}/invocation/one/error", body, *headers) == OK
    assert bed.owner.heard[-1] == ("answer", shown, body)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_result_of_six_megabytes_and_one_byte_more(bed: Bed, is_chunked: bool):
    for extra in (0, 1):
        client = await bed.running()
        body = b"x" * (RESULT_BYTES_MAX + extra)
        headers = ()
        if is_chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            headers = ("Transfer-Encoding: chunked",)
        status, answer = await client.call("POST", f"{API}/invocation/one/response", body, *headers)
        if not extra:
            assert (status, answer) == OK
            assert len(bed.owner.heard[-1][2]) == RESULT_BYTES_MAX
    text = "Exceeded maximum allowed payload size (6291556 bytes)."
    assert (status, answer) == (413, error("RequestEntityTooLarge", text))
    _, error_type, document = bed.owner.heard[-1]
    assert error_type == "Function.ResponseSizeTooLarge"
    assert json.loads(document)["errorMessage"].startswith("Response payload size exceeded")
    client.send("GET", f"{API}/invocation/next")  # it goes on
    bed.offer("two")
    assert (await client.answer())[0] == 200


async def test_a_streamed_result_and_one_that_fails_in_the_middle(bed: Bed):
    for failed in (False, True):
        client = await bed.running()
        client.send(
            "POST",
            f"{API}/invocation/one/response",
            b"5\r\nhello\r\n",
            "Transfer-Encoding: chunked",
            "Lambda-Runtime-Function-Response-Mode: streaming",
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        )
        await asyncio.sleep(0.02)
        document = base64.b64encode(b'{"errorType":"Function.Broken"}').decode()
        trailers = (
            "Lambda-Runtime-Function-Error-Type: Function.Broken\r\n"
            f"Lambda-Runtime-Function-Error-Body: {document}\r\n"
        )
        client.writer.write(b"1\r\n!\r\n0\r\n" + (trailers.encode() if failed else b"") + b"\r\n")
        assert (await client.answer())[0] == 202
    assert ("answer", None, b"hello!") in bed.owner.heard
    assert bed.owner.heard[-1] == ("answer", "Function.Broken", b'{"errorType":"Function.Broken"}')


async def test_an_unknown_mode_fails_the_invocation(bed: Bed):
    client = await bed.running()
    header = "Lambda-Runtime-Function-Response-Mode: buffered?"
    status, body = await client.call("POST", f"{API}/invocation/one/response", b"1", header)
    assert (status, body) == (
        400,
        error("InvalidFunctionResponseMode", "Invalid function response mode"),
    )
    assert bed.owner.heard[-1][:2] == ("answer", "Runtime.InvalidResponseModeHeader")


async def test_a_body_cut_short(bed: Bed):
    client = await bed.running()
    client.writer.write(
        f"POST {API}/invocation/one/response HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 10\r\n\r\n12345".encode()
    )
    await asyncio.sleep(0.02)
    client.writer.write_eof()
    status, _, body = await client.answer()
    assert (status, body) == (
        400,
        error("TruncatedHTTPRequest", "HTTP request detected as truncated"),
    )
    assert bed.owner.heard[-1][:2] == ("answer", "Runtime.TruncatedResponse")


async def test_a_connection_lost_in_the_middle_of_an_answer(bed: Bed):
    client = await bed.running()
    client.writer.write(
        f"POST {API}/invocation/one/response HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 10\r\n\r\n12345".encode()
    )
    await asyncio.sleep(0.05)
    client.writer.transport.abort()
    async with asyncio.timeout(20):
        while bed.owner.heard[-1][0] != "answer":
            await asyncio.sleep(0.01)
    assert bed.owner.heard[-1][:2] == ("answer", "Runtime.TruncatedResponse")


async def test_expect_100_continue(bed: Bed):
    client = await bed.running()
    client.writer.write(
        f"POST {API}/invocation/one/response HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(b"[]")
    assert (await client.answer())[0] == 202


async def test_a_header_of_a_megabyte(bed: Bed):
    """The cause for X-Ray of a RecursionError; more than fits in the head of most servers."""
    client = await bed.running()
    header = f"Lambda-Runtime-Function-XRay-Error-Cause: {'x' * 1024 * 1024}"
    assert await client.call("POST", f"{API}/invocation/one/error", b"{}", header) == OK


@pytest.mark.parametrize("body", [b'{"x":1}', b""])
async def test_an_offer_of_another_protocol_is_passed_over(bed: Bed, body: bytes):
    client = await bed.running()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    assert await client.call("POST", f"{API}/invocation/one/response", body, *upgrade) == OK
    assert bed.owner.heard[-1] == ("answer", None, body)
    assert await client.call("GET", "/2018-06-01/ping", b"", *upgrade) == (200, b"pong")


async def test_other_paths(bed: Bed):
    client = await bed.connect()
    assert await client.call("GET", "/2018-06-01/ping") == (200, b"pong")
    assert (await client.call("GET", f"{API}/restore/next"))[0] == 404
    assert (await client.call("POST", f"{API}/restore/error", b"{}"))[0] == 404
    assert (await client.call("GET", "/"))[0] == 404
    assert (await client.call("POST", f"{API}/invocation/next", b"{}"))[0] == 405
    assert (await client.call("GET", "/2018-06-01/ping", b"", "Connection: close"))[0] == 200
    assert await client.is_closed()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA B: c\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"x" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"A" * 2_000_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2_000_000,
    ],
)
async def test_garbage_closes_only_its_own_connection(bed: Bed, garbage: bytes):
    client = await bed.connect()
    client.writer.write(garbage)
    async with asyncio.timeout(20):
        try:
            answer = await client.reader.read()
        except ConnectionError:
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4",))
    assert (await bed.running()) is not None


async def test_connections_are_bounded_and_more_wait(bed: Bed):
    clients = [await bed.connect() for _ in range(CONNECTIONS_MAX)]
    for client in clients:
        assert await client.call("GET", "/2018-06-01/ping") == (200, b"pong")
    late = await bed.connect()
    late.send("GET", "/2018-06-01/ping")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await late.reader.readexactly(1)
    clients[0].writer.close()
    assert (await late.answer())[2] == b"pong"


async def test_requests_behind_one_that_waits_are_bounded(bed: Bed):
    client = await bed.connect()
    client.send("GET", f"{API}/invocation/next")
    for _ in range(100):
        client.send("GET", "/2018-06-01/ping")
    status, _, _ = await client.answer()
    assert status == 431
    assert await client.is_closed()
