"""Mappings on a stream that is cut anew while they run, rest or do not exist yet (P28, D5)."""

import asyncio
import time

import pytest

from router.app.jumps import Jumps
from router.app.maintenance import Maintenance
from router.ops.server import Health
from router.store.base import Delete, DropProgress
from tests.unit.mapping.house import UUID, House, mapping, shards_of, webhook


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


async def keep_house(house, after_s=90_000):
    """What the router does from time to time, so much later."""

    def wall_ms():
        return int((time.time() + after_s) * 1000)

    jumps = Jumps(wall_ms)
    await Maintenance(house.store, house.catalog, house.manager, Health(), jumps).remove_expired()


async def rest(house, *, is_enabled, **settings):
    """Disable or enable the mapping, and wait for it."""
    await house.catalog.commit([mapping("a", is_enabled=is_enabled, **settings)])

    async def is_so():
        state = house.manager.status(UUID).state
        return state == ("Enabled" if is_enabled else "Disabled")

    await house.settles(is_so)


async def has_come_to(house, position, shard=0):
    async def is_stored():
        return await house.position(shard) == position

    await house.settles(is_stored)


async def test_p28_children_wait_for_parents_and_nothing_is_drained(house):
    """The running invocation goes on; the records behind the change wait for it."""
    house.functions.gate.clear()
    await house.catalog.commit([webhook("a"), mapping("a")])
    await house.append("a", "old1", "old2")
    await house.sees("old1")
    shell = house.manager._runs[UUID].life.shell
    await house.cut("a", 2)
    await house.append("a", "new1", shard=1)
    await house.append("a", "new2", shard=2)
    await asyncio.sleep(0.1)
    assert house.functions.running == 1
    assert house.manager.status(UUID).state == "Enabled"
    house.functions.gate.set()
    await house.sees("old1", "old2", "new1")
    await house.sees("old2", "new2")
    assert house.manager._runs[UUID].life.shell is shell


async def test_p28_a_merge_waits_for_both_parents(house):
    await house.catalog.commit([webhook("a", shards=2), mapping("a")])
    house.functions.gate.clear()
    await house.append("a", "held", shard=1)
    await house.sees("held")
    await house.cut("a", 1)
    await house.append("a", "merged", shard=2)
    await asyncio.sleep(0.1)
    assert "merged" not in house.functions.seen
    house.functions.gate.set()
    await house.sees("held", "merged")


