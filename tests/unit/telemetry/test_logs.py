"""Log lines: few writes, none lost that matters, and never a reason to stop working."""

import asyncio
import io

from router.telemetry.logs import LINES_MAX, Lines


class Counting(io.BytesIO):
    """Remembers each write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, data):
        self.writes.append(bytes(data))
        return super().write(data)


async def test_the_lines_of_one_turn_are_one_write_made_before_what_is_scheduled_after_them():
    out = Counting()
    lines = Lines(out)
    lines.info(b"1")
    lines.info(b"2")
    assert out.writes == []
    await asyncio.sleep(0)
    assert out.writes == [b"1\n2\n"]
    lines.info(b"3")
    await asyncio.sleep(0)
    assert out.writes == [b"1\n2\n", b"3\n"]


async def test_an_error_is_out_at_once_with_what_came_before_it():
    out = Counting()
    lines = Lines(out)
    lines.info(b"1")
    lines.error(b"2")
    assert out.writes == [b"1\n2\n"]
    await asyncio.sleep(0)
    assert out.writes == [b"1\n2\n"]


async def test_what_waits_is_bounded():
    out = Counting()
    lines = Lines(out)
    for _ in range(LINES_MAX):
        lines.info(b"x")
    assert out.getvalue() == b"x\n" * LINES_MAX


async def test_a_thread_writes_at_once():
    out = Counting()
    lines = Lines(out)
    await asyncio.to_thread(lines.info, b"1")
    await asyncio.to_thread(lines.error, b"2")
    assert out.writes == [b"1\n", b"2\n"]


def test_what_a_loop_left_behind_is_written_with_the_next_one_or_by_a_flush():
    out = Counting()
    lines = Lines(out)

    async def leave(line):
        lines.info(line)

    for line in (b"1", b"2"):
        loop = asyncio.new_event_loop()
        coroutine = leave(line)
        loop.call_soon(loop.stop)
        task = loop.create_task(coroutine)
        loop.run_forever()
        assert task.done()
        loop.close()
    assert out.writes == [b"1\n"]
    lines.flush()
    assert out.writes == [b"1\n", b"2\n"]


async def test_a_stream_that_fails_loses_lines_and_nothing_else():
    out = io.BytesIO()
    lines = Lines(out)
    out.close()
    lines.error(b"1")
    lines.info(b"2")
    await asyncio.sleep(0)
