"""The reading thread."""

import asyncio
import threading
import weakref

import pytest

from router.model.errors import StoreError
from router.store.sqlite.streams import _Trim
from tests.patience import PATIENCE_S
from tests.unit.store.support import STREAM, record


async def test_d1_a_read_of_several_steps_sees_one_moment(store):
    """A trim between two steps of `stats` must not make a stream look empty that is not."""
    await store.streams.append(record("e1", arrival_ms=1_000))
    await store.streams.append(record("e2", arrival_ms=9_000))
    is_between, may_go_on = threading.Event(), threading.Event()

    def look(db):
        before = db.execute("SELECT id FROM segments ORDER BY id").fetchall()
        is_between.set()
        may_go_on.wait(60)
        return before, db.execute("SELECT id FROM segments ORDER BY id").fetchall()

    looking = asyncio.ensure_future(store._reader.submit(look))
    await asyncio.to_thread(is_between.wait, 5)
    streams = store.streams
    await store._writer.submit(streams._trim_kind, _Trim(1, 1), 64)
    may_go_on.set()
    before, after = await looking
    assert before == after
    assert (await store.streams.stats(STREAM))[0].oldest_position == 2


async def test_a_read_that_fails_leaves_the_next_one_alone(store):
    def fail(db):
        db.execute("SELECT 1")
        raise ValueError("a bug")

    for _ in range(2):
        with pytest.raises(StoreError, match="a bug"):
            await store._reader.submit(fail)
    await store.streams.append(record("e1"))
    assert (await store.streams.stats(STREAM))[0].last_position == 1


async def test_l2_the_thread_holds_nothing_of_a_read_that_was_answered(store):
    class Found:
        pass

    found = await store._reader.submit(lambda _db: Found())
    left = weakref.ref(found)
    del found
    async with asyncio.timeout(PATIENCE_S):
        while left() is not None:
            await asyncio.sleep(0.005)
