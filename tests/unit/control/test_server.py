"""The listener's limits and deadlines, over real sockets."""

import asyncio
import contextlib

import msgspec
import pytest

from router.control import listener
from router.control.server import LIMITS, ControlServer
from tests.patience import PATIENCE_S


@pytest.fixture
async def make():
    servers = []

    async def start(connections_max=10, limits=None, **operations):
        bounds = {"linger_s": 0.2, "sweep_s": 0.02, **(limits or {})}
        control = ControlServer(
            region="us-east-1", account="000000000000", connections_max=connections_max,
            limits=msgspec.structs.replace(LIMITS, **bounds),
        )  # fmt: skip
        control.register("router", operations)
        await control.start("127.0.0.1", 0)
        servers.append(control)
        return control

    yield start
    for control in servers:
        await control.close()


async def echo(request):
    return request


async def talk(control, *parts, pause_s=0.0):
    """All that is answered, also where the other end is closed before all was said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
    heard = []

    async def listen():
        while data := await reader.read(65_536):
            heard.append(data)

    listening = asyncio.create_task(listen())
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(listening, PATIENCE_S)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return b"".join(heard)


def head(length, *more, operation="Echo"):
    lines = ["POST / HTTP/1.1", "Host: h", f"X-Amz-Target: Router.{operation}", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_body_too_long_is_refused_before_it_is_sent(make, monkeypatch):
    monkeypatch.setattr(listener, "BODY_BYTES_MAX", 100)
    control = await make(Echo=echo)
    answer = await talk(control, head(101))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Request must be smaller than 100 bytes for the Echo operation" in answer


async def test_a_body_without_a_length_is_counted_while_it_comes(make, monkeypatch):
    monkeypatch.setattr(listener, "BODY_BYTES_MAX", 100)
    control = await make(Echo=echo)
    chunk = b"40\r\n" + b" " * 64 + b"\r\n"
    answer = await talk(control, head(None, "Transfer-Encoding: chunked"), chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("size", "status"), [(100, b"200"), (101, b"413")])
async def test_a_body_that_came_with_its_head_is_counted_too(make, monkeypatch, size, status):
    monkeypatch.setattr(listener, "BODY_BYTES_MAX", 100)
    control = await make(Echo=echo)
    body = b"{}" + b" " * (size - 2)
    more = ("Transfer-Encoding: chunked", "Connection: close")
    whole = head(None, *more) + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    assert (await talk(control, whole)).startswith(b"HTTP/1.1 " + status)


async def test_a_body_that_trickles_is_given_up(make):
    control = await make(limits={"body_s": 0.3}, Echo=echo)
    answer = await talk(control, head(100), b"{", b" ", b" ", pause_s=0.15)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def hang_up(control, service, begun):
    """Call an operation and leave once it has begun."""
    _, writer = await asyncio.open_connection("127.0.0.1", control.port)
    writer.write(head(2).replace(b"Router.Echo", service) + b"{}")
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()


async def test_a_call_is_made_to_its_end_also_without_its_caller(make):
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(request):
        begun.set()
        await may_end.wait()
        ended.set()
        return request

    control = await make(Echo=work, Other=echo)
    await hang_up(control, b"Router.Echo", begun)
    assert b"200 OK" in await talk(control, head(2, "Connection: close", operation="Other") + b"{}")
    may_end.set()
    await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_a_call_without_its_caller_is_waited_for_at_close(make):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(request):
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()
        return request

    control = await make(Echo=work)
    await hang_up(control, b"Router.Echo", begun)
    await control.close()
    assert ended.is_set()


async def test_s1_while_it_drains_only_who_asks_how_the_router_is_has_an_answer(make):
    control = await make(Echo=echo)
    control.drain()
    answer = await talk(control, b"GET /2015-03-31/functions HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    lines = answer.lower().split(b"\r\n")
    assert b"retry-after: 1" in lines
    assert b"connection: close" in lines
    assert b"ServiceUnavailable" in answer
    assert b"200 OK" in await talk(control, head(2, "Connection: close") + b"{}")


async def test_who_hangs_up_in_the_middle_of_a_body_harms_nobody(make):
    control = await make(Echo=echo)
    _, writer = await asyncio.open_connection("127.0.0.1", control.port)
    writer.write(head(100) + b"{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until_served(control)


async def test_who_hangs_up_while_asking_for_messages_is_handed_none(make):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def receive(_request):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise

    control = await make()
    control.register("sqs", {"ReceiveMessage": receive})
    await hang_up(control, b"Sqs.ReceiveMessage", begun)
    await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_l3_one_connection_too_many_is_told_so_and_others_are_served(make):
    """Who only stays is closed by its deadline, so the places come back."""
    control = await make(3, Echo=echo)
    crowd = [await asyncio.open_connection("127.0.0.1", control.port) for _ in range(3)]
    assert (await talk(control)).startswith(b"HTTP/1.1 503 ")
    crowd[0][1].write(head(2) + b"{}")
    assert (await crowd[0][0].readline()) == b"HTTP/1.1 200 OK\r\n"
    for _, writer in crowd:
        writer.close()
    await until_served(control)
    control = await make(3, {"header_s": 0.6}, Echo=echo)
    crowd = [await asyncio.open_connection("127.0.0.1", control.port) for _ in range(3)]
    await until_served(control)
    for _, writer in crowd:
        writer.close()


async def until_served(control):
    async with asyncio.timeout(PATIENCE_S):
        while not (await talk(control, head(2, "Connection: close") + b"{}")).startswith(
            b"HTTP/1.1 200 "
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: h\r\n"])
async def test_a_connection_without_a_whole_head_is_closed(make, sent):
    control = await make(limits={"header_s": 0.3}, Echo=echo)
    assert (await talk(control, sent))[:13] == (b"HTTP/1.1 408 " if sent else b"")


async def test_a_head_too_long_is_refused(make, caplog):
    control = await make(Echo=echo)
    answer = await talk(control, head(2, "X-Long: " + "x" * 20_000), b"{}")
    assert b" 431 " in answer.partition(b"\r\n")[0]
    assert "xxx" not in caplog.text


async def test_clients_that_ask_before_sending_are_told_to_go_on(make):
    control = await make(Echo=echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
    writer.write(head(7, "Expect: 100-continue", "Connection: close"))
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"a":1}')
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"a":1}')


async def test_a_call_is_finished_though_its_caller_hangs_up(make):
    done = asyncio.Event()
    began = asyncio.Event()

    async def slow(request):
        began.set()
        await asyncio.sleep(0.2)
        done.set()
        return request

    control = await make(Slow=slow)
    reader, writer = await asyncio.open_connection("127.0.0.1", control.port)
    writer.write(head(2, operation="Slow") + b"{}")
    await began.wait()
    writer.close()
    await asyncio.wait_for(done.wait(), PATIENCE_S)
    assert reader.at_eof() or not await reader.read()


async def test_what_breaks_inside_is_not_told(make):
    async def broken(_request):
        raise ZeroDivisionError("secret detail")

    control = await make(Broken=broken)
    answer = await talk(control, head(2, "Connection: close", operation="Broken"), b"{}")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret detail" not in answer
    assert b"x-amzn-RequestId" in answer


async def test_a_port_that_is_taken(make):
    control = await make(Echo=echo)
    other = ControlServer(region="us-east-1", account="000000000000")
    with pytest.raises(OSError, match="in use"):
        await other.start("127.0.0.1", control.port)
