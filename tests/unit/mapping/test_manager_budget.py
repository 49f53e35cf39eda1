"""L2, L4: mappings far behind on a real store are bounded together, and each comes to its end."""

import asyncio
import gc
import itertools
import os
import re
import tracemalloc

import pytest

from router.embedded.messages import Draft
from router.mapping import engine, manager
from router.model.function import InvokeReply
from router.model.limits import MIB
from router.store.base import Delete, NewRecord
from router.store.sqlite.segments import SEGMENT_BYTES_MAX
from tests.patience import PATIENCE_S
from tests.unit.mapping.house import UUID, Functions, House, arn, mapping, shards_of, webhook
from tests.unit.mapping.play import lane_keys

RECORD_BYTES = 50_000
RECORDS = 12
MAPPINGS = 24


READ_BYTES = 3 * SEGMENT_BYTES_MAX
"""The one read of the disk that is under way at a time: a segment as it is stored, decoded, and
the next one as it is stored."""

IDLE_BYTES = 16 << 10
"""A mapping itself: its engine, shell, tasks and numbers."""


class SomeStuck(Functions):
    """The functions of the first so many mappings never come to an end while the gate is shut."""

    def __init__(self, stuck):
        super().__init__()
        self.stuck = {f"{number}-0" for number in range(stuck)}
        self.gate.clear()

    async def invoke(self, request):
        # Not decoded: a copy of the event here would be measured as the router's.
        bodies = [found.decode() for found in re.findall(rb'"body":"([0-9-]+)\W', request.payload)]
        self.seen += bodies
        if bodies[0] in self.stuck:
            await self.gate.wait()
        return InvokeReply(payload=b"null")


