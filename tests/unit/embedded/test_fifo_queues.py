"""Embedded FIFO queues and move tasks over the real store: what time does to them."""

import asyncio

import pytest

from router.embedded import messages
from router.embedded.messages import Order
from router.embedded.problems import QueueProblem
from router.embedded.queues import EmbeddedQueues
from router.store.base import Put
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S

ORDER = Order(is_content_deduplicated=True)
QUEUE = "q.fifo"
DEAD = "dead.fifo"


class Clock:
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


async def make(store, clock):
    catalog = Catalog(store.metadata)
    await catalog.load()
    return EmbeddedQueues(catalog, store.queues, clock, region="us-east-1", account="000000000000")


@pytest.fixture
async def queues(store, clock):
    return await make(store, clock)


async def create(queues, name=QUEUE, **attributes):
    return await queues.create(name, {"FifoQueue": "true", **attributes}, {})


async def create_with_dead(queues, count=1, **attributes):
    dead = await create(queues, DEAD)
    policy = f'{{"deadLetterTargetArn":"{dead.arn}","maxReceiveCount":{count}}}'
    await create(queues, RedrivePolicy=policy, **attributes)
    return dead.arn


async def send(queues, *texts, name=QUEUE):
    """`group:body`."""
    drafts = []
    for text in texts:
        group, _, body = text.partition(":")
        drafts.append(messages.draft({"MessageBody": body, "MessageGroupId": group}, ORDER))
    return await queues.send(name, drafts, "me")


async def receive(queues, name=QUEUE, *, count=10, wait_s=0, visibility_s=None, **more):
    return await queues.receive(
        name, messages_max=count, wait_s=wait_s, visibility_s=visibility_s, **more
    )


def bodies(found):
    return [one.body for one in found]


async def settle(queues, found, name=QUEUE):
    return await queues.delete_messages(name, [messages.read_receipt(found.handle)])


async def test_a_long_poll_ends_when_the_message_before_is_deleted(queues):
    await create(queues)
    await send(queues, "g:1", "g:2")
    (first,) = await receive(queues, count=1)
    waiting = asyncio.create_task(receive(queues, wait_s=600))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await settle(queues, first)
    assert bodies(await asyncio.wait_for(waiting, PATIENCE_S)) == ["2"]


async def test_a_new_delay_holds_for_messages_that_are_there(queues, clock):
    await create(queues, DelaySeconds="900")
    await send(queues, "g:m")
    assert await receive(queues) == []
    await queues.set_attributes(QUEUE, {"DelaySeconds": "2"})
    clock.now_ms += 1_999
    assert await receive(queues) == []
    clock.now_ms += 1
    assert bodies(await receive(queues)) == ["m"]


async def test_a_new_retention_holds_for_messages_that_are_there(queues, clock):
    await queues.create("standard", {"MessageRetentionPeriod": "1000"}, {})
    await queues.send("standard", [messages.draft({"MessageBody": "m"})], "me")
    clock.now_ms += 100_000
    await queues.set_attributes("standard", {"MessageRetentionPeriod": "100"})
    assert await receive(queues, "standard") == []
    await queues.set_attributes("standard", {"MessageRetentionPeriod": "200"})
    assert bodies(await receive(queues, "standard")) == ["m"]


async def test_times_that_a_template_changes_hold_too(queues, clock):
    queue = await create(queues)
    await send(queues, "g:m")
    shorter = {**queue.attributes, "MessageRetentionPeriod": "60"}
    changed = type(queue)(
        name=queue.name, arn=queue.arn, attributes=shorter, created_s=0, modified_s=0
    )
    change: Put = put("queue", queue.name, changed)
    await queues._catalog.commit([change])
    while queues._retiming:
        await asyncio.sleep(0.01)
    clock.now_ms += 60_000
    assert await receive(queues) == []


