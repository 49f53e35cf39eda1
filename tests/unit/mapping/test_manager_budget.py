"""L2, L4: mappings far behind on a real store are bounded together, and each comes to its end."""

import asyncio
import os
import tracemalloc

import msgspec
import pytest

from router.mapping import manager
from router.model.function import InvokeReply
from router.model.limits import MIB
from router.store.base import Delete, NewRecord
from tests.unit.mapping.house import UUID, Functions, House, arn, mapping, shards_of, webhook
from tests.unit.mapping.play import lane_keys

RECORD_BYTES = 50_000
RECORDS = 24
MAPPINGS = 24


class SomeStuck(Functions):
    """The functions of the first so many mappings never come to an end while the gate is shut."""

    def __init__(self, stuck):
        super().__init__()
        self.stuck = {f"{number}-0" for number in range(stuck)}
        self.gate.clear()

    async def invoke(self, request):
        bodies = [record["body"] for record in msgspec.json.decode(request.payload)["Records"]]
        self.seen += bodies
        if bodies[0] in self.stuck:
            await self.gate.wait()
        return InvokeReply(payload=b"null")


async def fill(folder):
    """Streams with 1.2 MB each on the disk, and none of it in memory any more."""
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


async def watch(budget, seen):
    while True:
        seen.append(budget.held_bytes + budget.aside_bytes)
        await asyncio.sleep(0)


@pytest.mark.parametrize("stuck", [0, 5])
async def test_l2_many_that_are_far_behind_stay_within_the_bound_and_all_finish(tmp_path, stuck):
    """28 MB wait and 4 MiB may be held; windows end early when there is no room.

    Counted, and measured: 5.1 to 11.9 MB were seen where 3.7 to 5.8 were counted, more on a busy
    machine. What makes the difference was not broken down; the bound is half of what waits.
    """
    await fill(tmp_path / "data")
    house = House(tmp_path / "data", 4 * MIB)
    house.functions = SomeStuck(stuck)
    await house.open()
    held = []
    watching = asyncio.create_task(watch(house.budget, held))
    tracemalloc.start()
    wanted = {
        number: [f"{number}-{index}" for index in range(RECORDS)]
        for number in range(stuck, MAPPINGS)
    }
    try:
        await house.catalog.commit(
            [
                mapping(
                    f"w{number}",
                    uuid=f"00000000-0000-0000-0000-{number:012d}",
                    name=f"m{number}",
                    batch_size=1_000,
                    window_s=1,
                )
                for number in range(MAPPINGS)
            ]
        )
        missing = {body for bodies in wanted.values() for body in bodies}
        async with asyncio.timeout(40):
            while missing - set(house.functions.seen):
                await asyncio.sleep(0.01)
        memory_max = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        watching.cancel()
        await house.close()
    for bodies in wanted.values():
        assert [body for body in house.functions.seen if body in bodies] == bodies
    a_record_each = MAPPINGS * 2 * (RECORD_BYTES + 1_000)
    assert 2 * MIB < max(held) <= 4 * MIB + a_record_each
    assert memory_max < 3 * 4 * MIB + a_record_each, f"{memory_max} taken, {max(held)} counted"
    assert house.budget.held_bytes == house.budget.aside_bytes == 0


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
            async with asyncio.timeout(5):
                while house.budget.mappings != running:
                    await asyncio.sleep(0.005)
    finally:
        await house.close()
