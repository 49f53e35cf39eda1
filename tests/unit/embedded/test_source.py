"""An embedded queue as a source of mappings, on a real store."""

import asyncio
import time

import pytest

from router.embedded.messages import Draft
from router.embedded.problems import QueueProblem
from router.embedded.queues import EmbeddedQueues
from router.embedded.source import EmbeddedQueueSource
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S


@pytest.fixture
async def queues(tmp_path):
    store = SqliteStore(tmp_path)
    await store.open()
    catalog = Catalog(store.metadata)
    await catalog.load()

    def wall_ms():
        return time.time_ns() // 1_000_000

    yield EmbeddedQueues(catalog, store.queues, wall_ms, region="us-east-1", account="000000000000")
    await store.close()


async def test_received_as_the_api_gives_it_and_deleted(queues):
    await queues.create("jobs", {"VisibilityTimeout": "7"}, {})
    source = EmbeddedQueueSource(queues, "jobs")
    assert await source.visibility_s() == 7
    value = {"DataType": "String", "StringValue": "x"}
    await queues.send("jobs", [Draft(body="one", attributes={"a": value}), Draft(body="two")], "me")
    assert await source.backlog() == 2
    found = await source.receive(10, 0, None, asyncio.Event())
    assert {one.body for one in found} == {"one", "two"}
    by_body = {one.body: one for one in found}
    assert by_body["one"].attributes == {"a": value}
    assert by_body["one"].md5_of_attributes is not None
    assert by_body["two"].md5_of_attributes is None
    assert by_body["two"].md5_of_body == "b8a9f715dbb64fd5c56e7783c6820a61"
    assert by_body["two"].system["ApproximateReceiveCount"] == "1"
    assert await source.backlog() == 2, "hidden ones count"
    assert list(await source.delete([one.receipt for one in found])) == []
    assert await source.backlog() == 0


async def test_fifo_a_receipt_that_has_expired_is_told(queues):
    await queues.create(
        "jobs.fifo",
        {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "0"},
        {},
    )
    source = EmbeddedQueueSource(queues, "jobs.fifo")
    draft = Draft(body="one", group_id="g", deduplication_id="d")
    await queues.send("jobs.fifo", [draft], "me")
    (found,) = await source.receive(10, 0, None, asyncio.Event())
    await asyncio.sleep(0.01)
    assert list(await source.delete([found.receipt])) == [0]


async def test_a_stop_ends_the_wait_and_loses_nothing(queues):
    await queues.create("jobs", {}, {})
    source = EmbeddedQueueSource(queues, "jobs")
    stop = asyncio.Event()
    waiting = asyncio.create_task(source.receive(10, 600_000, None, stop))
    await asyncio.sleep(0.05)
    stop.set()
    async with asyncio.timeout(PATIENCE_S):
        assert list(await waiting) == []
    await queues.send("jobs", [Draft(body="one")], "me")
    assert len(await source.receive(10, 600_000, None, stop)) == 1, "what is there is handed out"


async def test_a_queue_that_is_gone_is_a_problem_not_a_surprise(queues):
    source = EmbeddedQueueSource(queues, "gone")
    with pytest.raises(QueueProblem):
        await source.visibility_s()
    with pytest.raises(QueueProblem):
        await source.receive(1, 0, None, asyncio.Event())
    with pytest.raises(QueueProblem):
        await source.backlog()


async def test_with_a_queue_its_messages_are_gone(queues):
    """There is nothing left to delete: whoever ends the mapping does not wait for it."""
    await queues.create("jobs", {}, {})
    source = EmbeddedQueueSource(queues, "jobs")
    await queues.send("jobs", [Draft(body="one")], "me")
    (found,) = await source.receive(10, 0, None, asyncio.Event())
    await queues.delete("jobs")
    assert list(await source.delete([found.receipt])) == []
