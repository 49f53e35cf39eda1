"""Mappings with what is rare: tumbling windows over a cut of shards, records of 10 MiB.

The store, the catalog, the dispatcher and the shells are the real ones; only functions are played.
"""

import asyncio
import time

import msgspec
import pytest

from router.model import limits
from router.model.function import InvokeReply
from router.model.resources import Queue
from router.store.base import NewRecord
from router.store.catalog import put
from tests.patience import PATIENCE_S
from tests.unit.mapping.house import UUID, House, arn, mapping, webhook

QUEUE_ARN = "arn:aws:sqs:us-east-1:000000000000:failed"


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


class Summing:
    """A function that keeps the bodies it is given in the state; notes every window's calls."""

    def __init__(self):
        self.events = []

    async def invoke(self, request):
        event = msgspec.json.decode(request.payload)
        self.events.append(event)
        bodies = [record["body"] for record in event["Records"]]
        seen = event["state"].get("seen", []) + bodies
        return InvokeReply(payload=msgspec.json.encode({"state": {"seen": seen}}))

    def finals(self):
        return [
            (event["shardId"][-1], event["state"]["seen"])
            for event in self.events
            if event["isFinalInvokeForWindow"]
        ]


def window_of(progress, shard):
    lanes = progress[f"shardId-{shard:012d}"].lanes
    return next((lane.window for lane in lanes if lane.window is not None), None)


WINDOW_S = 900
LEFT_S_MIN = 5


async def summed(house, bodies):
    left_s = WINDOW_S - time.time() % WINDOW_S
    if left_s < LEFT_S_MIN:  # a window ends with each quarter of an hour by the clock
        await asyncio.sleep(left_s)
    functions = Summing()
    house.functions.invoke = functions.invoke
    await house.catalog.commit([webhook("a"), mapping(tumbling_window_s=WINDOW_S)])
    await house.append("a", *bodies)

    async def is_stored():
        return await house.position() == len(bodies)

    await house.settles(is_stored)
    return functions


async def test_a_closed_shard_ends_its_window_and_its_children_begin_with_none(house):
    functions = await summed(house, ["1", "2"])
    assert functions.finals() == []
    await house.cut("a", 2)

    async def is_ended():
        return bool(functions.finals())

    await house.settles(is_ended)
    assert functions.finals() == [("0", ["1", "2"])]
    for body in ("3", "4", "5", "6"):
        await house.append_keyed("a", f"key {body}", body)

    async def is_seen():
        seen = {r["body"] for event in functions.events for r in event["Records"]}
        return seen >= {"3", "4", "5", "6"}

    await house.settles(is_seen)
    children = [event for event in functions.events if event["shardId"][-1] in "12"]
    firsts = {}
    for event in children:
        firsts.setdefault(event["shardId"], event["state"])
    assert set(map(str, firsts.values())) == {"{}"}


async def test_d1_a_closed_shard_with_an_open_window_is_not_finished(house):
    """Else it could be forgotten with the state of its window."""
    functions = await summed(house, ["1", "2"])
    stop = mapping(tumbling_window_s=WINDOW_S, is_enabled=False)
    await house.catalog.commit([stop])

    async def is_disabled():
        return house.manager.status(UUID).state == "Disabled"

    await house.settles(is_disabled)
    await house.cut("a", 2)
    assert await house.manager.finished_shards(arn("a")) == set()
    assert window_of(await house.store.progress.load(UUID), 0).is_open
    await house.catalog.commit([mapping(tumbling_window_s=WINDOW_S)])

    async def is_finished():
        return await house.manager.finished_shards(arn("a")) == {"shardId-000000000000"}

    await house.settles(is_finished)
    assert functions.finals() == [("0", ["1", "2"])]


async def test_p29_a_window_goes_on_over_disable_and_restart_where_it_was(house):
    functions = await summed(house, ["1", "2"])
    await house.catalog.commit([mapping(tumbling_window_s=WINDOW_S, is_enabled=False)])
    await house.append("a", "3")
    await house.close()
    await house.open()
    house.functions.invoke = functions.invoke
    await house.catalog.commit([mapping(tumbling_window_s=WINDOW_S)])

    async def is_stored():
        return await house.position() == 3

    await house.settles(is_stored)
    assert [event["state"].get("seen") for event in functions.events][-1] == ["1", "2"]
    await house.catalog.commit([mapping(tumbling_window_s=0)])

    async def is_ended():
        return bool(functions.finals())

    await house.settles(is_ended)
    assert functions.finals() == [("0", ["1", "2", "3"])]


async def test_p27_a_record_of_10_mib_is_given_up_alone_and_those_around_it_are_handled(house):
    """Kinesis takes records up to 10 MiB; no event of 6 MB can carry one (section 2)."""
    queue = put("queue", "failed", Queue(name="failed", arn=QUEUE_ARN, created_s=0, modified_s=0))
    await house.catalog.commit([webhook("a"), queue, mapping(destination_arn=QUEUE_ARN)])
    size_bytes = 10 * limits.MIB
    for body, size in (("before", 200), ("x" * size_bytes, size_bytes + 200), ("after", 200)):
        await house.store.streams.append(
            NewRecord(
                stream=arn("a"),
                shard="shardId-000000000000",
                event_id=body[:10],
                key="k",
                arrival_ms=int(time.time() * 1000),
                data=b'"body":"%b"}' % body.encode(),
                size_bytes=size,
            )
        )
    async with asyncio.timeout(20):
        await house.sees("before", "after")
    (message,) = await house.store.queues.peek("failed", 9)
    found = msgspec.json.decode(message.body)
    assert found["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
    assert found["requestContext"]["approximateInvokeCount"] == 1
    assert found["responseContext"] is None
    assert found["RouterWebhookBatchInfo"]["batchSize"] == 1
    assert found["RouterWebhookBatchInfo"]["startSequenceNumber"] == "2"
    assert house.functions.seen == ["before", "after"]


async def test_a_window_ends_by_the_time_of_the_stream_whatever_the_filters_let_through(house):
    """A stream that is never quiet, of which nothing more passes."""
    functions = Summing()
    house.functions.invoke = functions.invoke
    filters = ('{"method": ["POST"]}',)
    await house.catalog.commit([webhook("a"), mapping(tumbling_window_s=1, filters=filters)])
    await append_from(house, "POST", "1")
    async with asyncio.timeout(PATIENCE_S):
        number = 0
        while not functions.finals():
            number += 1
            await append_from(house, "GET", f"s{number}")
            await asyncio.sleep(0.01)
    assert functions.finals() == [("0", ["1"])]
    assert number > 1


async def append_from(house, method, body):
    await house.store.streams.append(
        NewRecord(
            stream=arn("a"),
            shard="shardId-000000000000",
            event_id=body,
            key="k",
            arrival_ms=int(time.time() * 1000),
            data=b'"method":"%b","body":"%b"}' % (method.encode(), body.encode()),
            size_bytes=200,
        )
    )
