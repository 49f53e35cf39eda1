"""The output pipe of an environment: order, tail, caps."""

import asyncio
import json
import os
import time

import pytest
import uvloop

from router.model.function import InvokeReply
from router.telemetry.metrics import REGISTRY
from router.workers import logs as logs_module
from router.workers import output
from router.workers.log_files import LogStream, read_log
from router.workers.logs import LogWriter
from router.workers.output import Output, Silent
from router.workers.platform_lines import Ending
from router.workers.pool import PoolSettings
from tests.unit.workers.conftest import Bed


async def texts(tmp_path, writer):
    await writer.close()
    return [entry.text for entry in read_log(tmp_path, "f", 100_000)]


async def test_a_silent_invocation_is_three_lines(tmp_path):
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    assert out.end(("END", "REPORT")) == b"START\nEND\nREPORT\n"
    os.close(out.write_fd)
    out.close()
    assert await texts(tmp_path, writer) == ["START", "END", "REPORT"]


async def test_output_stands_between_start_and_end(tmp_path):
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    os.write(out.write_fd, b"one\ntwo \xff\nno newline")
    assert out.end(("END",)) == "START\none\ntwo \ufffd\nno newline\nEND\n".encode()
    out.begin("START 2")
    assert out.end(("END 2",)) == b"START 2\nEND 2\n"
    os.close(out.write_fd)
    out.close()
    assert len(await texts(tmp_path, writer)) == 7


async def test_what_a_process_wrote_last_is_kept_whoever_sees_the_end_of_its_pipe(tmp_path):
    """The loop may come to the end before it is asked for the last lines."""
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    os.write(out.write_fd, b"whole\nlast words")
    os.close(out.write_fd)
    while out._is_open:
        out._on_readable()
    assert out.end(("END",)) == b"START\nwhole\nlast words\nEND\n"
    out.close()
    assert await texts(tmp_path, writer) == ["START", "whole", "last words", "END"]


async def test_the_tail_is_the_last_four_kilobytes(tmp_path):
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    for number in range(100):
        os.write(out.write_fd, f"{number:099d}\n".encode())
    tail = out.end(("END",))
    assert len(tail) == 4096
    assert tail.endswith(b"99\nEND\n")
    os.close(out.write_fd)
    out.close()
    await writer.close()


async def test_a_line_without_end_is_cut_into_events(tmp_path):
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    for _ in range(20):
        os.write(out.write_fd, b"z" * 32_768)
        await asyncio.sleep(0)
        out._on_readable()
    out.end(("END",))
    os.close(out.write_fd)
    out.close()
    lines = await texts(tmp_path, writer)
    assert sum(len(line) for line in lines if line.startswith("z")) == 20 * 32_768
    assert max(map(len, lines)) < output.LINE_BYTES_MAX + output.READ_BYTES


async def test_over_the_rate_output_is_counted_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "BURST_BYTES", 1_000)
    monkeypatch.setattr(output, "RATE_BYTES_PER_S", 0)
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    out.begin("START")
    os.write(out.write_fd, b"a" * 899 + b"\n")
    out.drain()
    os.write(out.write_fd, b"b" * 899 + b"\n")
    tail = out.end(("END",))
    assert b"[router] 900 bytes of output dropped\nEND\n" in tail
    assert b"bbb" not in tail
    os.close(out.write_fd)
    out.close()
    await writer.close()


def ending(number: int) -> Ending:
    return Ending(f"id-{number}", 128, 1.234, 20, None, None)


LAST = b"END RequestId: id-%d\nREPORT RequestId: id-%d\tDuration: 1.23 ms\tBilled Duration: 2 ms\t"


async def test_a_silent_invocation_is_put_into_words_when_somebody_asks(tmp_path):
    writer = LogWriter(tmp_path)
    out = Output(LogStream("f", "s"), writer)
    logs = []
    for number in range(3):
        out.begin(f"START {number}")
        logs.append(out.finish(ending(number), is_read=True))
    writer.append(out.stream, [(time.time_ns() // 1_000_000, "between")], 8)
    out.begin("START 3")
    os.write(out.write_fd, b"printed")
    logs.append(out.finish(ending(3), is_read=False))
    os.close(out.write_fd)
    out.close()
    for number, log in enumerate(logs[:3]):
        assert isinstance(log, Silent)
        assert InvokeReply(payload=b"", log=log).log_tail == log.tail()
        assert log.tail().startswith(b"START %d\n" % number + LAST % (number, number))
    assert isinstance(logs[3], bytes)
    assert logs[3].startswith(b"START 3\nprinted\n" + LAST % (3, 3))
    assert InvokeReply(payload=b"", log=logs[3]).log_tail == logs[3]
    words = [text.split(" RequestId")[0] for text in await texts(tmp_path, writer)]
    silent = [word for number in range(3) for word in (f"START {number}", "END", "REPORT")]
    assert words == [*silent, "between", "START 3", "printed", "END", "REPORT"]


async def test_silent_invocations_that_find_no_room_are_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(logs_module, "WAITING_BYTES_MAX", 1_000)
    writer = LogWriter(tmp_path)
    out = Output(LogStream("silent", "s"), writer)
    for number in range(10):
        out.begin("START")
        out.finish(ending(number), is_read=True)
    os.close(out.write_fd)
    out.close()
    await writer.close()
    assert len(read_log(tmp_path, "silent", 100)) == 3 * (1_000 // output.SILENT_BYTES)
    value = REGISTRY.get_sample_value(
        "router_function_log_dropped_bytes_total", {"function": "silent"}
    )
    assert value == output.SILENT_BYTES * (10 - 1_000 // output.SILENT_BYTES)


PRINTING = """
import os, subprocess
def handler(event, context):
    kind, size = event
    if kind == "print":
        print("x" * size + "last")
    elif kind == "bare":
        os.write(1, b"x" * min(size, 60_000) + b"last")
    elif kind == "process":
        subprocess.run(["/bin/echo", "last"], check=True)
    return [kind, size]
"""


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_a_function_has_written_is_there_when_it_has_answered(data, facts, run):
    """D1: its last words are kept before anything it did counts; nobody looks for them again."""

    async def all_kinds() -> None:
        bed = Bed(data, facts)
        await bed.open(PoolSettings())
        function = bed.function(PRINTING)
        for number in range(60):
            for kind in ("print", "bare", "silent", *(["process"] if number < 4 else [])):
                size = (number * 7_919) % 150_000 if number % 2 else number
                reply = await bed.invoke(function, json.dumps([kind, size]).encode())
                assert reply.error_type is None, reply.payload
                printed, end, *_ = reply.log_tail.split(b"\n")[-4:]
                assert end.startswith(b"END ")
                assert printed[-4:] == b"last" or kind == "silent", (kind, size)
                assert kind != "silent" or printed.startswith(b"START ")
        await bed.pool.close(0)

    run(all_kinds())
