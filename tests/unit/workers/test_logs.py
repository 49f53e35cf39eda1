"""Function logs: what is written is read back, rotated, bounded."""

import asyncio

from router.workers import logs
from router.workers.logs import LogWriter, log_path, read_log


async def test_lines_come_back_with_time_and_stream(tmp_path):
    writer = LogWriter(tmp_path)
    writer.append("f", "2026/07/01/[$LATEST]ab", [(1_782_900_000_123, "hello\tyou")], 10)
    writer.append("f", "s2", [(1_782_900_000_124, "[ERROR] a\rb")], 10)
    await writer.close()
    first, second = read_log(tmp_path, "f", 10)
    assert first.time == "2026-07-01T10:00:00.123Z"
    assert first.stream == "2026/07/01/[$LATEST]ab"
    assert first.text == "hello\tyou"
    assert second.text == "[ERROR] a\nb"


async def test_lines_are_flushed_without_being_asked(tmp_path):
    writer = LogWriter(tmp_path)
    writer.append("f", "s", [(0, "line")], 4)
    await asyncio.sleep(logs.FLUSH_S + 0.3)
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["line"]
    await writer.close()


async def test_only_the_last_lines_are_read_across_rotated_files(tmp_path):
    writer = LogWriter(tmp_path, file_bytes_max=200)
    for number in range(20):
        writer.append("f", "s", [(0, f"line {number}")], 10)
        writer.flush()
    await writer.close()
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert len(files) > 1
    assert len(files) <= logs.FILES_KEPT + 1
    assert all((tmp_path / "logs" / name).stat().st_size < 300 for name in files)
    assert [entry.text for entry in read_log(tmp_path, "f", 8)] == [
        f"line {number}" for number in range(12, 20)
    ]
    assert read_log(tmp_path, "f", 0) == []


async def test_over_the_cap_lines_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "WAITING_BYTES_MAX", 100)
    writer = LogWriter(tmp_path)
    assert writer.append("f", "s", [(0, "kept")], 90)
    assert not writer.append("f", "s", [(0, "lost")], 20)
    await writer.close()
    assert [entry.text for entry in read_log(tmp_path, "f", 10)] == ["kept"]


async def test_a_folder_that_cannot_be_written_loses_lines_not_the_router(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    writer = LogWriter(tmp_path)
    writer.append("f", "s", [(0, "line")], 4)
    await writer.close()
    assert (tmp_path / "logs").read_text() == "in the way"


def test_a_name_is_no_way_out_of_the_folder(tmp_path):
    path = log_path(tmp_path, "../../etc/passwd")
    assert path.parent == tmp_path / "logs"


def test_a_function_that_never_wrote_has_no_lines(tmp_path):
    assert read_log(tmp_path, "f", 5) == []


def test_what_is_no_line_is_left_out():
    assert logs.parse_line("half a line") is None
