"""The output pipe of an environment: order, tail, caps."""

import asyncio
import os

from router.workers import output
from router.workers.log_files import LogStream, read_log
from router.workers.logs import LogWriter
from router.workers.output import Output


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
