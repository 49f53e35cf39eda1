"""Function logs: what is written is read back, rotated, bounded."""

import asyncio
import os

from router.workers import log_files, logs
from router.workers.log_files import (
    Follower,
    LogStream,
    functions_logged,
    group_paths,
    log_path,
    parse_line,
    read_log,
)
from router.workers.logs import LogWriter
from router.workers.output import Output
from tests.patience import until


async def test_lines_come_back_with_time_and_stream(tmp_path):
    writer = LogWriter(tmp_path)
    writer.append(LogStream("f", "2026/07/01/[$LATEST]ab"), [(1_782_900_000_123, "hello\tyou")], 10)
    writer.append(LogStream("f", "s2"), [(1_782_900_000_124, "[ERROR] a\rb")], 10)
    await writer.close()
    first, second = read_log(tmp_path, "f", 10)
    assert first.time == "2026-07-01T10:00:00.123Z"
    assert first.stream == "2026/07/01/[$LATEST]ab"
    assert first.text == "hello\tyou"
    assert second.text == "[ERROR] a\nb"


async def test_lines_are_flushed_without_being_asked(tmp_path):
    writer = LogWriter(tmp_path)
    writer.append(LogStream("f", "s"), [(0, "line")], 4)
    await until(lambda: [entry.text for entry in read_log(tmp_path, "f", 10)] == ["line"])
    await writer.close()


async def test_only_the_last_lines_are_read_across_rotated_files(tmp_path):
    writer = LogWriter(tmp_path, file_bytes_max=200)
    for number in range(20):
        writer.append(LogStream("f", "s"), [(0, f"line {number}")], 10)
        writer.flush()
    await writer.close()
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert len(files) > 1
    assert len(files) <= log_files.FILES_KEPT + 1
    assert all((tmp_path / "logs" / name).stat().st_size < 300 for name in files)
    assert [entry.text for entry in read_log(tmp_path, "f", 8)] == [
        f"line {number}" for number in range(12, 20)
    ]
    assert read_log(tmp_path, "f", 0) == []


async def test_over_the_cap_lines_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "WAITING_BYTES_MAX", 100)
    writer = LogWriter(tmp_path)
    assert writer.append(LogStream("f", "s"), [(0, "kept")], 90)
    assert not writer.append(LogStream("f", "s"), [(0, "lost")], 20)
    await writer.close()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["kept"]


async def test_a_folder_that_cannot_be_written_loses_lines_not_the_router(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    writer = LogWriter(tmp_path)
    writer.append(LogStream("f", "s"), [(0, "line")], 4)
    await writer.close()
    assert (tmp_path / "logs").read_text() == "in the way"


def test_a_name_is_no_way_out_of_the_folder(tmp_path):
    path = log_path(tmp_path, "../../etc/passwd")
    assert path.parent == tmp_path / "logs"


def test_a_function_that_never_wrote_has_no_lines(tmp_path):
    assert read_log(tmp_path, "f", 5) == []


def test_what_is_no_line_is_left_out():
    assert parse_line("half a line") is None


def written(folder, numbers, writer):
    for number in numbers:
        writer.append(LogStream("f", "s"), [(number, f"line {number}")], 10, at_once=True)


async def test_a_follower_reads_each_line_once_through_rotations(tmp_path):
    """One that looks seldom: several files were begun since, none of its own is lost yet."""
    writer = LogWriter(tmp_path, file_bytes_max=300)
    written(tmp_path, range(3), writer)
    follower = Follower(log_path(tmp_path, "f"))
    seen = follower.read()
    for step in range(30):
        written(tmp_path, range(3 + step * 7, 10 + step * 7), writer)
        seen += follower.read()
    await writer.close()
    assert [entry.text for entry in seen] == [f"line {number}" for number in range(213)]
    assert follower.read() == []
    follower.close()


async def test_a_follower_of_a_file_that_is_not_there_yet(tmp_path):
    with Follower(log_path(tmp_path, "f")) as follower:
        assert follower.read() == []
        writer = LogWriter(tmp_path, file_bytes_max=100)
        written(tmp_path, range(5), writer)
        await writer.close()
        assert [entry.text for entry in follower.read()] == [f"line {n}" for n in range(5)]


async def test_half_a_line_waits_for_the_rest(tmp_path):
    path = log_path(tmp_path, "f")
    path.parent.mkdir()
    path.write_bytes(b"2026-07-01T10:00:00.000Z\ts\tone\n2026-07-01T10:00:0")
    with Follower(path) as follower:
        assert [entry.text for entry in follower.read()] == ["one"]
        with path.open("ab") as file:
            file.write(b"1.000Z\ts\ttwo\n")
        assert [entry.text for entry in follower.read()] == ["two"]


async def test_a_group_of_its_own_has_a_file_of_its_own(tmp_path):
    writer = LogWriter(tmp_path)
    writer.append(LogStream("f", "s"), [(1, "before")], 6)
    writer.append(LogStream("f", "s", "/shop"), [(2, "after")], 6)
    writer.append(LogStream("g", "s", "/shop"), [(3, "other")], 6)
    await writer.close()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["before", "after"]
    assert functions_logged(tmp_path) == ["f", "g"]
    groups = group_paths(tmp_path)
    assert set(groups) == {"/aws/lambda/f", "/shop"}
    assert [path.name for path in groups["/shop"]] == ["f.log", "g.log"]


async def test_settled_lines_are_in_the_file(tmp_path):
    writer = LogWriter(tmp_path)
    output = Output(LogStream("f", "s"), writer)
    output.begin("START")
    writer.append(LogStream("g", "s"), [(0, "late")], 4)
    await writer.settle()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["START"]
    assert [entry.text for entry in read_log(tmp_path, "g", 10)] == ["late"]
    assert output.end(("END",)) == b"START\nEND\n"
    os.close(output.write_fd)
    output.close()
    await writer.close()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["START", "END"]


async def test_a_silent_invocation_that_goes_on_shows_its_start(tmp_path):
    writer = LogWriter(tmp_path)
    output = Output(LogStream("f", "s"), writer)
    output.begin("START")
    async with asyncio.timeout(20):
        while not read_log(tmp_path, "f", 10):
            await asyncio.sleep(0.02)
    os.close(output.write_fd)
    output.close()
    await writer.close()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["START"]
