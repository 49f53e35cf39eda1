"""On-failure records into embedded queues: which queue, and in which order (D5, D7)."""

import json

import pytest

from router.app.connect import QueueMailbox
from router.config import StoreSettings
from router.model.progress import LaneProgress, ProgressUpdate
from router.model.resources import Queue
from router.store.base import OutboxRow
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore

HERE = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path, StoreSettings())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def catalog(store):
    catalog = Catalog(store.metadata)
    await catalog.load()
    for name in ("failed", "failed.fifo"):
        queue = Queue(
            name=name, arn=HERE + name, created_s=0, modified_s=0,
            attributes={"DelaySeconds": "7", "MessageRetentionPeriod": "60"},
        )  # fmt: skip
        async with catalog.changing() as locked:
            await locked.commit_locked([put("queue", name, queue)])
    return catalog


def row(destination, lane="shard-1"):
    return OutboxRow(
        mapping="m", mapping_uuid="u", lane=lane, destination=destination, body=b"why", records=1
    )


async def test_a_queue_that_exists_gets_it_by_its_own_settings(catalog):
    message = QueueMailbox(catalog).route(row(HERE + "failed"))
    assert (message.queue, message.body, message.delay_s, message.retention_s) == (
        "failed", "why", 7, 60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "destination",
    [
        HERE + "none",
        "arn:aws:sqs:eu-west-1:000000000000:failed",
        "arn:aws:sns:us-east-1:000000000000:failed",
        "kafka://failed",
        "failed",
    ],
)
async def test_everything_else_goes_another_way(catalog, destination):
    assert QueueMailbox(catalog).route(row(destination)) is None


async def test_where_queues_are_aws_s_nothing_is_taken(catalog):
    assert QueueMailbox(catalog, is_embedded=False).route(row(HERE + "failed")) is None


async def test_d5_a_fifo_queue_has_a_group_for_each_shard(catalog, store):
    mailbox = QueueMailbox(catalog)
    for number, lane in enumerate(("a", "b", "a"), 1):
        message = mailbox.route(row(HERE + "failed.fifo", lane))
        update = ProgressUpdate(shard=lane, position=number, factor=1, lane=LaneProgress(0, number))
        await store.progress.discard("u", update, None, message)
    found = await store.queues.peek("failed.fifo", 9)
    system = [json.loads(message.system) for message in found]
    assert [it["MessageGroupId"] for it in system] == ["u:a", "u:b", "u:a"]
    assert len({it["MessageDeduplicationId"] for it in system}) == 3