async def test_no_message_is_hidden_longer_than_twelve_hours(queues, clock):
    await create(queues)
    await send(queues, "g:m")
    (got,) = await receive(queues, visibility_s=43_200)
    clock.now_ms += 3_600_000
    receipt = messages.read_receipt(got.handle)
    with pytest.raises(QueueProblem) as info:
        await queues.change_visibility(QUEUE, receipt, 39_601)
    assert info.value.message == (
        "Value 39601 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout "
        "for the message is beyond the limit [43200 seconds]"
    )
    await queues.change_visibility(QUEUE, receipt, 39_600)


async def test_a_standard_queue_is_over_its_limit_in_so_many_words(queues, store, monkeypatch):
    monkeypatch.setattr(store.queues._in_flight, "limit", 1)
    await queues.create("standard", {}, {})
    drafts = [messages.draft({"MessageBody": body}) for body in "ab"]
    await queues.send("standard", drafts, "me")
    (first,) = await receive(queues, "standard")
    with pytest.raises(QueueProblem) as info:
        await receive(queues, "standard")
    assert (info.value.shape, info.value.status) == ("OverLimit", 403)
    # A long poll waits until there is room.
    waiting = asyncio.create_task(receive(queues, "standard", wait_s=600))
    await asyncio.sleep(0.05)
    await settle(queues, first, "standard")
    assert len(await asyncio.wait_for(waiting, PATIENCE_S)) == 1


async def test_an_attempt_id_is_for_fifo_queues(queues):
    await queues.create("standard", {}, {})
    await create(queues)
    with pytest.raises(QueueProblem, match="not valid for this queue type"):
        await receive(queues, "standard", attempt_id="x")
    with pytest.raises(QueueProblem, match="alphanumeric and punctuation"):
        await receive(queues, attempt_id="x y")


async def run_to_end(queues):
    while queues.moves._running:
        await asyncio.gather(*queues.moves._running.values())


async def to_dead(queues, *texts):
    """Messages received once and found spent by the next receive."""
    await send(queues, *texts)
    await receive(queues, visibility_s=0)
    assert await receive(queues) == []


async def test_a_task_brings_messages_back_as_new_ones(queues, clock):
    arn = await create_with_dead(queues)
    await to_dead(queues, "g:1", "h:2", "g:3")
    clock.now_ms += 1_000
    await queues.moves.start(arn, None, None)
    await run_to_end(queues)
    (task,) = await queues.moves.tasks(arn, 1)
    assert task == {
        "Status": "COMPLETED",
        "SourceArn": arn,
        "ApproximateNumberOfMessagesMoved": 3,
        "ApproximateNumberOfMessagesToMove": 3,
        "StartedTimestamp": clock.now_ms,
    }
    found = await receive(queues)
    assert [body for body in bodies(found) if body != "2"] == ["1", "3"]
    for one in found:
        assert one.system["ApproximateReceiveCount"] == "1"
        assert one.system["SentTimestamp"] == str(clock.now_ms)
        assert "DeadLetterQueueSourceArn" not in one.system


async def test_a_task_goes_on_after_a_restart(queues, store, clock):
    arn = await create_with_dead(queues)
    await to_dead(queues, *(f"g{n}:{n}" for n in range(10)))
    handle = await queues.moves.start(arn, None, 10)
    await asyncio.sleep(0)
    await queues.moves.stop()
    (task,) = await queues.moves.tasks(arn, 1)
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", handle)
    assert task["ApproximateNumberOfMessagesMoved"] < 10
    again = await make(store, clock)
    await again.moves.resume()
    await run_to_end(again)
    (task,) = await again.moves.tasks(arn, 1)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 10)
    assert "TaskHandle" not in task


