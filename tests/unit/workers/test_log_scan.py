"""Searching logs: by time in large files, up to what is settled, a bounded piece at a time."""

import pytest

from router.workers import log_scan
from router.workers.log_files import log_path
from router.workers.log_reader import LogReader
from router.workers.log_scan import Query, moment_ms, moment_text

START = 1_790_000_000_000
FOREVER = 1 << 60


def write(folder, times, *, name="f", text="line"):
    path = log_path(folder, name)
    path.parent.mkdir(exist_ok=True)
    rows = [f"{moment_text(at)}\ts{at % 3}\t{text} {at - START}\n" for at in times]
    with path.open("ab") as file:
        file.write("".join(rows).encode())
    return path


def query(since=0, until=FOREVER, settled=FOREVER, **more):
    return Query(since_ms=since, until_ms=until, settled_ms=settled, **more)


def pages(folder, paths, asked, limit=10_000):
    reader, marks, found = LogReader(folder), {}, []
    while True:
        page = reader.page(paths, asked, marks, limit)
        found += [event.time_ms - START for event in page.events]
        if page.is_last:
            return found
        marks = page.marks


@pytest.mark.parametrize("first", [0, 1, 7_777, 49_999])
def test_a_moment_is_found_in_a_large_file(tmp_path, first):
    """Each line is a second after the one before: only those of the last seconds are read."""
    path = write(tmp_path, range(START, START + 50_000_000, 1000), text="x" * 100)
    asked = query(since=START + first * 1000)
    assert pages(tmp_path, [path], asked)[:1] == [first * 1000]
    assert len(pages(tmp_path, [path], asked)) == 50_000 - first


def test_lines_that_were_written_late_are_found(tmp_path):
    late = [START + at for at in (100, 50, 20_000, 150, 20_100)]
    path = write(tmp_path, late)
    assert pages(tmp_path, [path], query(since=START + 140, until=START + 160)) == [150]
    assert pages(tmp_path, [path], query()) == [50, 100, 150, 20_000, 20_100]


def test_what_is_not_settled_waits(tmp_path):
    path = write(tmp_path, range(START, START + 10))
    reader = LogReader(tmp_path)
    page = reader.page([path], query(settled=START + 4), {}, 100)
    assert [event.time_ms - START for event in page.events] == [0, 1, 2, 3, 4]
    assert page.is_last
    page = reader.page([path], query(), page.marks, 100)
    assert [event.time_ms - START for event in page.events] == [5, 6, 7, 8, 9]


def test_a_clock_that_was_set_back_hides_nothing_that_came_after(tmp_path):
    hour = 3_600_000
    path = write(tmp_path, [START, START + hour, START + 1])
    found = pages(tmp_path, [path], query(until=START + 2, settled=START + 2))
    assert 0 in found
    everything = pages(tmp_path, [path], query(settled=START + 2))
    assert sorted(everything) == [0, 1, hour]


def test_a_page_reads_a_bounded_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("router.workers.log_reader.SEARCH_BYTES_MAX", 5_000)
    monkeypatch.setattr(log_scan, "BLOCK_BYTES", 1_000)
    paths = [write(tmp_path, range(START, START + 300), name=name) for name in ("f", "g")]
    one = LogReader(tmp_path).page(paths, query(matches=lambda _text: False), {}, 100)
    assert one.events == ()
    assert not one.is_last
    found = pages(tmp_path, paths, query(), limit=70)
    assert sorted(found) == sorted([*range(300), *range(300)])


def test_moments_are_exact():
    for at in (0, 1, 999, START, START + 123, 253_402_300_799_999):
        assert moment_ms(moment_text(at)) == at
    assert moment_text(1 << 62) == moment_text(253_402_300_799_999)
    assert moment_ms("no moment") == 0


def test_what_is_no_line_is_passed_over(tmp_path):
    path = write(tmp_path, [START])
    with path.open("ab") as file:
        file.write(b"damaged\n\n\xff\xfe\tx\n")
    write(tmp_path, [START + 1])
    assert pages(tmp_path, [path], query()) == [0, 1]
    assert len(LogReader(tmp_path).streams([path])) == 2