async def test_d5_a_restart_in_the_middle_reads_on_in_order(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    await house.catalog.commit([webhook("a"), mapping("a", batch_size=1)])
    house.functions.gate.clear()
    await house.append("a", "g0-1", "g0-2")
    await house.sees("g0-1")
    await house.cut("a", 2)
    await house.append("a", "g1-1", shard=1)
    await house.cut("a", 1)
    await house.append("a", "g2-1", shard=3)
    await house.manager.drain(0.05)
    await house.store.close()
    again = House(tmp_path / "data")
    await again.open()
    await again.sees("g0-1", "g0-2", "g1-1", "g2-1")
    await again.close()
    third = House(tmp_path / "data")
    await third.open()
    await third.append("a", "g2-2", shard=3)
    await third.sees("g2-2")
    assert third.functions.seen == ["g2-2"]
    await third.close()


async def generations(house):
    """Three of them, with a record each and a moment between them; the moments (ms)."""
    await house.catalog.commit([webhook("a")])
    moments = []
    for shard, body in ((0, "g0"), (1, "g1"), (3, "g2")):
        await house.append("a", body, shard=shard)
        if shard < 3:
            await house.cut("a", 2 if shard == 0 else 1)
        await asyncio.sleep(0.01)
        moments.append(int(time.time() * 1000))
        await asyncio.sleep(0.01)
    return moments


async def test_p28_a_mapping_made_later_reads_from_the_first_parent_on(house):
    await generations(house)
    await house.catalog.commit([mapping("a", starting_position="TRIM_HORIZON")])
    await house.sees("g0", "g1", "g2")


async def test_latest_starts_at_the_end_of_the_open_shards(house):
    await generations(house)
    await house.catalog.commit([mapping("a", starting_position="LATEST")])

    async def is_started():
        return await house.position(3) is not None

    await house.settles(is_started)
    await house.append("a", "next", shard=3)
    await house.sees("next")
    assert house.functions.seen == ["next"]
    await has_no_lag(house)


@pytest.mark.parametrize(("generation", "seen"), [(0, ["g1", "g2"]), (1, ["g2"])])
async def test_at_timestamp_starts_in_the_generation_of_its_time(house, generation, seen):
    moments = await generations(house)
    start = {"starting_position": "AT_TIMESTAMP", "starting_timestamp_ms": moments[generation]}
    await house.catalog.commit([mapping("a", **start)])
    await house.sees(*seen)
    assert house.functions.seen == seen


async def test_d1_who_began_at_latest_and_rested_misses_nothing_of_what_came(house):
    """Even when all it had begun on is forgotten by then."""
    await house.catalog.commit([webhook("a"), mapping("a", starting_position="LATEST")])
    await has_come_to(house, 0)
    await house.append("a", "g0")
    await has_come_to(house, 1)
    await rest(house, is_enabled=False, starting_position="LATEST")
    await house.cut("a", 2)
    await keep_house(house)
    assert [shard.name for shard in shards_of(house, "a")] == [f"shardId-{n:012d}" for n in (1, 2)]
    await house.append("a", "g1", shard=1)
    await house.append("a", "also g1", shard=2)
    await rest(house, is_enabled=True, starting_position="LATEST")
    await house.sees("g1")
    await house.sees("also g1")


async def test_p29_a_mapping_made_again_reads_what_is_there_from_the_first_parent_on(house):
    await generations(house)
    await house.catalog.commit([mapping("a")])
    await house.sees("g0", "g1", "g2")
    house.functions.seen.clear()
    await house.catalog.commit([Delete("mapping", UUID), DropProgress(UUID)])
    await house.catalog.commit([mapping("a")])
    await house.sees("g0", "g1", "g2")


async def test_a_closed_shard_is_forgotten_once_empty_and_finished_by_all(house):
    await house.catalog.commit([webhook("a"), mapping("a")])
    await house.append("a", "g0")
    await house.cut("a", 2)
    await has_come_to(house, 1)
    await keep_house(house, after_s=0)  # finished, but its retention has not passed
    assert len(shards_of(house, "a")) == 3
    await keep_house(house)
    assert [(it.name, it.parents) for it in shards_of(house, "a")] == [
        ("shardId-000000000001", ()),
        ("shardId-000000000002", ()),
    ]
    assert await house.position(0) is None

    async def is_forgotten():
        return not house.manager._runs[UUID].life.engine.is_finished("shardId-000000000000")

    await house.settles(is_forgotten)
    await house.append("a", "g1", shard=1)
    await house.sees("g1")
    assert len(house.manager._runs[UUID].life.shards) == 2


async def test_a_closed_shard_that_somebody_has_not_finished_is_kept(house):
    house.functions.gate.clear()
    await house.catalog.commit([webhook("a"), mapping("a")])
    await house.append("a", "g0")
    await house.sees("g0")
    await house.cut("a", 2)
    await keep_house(house)  # the record is gone, but still with the function
    assert len(shards_of(house, "a")) == 3
    await rest_begun(house)
    await keep_house(house)
    assert len(shards_of(house, "a")) == 3
    house.functions.gate.set()
    await has_come_to(house, 1)

    async def is_forgotten():
        await keep_house(house)
        return len(shards_of(house, "a")) == 2

    await house.settles(is_forgotten)


async def rest_begun(house):
    """Begin to disable it and think again: its lock is held meanwhile."""
    await house.catalog.commit([mapping("a", is_enabled=False)])
    await asyncio.sleep(0.05)
    await house.catalog.commit([mapping("a", is_enabled=True)])


async def test_d5_a_shard_is_never_forgotten_before_its_parents(house):
    """Else a mapping made now would read the first generation beside the third."""
    await house.catalog.commit([webhook("a")])
    await house.append("a", "g0")
    await house.cut("a", 2)
    await house.cut("a", 1)
    await keep_house(house, after_s=0)
    assert len(shards_of(house, "a")) == 4
    await house.append("a", "g2", shard=3)
    house.functions.gate.clear()
    await house.catalog.commit([mapping("a")])
    await house.sees("g0")
    await asyncio.sleep(0.05)
    assert house.functions.seen == ["g0"]
    house.functions.gate.set()
    await house.sees("g0", "g2")


async def test_a_stream_without_a_mapping_forgets_what_is_empty(house):
    await house.catalog.commit([webhook("a")])
    await house.append("a", "g0")
    await house.cut("a", 3)
    await house.cut("a", 2)
    await keep_house(house)
    assert [shard.is_closed for shard in shards_of(house, "a")] == [False, False]


async def test_lag_counts_closed_and_open_shards_alike(house):
    await generations(house)
    await house.catalog.commit([mapping("a", is_enabled=False)])
    await house.manager.measure()
    assert house.manager.load(UUID)[0] == 3
    await rest(house, is_enabled=True)
    await house.sees("g0", "g1", "g2")
    await has_no_lag(house)


async def has_no_lag(house):
    async def is_level():
        await house.manager.measure()
        return house.manager.load(UUID)[0] == 0

    await house.settles(is_level)


@pytest.mark.parametrize("delay_ms", [0, 2])
async def test_d1_d5_shards_and_factor_change_together_under_load(house, delay_ms):
    """12 keys post, the mapping's factor changes, the stream is cut again and again."""
    house.functions.delay_s = delay_ms / 1000
    await house.catalog.commit([webhook("a", shards=2), mapping("a", factor=3, batch_size=3)])
    sent = {f"k{n}": [] for n in range(12)}
    for step in range(36):
        for key, bodies in sent.items():
            bodies.append(f"{key}.{step}")
            await house.append_keyed("a", key, bodies[-1])
        if step % 6 == 2:
            await house.cut("a", (5, 1, 3, 2)[step // 6 % 4])
        if step % 5 == 0:
            factor = (1, 4, 2, 3)[step // 5 % 4]
            await house.catalog.commit([mapping("a", factor=factor, batch_size=2 + step % 3)])
        if step % 11 == 10:
            await rest(house, is_enabled=False)
            await rest(house, is_enabled=True, factor=2)
    last = [bodies[-1] for bodies in sent.values()]
    async with asyncio.timeout(30):
        while set(last) - set(house.functions.seen):
            await asyncio.sleep(0.01)
    for key, bodies in sent.items():
        seen = [body for body in house.functions.seen if body.startswith(key + ".")]
        assert seen == bodies
