"""A long poll: what is there comes at once, what comes ends the wait, and time does too."""

import asyncio
import time

import pytest

from router.config import StoreSettings
from router.mapping.budget import Aside, Budget
from router.sources.embedded_stream import EmbeddedStreamSource
from router.store.base import NewRecord
from router.store.sqlite.store import SqliteStore
from tests.patience import PATIENCE_S, until

ASIDE = Aside(Budget())
STREAM = "arn:aws:router:us-east-1:000000000000:webhook/w"


class Reads:
    """A store's streams that count how often they are read, and may be slow."""

    def __init__(self, streams):
        self._streams = streams
        self.count = self.looks = 0
        self.open = 0
        self.meanwhile = None

    async def read(self, *args):
        self.count += 1
        found = await self._streams.read(*args)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile
        return found

    def recent(self, *args):
        self.looks += 1
        return self._streams.recent(*args)

    def subscribe(self, *args):
        unsubscribe = self._streams.subscribe(*args)
        self.open += 1

        def end():
            self.open -= 1
            unsubscribe()

        return end


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "data", StoreSettings())
    await store.open()
    yield store
    await store.close()


async def append(store, event_id):
    await store.streams.append(
        NewRecord(
            stream=STREAM, shard="s", key="k", event_id=event_id,
            arrival_ms=1, data=b"{}", size_bytes=2,
        )
    )  # fmt: skip


def ids(found):
    return [record.event_id for record in found.records], found.read_to


async def test_what_is_there_comes_at_once_in_one_read(store):
    await append(store, "a")
    reads = Reads(store.streams)
    source = EmbeddedStreamSource(reads, STREAM)
    assert ids(await source.fetch("s", 0, 10, 1000, 30_000, ASIDE)) == (["a"], 1)
    assert (reads.looks, reads.count, reads.open) == (1, 0, 0)


async def test_l2_the_disk_is_asked_for_no_more_than_may_be_held(store):
    """What was set aside for it comes back before a wait."""
    for _ in range(3):
        await append(store, "a")
    budget = Budget(20)
    store.streams._tails.forget(STREAM)
    source = EmbeddedStreamSource(store.streams, STREAM)
    aside = Aside(budget)
    found = await source.fetch("s", 0, 10, 1000, 30_000, aside)
    assert [record.position for record in found.records] == [1, 2]  # of 2 bytes each: 4 < 5
    assert budget.aside_bytes == 10
    aside.give_back()
    store.streams._tails.forget(STREAM)
    wait = asyncio.create_task(source.fetch("s", 3, 10, 1000, 30_000, aside))
    async with asyncio.timeout(PATIENCE_S):
        while store.streams.recent(STREAM, "s", 3, 10, 1000) is None:
            await asyncio.sleep(0.001)
    await until(lambda: budget.aside_bytes == 0)
    await append(store, "b")
    assert ids(await wait) == (["b"], 4)
    assert budget.aside_bytes == 0  # from memory: it was there anyway


async def test_a_record_that_comes_ends_the_wait(store):
    reads = Reads(store.streams)
    source = EmbeddedStreamSource(reads, STREAM)
    fetch = asyncio.create_task(source.fetch("s", 0, 10, 1000, 30_000, ASIDE))
    while not reads.count:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    await append(store, "a")
    assert ids(await fetch) == (["a"], 1)
    assert (reads.looks, reads.count, reads.open) == (2, 1, 0)


async def test_a_record_that_comes_between_the_read_and_the_wait_is_not_missed(store):
    reads = Reads(store.streams)
    reads.meanwhile = append(store, "a")
    source = EmbeddedStreamSource(reads, STREAM)
    assert ids(await source.fetch("s", 0, 10, 1000, 30_000, ASIDE)) == (["a"], 1)


async def test_an_empty_answer_when_the_time_runs_out(store):
    await append(store, "a")
    reads = Reads(store.streams)
    source = EmbeddedStreamSource(reads, STREAM)
    started = time.monotonic()
    assert ids(await source.fetch("s", 1, 10, 1000, 30, ASIDE)) == ([], 1)
    assert time.monotonic() - started >= 0.025
    assert reads.open == 0


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(store):
    reads = Reads(store.streams)
    fetch = asyncio.create_task(
        EmbeddedStreamSource(reads, STREAM).fetch("s", 0, 10, 1000, 30_000, ASIDE)
    )
    await asyncio.sleep(0.02)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    assert reads.open == 0
    await append(store, "a")
