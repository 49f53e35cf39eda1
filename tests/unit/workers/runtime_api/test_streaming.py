"""Responses that are passed on while a program makes them (section 16, lines 6 and 13)."""

import asyncio
import json

import pytest

from router.dispatch.response_stream import WAITING_BYTES_MAX, ResponseStream
from router.model.limits import MIB
from router.workers.runtime_api import answers, reader
from tests.patience import PATIENCE_S
from tests.unit.workers.conftest import Bed
from tests.unit.workers.runtime_api.test_bootstraps import program

pytestmark = pytest.mark.slow

STREAMING = """
def stream(id, pieces, trailers=(), mode="streaming", kind="application/octet-stream"):
    host, port = API.split(":")
    wire = socket.create_connection((host, int(port)))
    head = [
        "POST " + PATH + "invocation/" + id + "/response HTTP/1.1", "Host: " + API,
        "Content-Type: " + kind, "Transfer-Encoding: chunked",
        "Lambda-Runtime-Function-Response-Mode: " + mode,
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    ]
    wire.sendall(("\\r\\n".join(head) + "\\r\\n\\r\\n").encode())
    for piece in pieces:
        wire.sendall(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
    ends = "".join(name + ": " + text + "\\r\\n" for name, text in trailers)
    wire.sendall(b"0\\r\\n" + ends.encode() + b"\\r\\n")
    return wire.makefile("rb").readline()

"""


def streams(bed: Bed, body: str, **fields: object):
    return program(bed, STREAMING + body, **fields)


async def run(bed: Bed, function, event=b"{}"):
    """The stream, and the task that ends with the invocation."""
    stream = ResponseStream()
    task = asyncio.create_task(bed.invoke(function, event, sink=stream))
    task.add_done_callback(lambda _: stream.end())
    return stream, task


async def read(stream):
    async with asyncio.timeout(PATIENCE_S):
        return b"".join([chunk async for chunk in stream.chunks()])


async def test_pieces_arrive_while_the_function_still_runs(bed: Bed):
    function = streams(bed, """
while True:
    id, event = take()
    def pieces():
        yield b"first "
        while not os.path.exists("/tmp/go"):
            time.sleep(0.01)
        yield b"second"
    stream(id, pieces(), kind="text/html")
""")  # fmt: skip
    stream, task = await run(bed, function)
    async with asyncio.timeout(PATIENCE_S):
        assert await stream.begun()
        assert stream.content_type == "text/html"
        chunks = stream.chunks()
        assert await anext(chunks) == b"first "
        assert not task.done()
        (env,) = bed.pool._living
        with open(f"{env.tmp_path}/go", "w"):
            pass
        assert b"".join([chunk async for chunk in chunks]) == b"second"
        reply = await task
    assert (reply.error_type, reply.payload) == (None, b"")


async def test_an_error_in_the_middle_arrives_whole(bed: Bed):
    function = streams(bed, """
import base64
while True:
    id, event = take()
    body = base64.b64encode(json.dumps({"errorMessage": "x" * 10000}).encode()).decode()
    stream(id, [b"half"], [
        ("Lambda-Runtime-Function-Error-Type", "Runtime.StreamError"),
        ("Lambda-Runtime-Function-Error-Body", body),
    ])
""")  # fmt: skip
    stream, task = await run(bed, function)
    assert await read(stream) == b"half"
    reply = await task
    assert reply.error_type == "Runtime.StreamError"
    assert json.loads(reply.payload) == {"errorMessage": "x" * 10_000}


@pytest.mark.parametrize(
    ("end", "error_type"),
    [("os._exit(3)", "Runtime.ExitError"), ("time.sleep(60)", "Sandbox.Timedout")],
)
async def test_a_function_that_ends_in_the_middle(bed: Bed, end: str, error_type: str):
    function = streams(bed, f"""
id, event = take()
def pieces():
    yield b"half"
    time.sleep(1)  # until what was sent is read
    {end}
stream(id, pieces())
""", timeout_ms=3_000)  # fmt: skip
    stream, task = await run(bed, function)
    assert await read(stream) == b"half"
    assert (await task).error_type == error_type


async def test_a_caller_who_reads_slowly_holds_up_the_function(bed: Bed):
    size = 40 * MIB
    function = streams(bed, f"""
while True:
    id, event = take()
    stream(id, (b"x" * 100000 for _ in range({size} // 100000)))
""", timeout_ms=60_000)  # fmt: skip
    stream, task = await run(bed, function)
    assert await stream.begun()
    held = 0
    for _ in range(20):
        await asyncio.sleep(0.02)
        held = max(held, stream._waiting_bytes)
    assert not task.done()
    # What one read of the socket brought may come on top.
    assert held <= WAITING_BYTES_MAX + MIB
    assert len(await read(stream)) == size // 100_000 * 100_000
    assert (await task).error_type is None


async def test_a_caller_who_leaves_does_not_stop_the_function(bed: Bed):
    function = streams(bed, """
while True:
    id, event = take()
    stream(id, (b"x" * 100000 for _ in range(100)))
    open("/tmp/done", "w").close()
""")  # fmt: skip
    stream, task = await run(bed, function)
    assert await stream.begun()
    stream.close()
    async with asyncio.timeout(PATIENCE_S):
        assert (await task).error_type is None


async def test_who_does_not_say_so_does_not_stream(bed: Bed):
    function = streams(bed, """
while True:
    id, event = take()
    stream(id, [b'"wh', b'ole"'], mode=event["mode"], kind=event["kind"])
""")  # fmt: skip
    stream, task = await run(bed, function, b'{"mode": "", "kind": "application/json"}')
    async with asyncio.timeout(PATIENCE_S):
        assert not await stream.begun()
    assert (await task).payload == b'"whole"'
    # Chunks of what is no JSON: so AWS's client for Go streams.
    stream, task = await run(bed, function, b'{"mode": "", "kind": "application/octet-stream"}')
    assert await read(stream) == b'"whole"'
    assert (await task).payload == b""
    # And whoever wants no stream gets the whole of one.
    event = b'{"mode": "streaming", "kind": "text/plain"}'
    assert (await bed.invoke(function, event)).payload == b'"whole"'


async def test_more_than_a_stream_may_be(bed: Bed, monkeypatch):
    monkeypatch.setattr(answers, "STREAM_BYTES_MAX", 250_000)
    monkeypatch.setattr(reader.Wish.PASS_ON, "_value_", 250_000)
    function = streams(bed, """
while True:
    id, event = take()
    print(stream(id, (b"x" * 100000 for _ in range(4))))
""")  # fmt: skip
    stream, task = await run(bed, function)
    assert len(await read(stream)) <= 250_000
    reply = await task
    assert reply.error_type == "Function.ResponseSizeTooLarge"
    assert "(250000 bytes)" in json.loads(reply.payload)["errorMessage"]