async def test_one_task_at_a_time_and_it_can_be_cancelled(queues):
    arn = await create_with_dead(queues)
    await to_dead(queues, *(f"g{n}:{n}" for n in range(10)))
    handle = await queues.moves.start(arn, None, 1)
    with pytest.raises(QueueProblem, match="already a task running"):
        await queues.moves.start(arn, None, None)
    moved = await queues.moves.cancel(handle)
    assert moved < 10
    with pytest.raises(QueueProblem, match=r"Task does not exist\."):
        await queues.moves.cancel(handle)
    (task,) = await queues.moves.tasks(arn, 1)
    assert task["Status"] == "CANCELLED"
    await queues.moves.start(arn, None, None)
    await run_to_end(queues)
    statuses = [task["Status"] for task in await queues.moves.tasks(arn, 10)]
    assert statuses == ["COMPLETED", "CANCELLED"]


async def test_a_task_fails_at_a_message_nobody_moved_there(queues):
    arn = await create_with_dead(queues)
    await send(queues, "g:direct", name=DEAD)
    await queues.moves.start(arn, None, None)
    await run_to_end(queues)
    (task,) = await queues.moves.tasks(arn, 1)
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert bodies(await receive(queues, DEAD)) == ["direct"]


async def test_a_task_fails_when_its_target_is_gone_and_takes_any_target_of_the_type(queues):
    arn = await create_with_dead(queues)
    other = await create(queues, "other.fifo")
    standard = await queues.create("standard", {}, {})
    await send(queues, "g:direct", name=DEAD)
    for target, match in ((arn, "cannot be the same"), (standard.arn, "of the same type")):
        with pytest.raises(QueueProblem, match=match):
            await queues.moves.start(arn, target, None)
    with pytest.raises(QueueProblem, match="DestinationArn parameter"):
        await queues.moves.start(arn, other.arn + "s", None)
    with pytest.raises(QueueProblem, match="MaxNumberOfMessagesPerSecond"):
        await queues.moves.start(arn, other.arn, 501)
    await queues.moves.start(arn, other.arn, 500)
    await queues.delete("other.fifo")
    await run_to_end(queues)
    (task,) = await queues.moves.tasks(arn, 1)
    assert task["DestinationArn"] == other.arn
    if task["Status"] == "FAILED":
        assert task["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"
        assert bodies(await receive(queues, DEAD)) == ["direct"]


async def test_a_task_leaves_what_came_after_it_began(queues, clock):
    arn = await create_with_dead(queues)
    await to_dead(queues, "g:before")
    handle = await queues.moves.start(arn, None, None)
    clock.now_ms += 1
    await send(queues, "g:after", name=DEAD)
    await run_to_end(queues)
    assert handle
    assert bodies(await receive(queues, DEAD)) == ["after"]


async def test_tasks_of_a_dropped_queue_are_forgotten(queues):
    arn = await create_with_dead(queues)
    await queues.moves.start(arn, None, None)
    await run_to_end(queues)
    await queues.set_attributes(QUEUE, {"RedrivePolicy": ""})
    with pytest.raises(QueueProblem, match="configured as a Dead Letter Queue"):
        await queues.moves.start(arn, None, None)
    await queues.delete(DEAD)
    with pytest.raises(QueueProblem, match="SourceArn parameter"):
        await queues.moves.tasks(arn, 1)
    await create(queues, DEAD)
    assert await queues.moves.tasks(arn, 1) == []


async def test_sources_and_permissions(queues):
    await create_with_dead(queues)
    assert queues.sources_of(DEAD) == [QUEUE]
    assert queues.sources_of(QUEUE) == []
    with pytest.raises(QueueProblem, match="Actions were found"):
        await queues.add_permission(QUEUE, "l", ["1"], ["SendMessage"] * 8)
    await queues.add_permission(QUEUE, "l", ["1", "2"], ["SendMessage"])
    with pytest.raises(QueueProblem, match="can't find label"):
        await queues.remove_permission(QUEUE, "m")
    await queues.remove_permission(QUEUE, "l")
    assert await queues.attributes(QUEUE, ["Policy"]) == {}
    with pytest.raises(QueueProblem, match="Too many tags"):
        await queues.tag(QUEUE, {str(n): "" for n in range(51)})