async def fill(folder):
    """Streams with 0.6 MB each on the disk, and none of it in memory any more."""
    house = House(folder)
    await house.open()
    await house.catalog.commit([webhook(f"w{number}") for number in range(MAPPINGS)])
    pad = os.urandom(RECORD_BYTES // 2).hex()
    shard = shards_of(house, "w0")[0].name
    for number in range(MAPPINGS):
        records = [
            NewRecord(
                stream=arn(f"w{number}"),
                shard=shard,
                event_id=f"{number}-{index}",
                key="k",
                arrival_ms=1,
                data=f'"body":"{number}-{index}","pad":"{pad}"}}'.encode(),
                size_bytes=RECORD_BYTES + 1_000,
            )
            for index in range(RECORDS)
        ]
        await house.store.streams.append_all_nowait(records)
    await house.close()


class Watch:
    """The most that was counted at any turn of the loop."""

    def __init__(self, budget):
        self.budget = budget
        self.counted_max = 0

    async def run(self):
        while True:
            counted = self.budget.held_bytes + self.budget.aside_bytes
            self.counted_max = max(self.counted_max, counted)
            await asyncio.sleep(0)


async def run_all(house, wanted, settings):
    """Run mappings until their functions saw all that is wanted: what was counted, and measured."""
    watch = Watch(house.budget)
    watching = asyncio.create_task(watch.run())
    tracemalloc.start()
    try:
        await house.catalog.commit(
            [
                mapping(
                    f"w{number}",
                    uuid=f"00000000-0000-0000-0000-{number:012d}",
                    name=f"m{number}",
                    **settings(number),
                )
                for number in range(MAPPINGS)
            ]
        )
        missing = {body for bodies in wanted.values() for body in bodies}
        async with asyncio.timeout(150):
            while missing - set(house.functions.seen):
                await asyncio.sleep(0.01)
        memory_max = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        watching.cancel()
        await house.close()
    return watch.counted_max, memory_max


def check(counted, memory_max):
    """What is held is what is counted.

    Beside it there is one read of the disk, and what mappings take that hold nothing. A read that
    has no room brings a record all the same; counted twice, as records are, it makes up for what
    its event will take later.
    """
    a_record_each = MAPPINGS * 2 * (RECORD_BYTES + 1_000)
    assert 2 * MIB < counted <= 4 * MIB + a_record_each
    beside = READ_BYTES + MAPPINGS * IDLE_BYTES
    assert memory_max < counted + beside, f"{memory_max} taken, {counted} counted"


@pytest.mark.parametrize("stuck", [0, 5])
async def test_l2_many_that_are_far_behind_stay_within_the_bound_and_all_finish(tmp_path, stuck):
    """14 MB wait and 4 MiB may be held; windows end early when there is no room."""
    await fill(tmp_path / "data")
    house = House(tmp_path / "data", 4 * MIB)
    house.functions = SomeStuck(stuck)
    await house.open()
    wanted = {
        number: [f"{number}-{index}" for index in range(RECORDS)]
        for number in range(stuck, MAPPINGS)
    }
    counted, memory_max = await run_all(
        house, wanted, lambda _number: {"batch_size": 1_000, "window_s": 1}
    )
    for bodies in wanted.values():
        assert [body for body in house.functions.seen if body in bodies] == bodies
    check(counted, memory_max)
    assert house.budget.held_bytes == house.budget.aside_bytes == 0


async def test_l2_queues_that_are_far_behind_stay_within_the_bound_and_all_finish(tmp_path):
    """As streams: also receives that are under way are counted, all but a quiet queue's."""
    house = House(tmp_path / "data", 4 * MIB)
    house.functions = SomeStuck(0)
    await house.open()
    pad = os.urandom(RECORD_BYTES // 2).hex()
    wanted = {
        number: [f"{number}-{index}" for index in range(RECORDS)] for number in range(MAPPINGS)
    }
    for number, bodies in wanted.items():
        await house.queues.create(f"q{number}", {}, {})
        drafts = [Draft(body=f'{body}"{pad}') for body in bodies]
        await house.queues.send(f"q{number}", drafts, "me")
    counted, memory_max = await run_all(
        house,
        wanted,
        lambda number: {
            "event_source_arn": f"arn:aws:sqs:us-east-1:000000000000:q{number}",
            "batch_size": 10,
        },
    )
    assert sorted(house.functions.seen) == sorted(itertools.chain(*wanted.values()))
    check(counted, memory_max)
    assert house.budget.held_bytes == house.budget.aside_bytes == 0


async def test_l2_a_lane_that_stays_busy_holds_its_current_batch_and_no_earlier_one(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    alive = []

    async def invoke(request):
        batches = [it.records for it in gc.get_objects() if type(it) is engine.Invoke]
        alive.append(len({it.event_id for records in batches for it in records} & set(names)))
        return await Functions.invoke(house.functions, request)

    house.functions.invoke = invoke
    names = [f"busy-{number}" for number in range(5)]
    try:
        await house.catalog.commit([webhook("a")])
        await house.append("a", *names)
        await house.catalog.commit([mapping("a", batch_size=1)])
        await house.sees(*names)
    finally:
        await house.close()
    assert alive == [1] * len(names)


async def test_l4_a_mapping_reads_on_when_others_let_go_though_its_own_record_is_stuck(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(manager, "ROOM_LOOK_S", 0.05)
    house = House(tmp_path / "data", 10_000)
    await house.open()
    try:
        await house.catalog.commit([webhook("a"), mapping("a", factor=10)])
        house.functions.gate.clear()
        house.budget.held_bytes += 10_000
        house.budget.mappings += 50
        stuck, other, *_ = lane_keys(10)
        await house.append_keyed("a", stuck, "stuck")
        await house.sees("stuck")
        await house.append_keyed("a", other, "next")
        await asyncio.sleep(0.2)
        assert house.functions.seen == ["stuck"]
        house.budget.held_bytes -= 10_000
        await house.sees("next")
    finally:
        await house.close()


async def test_only_mappings_that_run_have_a_part(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    try:
        for change, running in (
            (mapping("a"), 1),
            (mapping("a", batch_size=7), 1),
            (mapping("a", is_enabled=False), 0),
            (mapping("a"), 1),
            (Delete("mapping", UUID), 0),
        ):
            await house.catalog.commit([webhook("a"), change])
            async with asyncio.timeout(PATIENCE_S):
                while house.budget.mappings != running:
                    await asyncio.sleep(0.005)
    finally:
        await house.close()
