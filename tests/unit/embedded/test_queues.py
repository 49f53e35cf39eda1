"""Embedded queues over the real store: what time and concurrency do to them."""

import asyncio

import pytest

from router.embedded import messages
from router.embedded.problems import QueueProblem
from router.embedded.queues import EmbeddedQueues
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S


class Clock:
    """Epoch milliseconds that stand still until they are moved."""

    def __init__(self):
        self.now_ms = 1_800_000_000_000

    def __call__(self):
        return self.now_ms


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def queues(store, clock):
    return await make(store, clock)


async def make(store, clock):
    catalog = Catalog(store.metadata)
    await catalog.load()
    return EmbeddedQueues(catalog, store.queues, clock, region="us-east-1", account="000000000000")


def draft(body, **more):
    return messages.draft({"MessageBody": body, **more})


async def receive(queues, name="q", *, wait_s=0, visibility_s=None, messages_max=10):
    return await queues.receive(
        name, messages_max=messages_max, wait_s=wait_s, visibility_s=visibility_s
    )


async def test_a_queue_and_its_messages_outlive_the_process(store, clock, queues):
    await queues.create("q", {"VisibilityTimeout": "5"}, {"t": "1"})
    (sent,) = await queues.send("q", [draft("m")], "me")
    again = await make(store, clock)
    assert again.get("q").tags == {"t": "1"}
    (got,) = await receive(again)
    assert (got.message_id, got.body, got.system["SenderId"]) == (sent.message_id, "m", "me")


async def test_visibility_is_the_queues_unless_the_receive_says(queues, clock):
    await queues.create("q", {"VisibilityTimeout": "5"}, {})
    await queues.send("q", [draft("m")], "me")
    assert len(await receive(queues)) == 1
    clock.now_ms += 4_999
    assert await receive(queues) == []
    clock.now_ms += 1
    (got,) = await receive(queues, visibility_s=60)
    assert got.system["ApproximateReceiveCount"] == "2"
    clock.now_ms += 59_999
    assert await receive(queues) == []
    clock.now_ms += 1
    assert len(await receive(queues)) == 1


async def test_delay_is_the_queues_unless_the_message_says(queues, clock):
    await queues.create("q", {"DelaySeconds": "5"}, {})
    await queues.send("q", [draft("queue"), draft("own", DelaySeconds=0)], "me")
    assert [got.body for got in await receive(queues)] == ["own"]
    clock.now_ms += 5_000
    assert [got.body for got in await receive(queues)] == ["queue"]


async def test_retention(queues, clock):
    await queues.create("q", {"MessageRetentionPeriod": "60"}, {})
    await queues.send("q", [draft("m")], "me")
    clock.now_ms += 60_000
    assert await receive(queues) == []


async def test_an_empty_wait_ends_in_time_and_an_arrival_ends_it_at_once(store):
    import time

    queues = await make(store, lambda: int(time.time() * 1000))
    await queues.create("q", {"ReceiveMessageWaitTimeSeconds": "20"}, {})
    began = time.monotonic()
    assert await receive(queues, wait_s=1) == []
    assert time.monotonic() - began >= 0.95
    waiting = asyncio.create_task(receive(queues, wait_s=None))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await queues.send("q", [draft("m")], "me")
    assert [got.body for got in await waiting] == ["m"]
    assert time.monotonic() - began < 20, "a wait of its own"


async def test_a_wait_ends_when_a_hidden_message_comes_back(store):
    import time

    queues = await make(store, lambda: int(time.time() * 1000))
    await queues.create("q", {}, {})
    await queues.send("q", [draft("m")], "me")
    assert await receive(queues, visibility_s=1)
    began = time.monotonic()
    assert len(await receive(queues, wait_s=600)) == 1
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("name", ["q", "q.fifo"])
async def test_a_message_that_comes_back_between_a_look_and_the_wait_is_not_waited_past(
    queues, clock, monkeypatch, name
):
    """On a busy machine some time passes between the two."""
    one = draft("m")
    if name == "q.fifo":
        order = messages.Order(is_content_deduplicated=True)
        one = messages.draft({"MessageBody": "m", "MessageGroupId": "g"}, order)
    await queues.create(name, {"FifoQueue": "true"} if "fifo" in name else {}, {})
    await queues.send(name, [one], "me")
    assert await receive(queues, name, visibility_s=5)
    take, leaps_ms = queues._take, iter([5_000])

    async def take_and_leap(*words):
        found = await take(*words)
        clock.now_ms += next(leaps_ms, 0)
        return found

    monkeypatch.setattr(queues, "_take", take_and_leap)
    async with asyncio.timeout(PATIENCE_S):
        assert [got.body for got in await receive(queues, name, wait_s=600)] == ["m"]


async def test_t1_a_long_poll_ends_in_time_when_the_clock_is_set_back(queues, clock):
    await queues.create("q", {}, {})
    waiting = asyncio.create_task(queues.receive("q", messages_max=1, wait_s=1, visibility_s=None))
    await asyncio.sleep(0.1)
    clock.now_ms -= 3_600_000
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting == []


async def test_stopping_and_deleting_end_waits(store):
    import time

    queues = await make(store, lambda: int(time.time() * 1000))
    await queues.create("q", {}, {})
    waiting = asyncio.create_task(receive(queues, wait_s=600))
    await asyncio.sleep(0.05)
    queues.stop()
    assert await asyncio.wait_for(waiting, PATIENCE_S) == []


async def test_many_receivers_share_without_doubles(queues):
    await queues.create("q", {}, {})
    for start in range(0, 100, 10):
        await queues.send("q", [draft(str(start + n)) for n in range(10)], "me")
    got = await asyncio.gather(*(receive(queues, messages_max=7) for _ in range(20)))
    bodies = [message.body for batch in got for message in batch]
    assert len(bodies) == len(set(bodies)) == 100


async def test_redrive_at_the_receive_that_would_exceed_the_count(queues, clock):
    dead = await queues.create("dead", {}, {})
    policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":2}}'
    await queues.create("q", {"VisibilityTimeout": "0", "RedrivePolicy": policy}, {})
    await queues.send("q", [draft("m")], "me")
    for count in ("1", "2"):
        (got,) = await receive(queues)
        assert got.system["ApproximateReceiveCount"] == count
    assert await receive(queues, "dead") == []
    assert await receive(queues) == []
    (moved,) = await receive(queues, "dead")
    assert moved.system["DeadLetterQueueSourceArn"] == "arn:aws:sqs:us-east-1:000000000000:q"
    # Without its dead-letter queue a message stays where it is.
    await queues.send("q", [draft("n")], "me")
    await queues.delete("dead")
    for _ in range(4):
        assert [got.body for got in await receive(queues)] == ["n"]


async def test_a_stale_handle_cannot_hide_a_message_received_again(queues, clock):
    await queues.create("q", {"VisibilityTimeout": "0"}, {})
    await queues.send("q", [draft("m")], "me")
    (first,) = await receive(queues)
    (second,) = await receive(queues)
    with pytest.raises(QueueProblem, match="not available for visibility"):
        await queues.change_visibility("q", messages.read_receipt(first.handle), 60)
    await queues.change_visibility("q", messages.read_receipt(second.handle), 60)
    assert await receive(queues) == []


async def test_purge_once_a_minute(queues, clock):
    await queues.create("q", {}, {})
    await queues.send("q", [draft("m")], "me")
    await queues.purge("q")
    assert await receive(queues) == []
    with pytest.raises(QueueProblem) as info:
        await queues.purge("q")
    assert (info.value.shape, info.value.status) == ("PurgeQueueInProgress", 403)
    clock.now_ms += 60_000
    await queues.purge("q")


async def test_settings_change_and_go(queues):
    dead = await queues.create("dead", {}, {})
    policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":2}}'
    await queues.create("q", {}, {})
    await queues.set_attributes("q", {"RedrivePolicy": policy, "DelaySeconds": "3"})
    shown = await queues.attributes("q", ["RedrivePolicy", "DelaySeconds"])
    assert shown == {"RedrivePolicy": policy, "DelaySeconds": "3"}
    await queues.set_attributes("q", {"RedrivePolicy": ""})
    assert await queues.attributes("q", ["RedrivePolicy"]) == {}
    with pytest.raises(QueueProblem, match="Unknown Attribute Nope"):
        await queues.attributes("q", ["Nope"])
    for call in (
        queues.set_attributes("none", {}),
        queues.delete("none"),
        queues.tag("none", {}),
        queues.attributes("none", []),
    ):
        with pytest.raises(QueueProblem, match="does not exist"):
            await call
