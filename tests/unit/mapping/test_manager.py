"""Mappings that come, go and change while records are under way: none is lost (D1).

The store, the catalog, the dispatcher and the shells are the real ones; only functions are played.
"""

import asyncio
import time

import pytest

from router.store.base import Delete, DropProgress, DropStream
from router.telemetry import metrics
from tests.patience import PATIENCE_S
from tests.unit.mapping.house import UUID, House, arn, mapping, webhook


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


async def holding(house, *bodies, source="a"):
    """A mapping on `source` whose function holds these records."""
    house.functions.gate.clear()
    await house.catalog.commit([webhook(source), mapping(source)])
    await house.append(source, *bodies)
    await house.sees(bodies[0])


async def test_d1_a_new_source_is_read_from_its_own_start(house):
    """What still runs when the source is replaced says nothing about the new one."""
    await house.catalog.commit([webhook("b")])
    await house.append("b", "b1", "b2", "b3")
    await holding(house, "a1")
    await house.catalog.commit([DropProgress(UUID), mapping("b")])
    await asyncio.sleep(0.05)
    house.functions.gate.set()
    await house.sees("b1", "b2", "b3")


async def test_d1_a_mapping_made_again_under_its_uuid_starts_anew(house):
    """Deleted and made again before anybody looked: nothing of its first life counts."""
    await holding(house, "a1")
    house.functions.gate.set()

    async def is_stored():
        return await house.position() == 1

    await house.settles(is_stored)
    house.functions.seen.clear()
    await house.catalog.commit([Delete("mapping", UUID), DropProgress(UUID)])
    await house.catalog.commit([mapping("a")])
    await house.sees("a1")


def before_it_is_fixed_where_to_start(house, *changes):
    """Commit changes when a mapping has worked out where it starts, and has not stored it yet."""
    start = house.store.progress.start

    async def late(uuid, positions):
        house.store.progress.start = start
        await house.catalog.commit(changes)
        await start(uuid, positions)

    house.store.progress.start = late


async def test_d1_a_source_replaced_while_its_mapping_starts_says_nothing_about_the_new_one(house):
    await house.catalog.commit([webhook("a"), webhook("b")])
    await house.append("a", "a1", "a2", "a3")
    await house.append("b", "b1", "b2")
    before_it_is_fixed_where_to_start(house, DropProgress(UUID), mapping("b"))
    await house.catalog.commit([mapping("a", starting_position="LATEST")])
    await house.sees("b1", "b2")


async def test_nothing_is_left_of_a_mapping_deleted_while_it_starts(house):
    await house.catalog.commit([webhook("a")])
    before_it_is_fixed_where_to_start(house, Delete("mapping", UUID), DropProgress(UUID))
    await house.catalog.commit([mapping("a")])

    async def is_gone():
        return not house.manager.is_draining(UUID) and not house.catalog.mappings

    await house.settles(is_gone)
    assert await house.store.progress.load(UUID) == {}


@pytest.mark.parametrize("start", ["TRIM_HORIZON", "LATEST"])
async def test_d1_a_stream_that_was_dropped_is_read_from_its_first_record(house, start):
    """Its positions begin at 1 again, also while records of its first life are being handled."""
    house.functions.gate.clear()
    await house.catalog.commit([webhook("a"), mapping("a", starting_position=start)])

    async def is_started():
        return await house.position() is not None

    await house.settles(is_started)
    await house.append("a", "old1", "old2", "old3")
    await house.sees("old1")
    await house.catalog.commit([DropStream(arn("a")), webhook("a", shards=2)])
    await house.append("a", "new1", "new2")
    await house.append("a", "other1", shard=1)
    await asyncio.sleep(0.05)
    house.functions.gate.set()
    await house.sees("new1", "new2")
    await house.sees("other1")


async def test_d1_a_shard_that_comes_later_is_read_from_its_first_record(house):
    """LATEST was about the moment the mapping was made."""
    await house.catalog.commit([webhook("a"), mapping("a", starting_position="LATEST")])

    async def is_started():
        return await house.position() is not None

    await house.settles(is_started)
    await house.append("a", "n1", shard=1)  # taken in before the mapping hears of the shard
    await house.catalog.commit([webhook("a", shards=2)])
    await house.sees("n1")


async def test_finished_records_of_a_mapping_at_rest_are_finished(house):
    """What ages out unhandled is counted; a disabled mapping has handled what it has handled."""
    await holding(house, "a1", "a2")
    house.functions.gate.set()

    async def is_stored():
        return await house.position() == 2

    await house.settles(is_stored)
    await house.catalog.commit([mapping("a", is_enabled=False)])

    async def is_disabled():
        return house.manager.status(UUID).state == "Disabled"

    await house.settles(is_disabled)
    assert await house.manager.streams.finished_positions(arn("a")) == {"shardId-000000000000": 2}


async def test_a_stream_without_a_mapping_is_finished_nowhere(house):
    await house.catalog.commit([webhook("a")])
    assert await house.manager.streams.finished_positions(arn("a")) == {"shardId-000000000000": 0}


async def test_enabled_while_it_is_being_disabled_it_goes_on_at_once(house):
    """A function that runs long does not keep a mapping down that is wanted again."""
    await house.catalog.commit([webhook("a", shards=2)])
    house.functions.gate.clear()
    await house.catalog.commit([mapping("a")])
    await house.append("a", "held1", "held2")
    await house.sees("held1")
    await house.catalog.commit([mapping("a", is_enabled=False)])
    await asyncio.sleep(0.05)
    assert house.manager.status(UUID).state == "Disabling"
    await house.append("a", "other1", shard=1)
    await asyncio.sleep(0.05)
    assert "other1" not in house.functions.seen
    await house.catalog.commit([mapping("a", is_enabled=True)])
    assert house.manager.status(UUID).state in {"Enabling", "Enabled"}
    await house.sees("other1")

    async def is_enabled():
        return house.manager.status(UUID).state == "Enabled"

    await house.settles(is_enabled)
    assert house.functions.running == 2
    house.functions.gate.set()
    await house.sees("held1", "held2")
    assert len(house.functions.seen) == 3


async def test_what_nothing_runs_by_does_not_update_a_mapping(house):
    """A tag that changes between two updates does not make the second one meet a busy mapping."""
    await holding(house, "a1")
    states = []
    house.catalog.listen(lambda _: states.append(house.manager.status(UUID).state))
    await house.catalog.commit([mapping("a", tags={"team": "shop"})])
    await house.catalog.commit([mapping("a", batch_size=7)])
    assert states == ["Enabled", "Updating"]
    house.functions.gate.set()


async def test_a_replaced_source_is_not_resumed(house):
    """Only a disable may be taken back; what drains to begin elsewhere ends."""
    await house.catalog.commit([webhook("b")])
    await house.append("b", "b1")
    await holding(house, "a1")
    await house.catalog.commit([DropProgress(UUID), mapping("b")])
    await asyncio.sleep(0.05)
    await house.catalog.commit([mapping("b", batch_size=7)])
    house.functions.gate.set()
    await house.sees("b1")


async def test_d6_a_broken_mapping_ends_before_it_begins_again(house, monkeypatch):
    """What it still ran is over when its records are handed out again."""
    monkeypatch.setattr("router.mapping.manager.RESTART_S", 0.05)
    await holding(house, "a1", "a2")
    run = house.manager._runs[UUID]
    run.life.shell._break(RuntimeError("a contradiction"))
    assert house.manager.status(UUID).last_processing_result.startswith("PROBLEM: Internal error")
    assert house.functions.running == 1
    house.functions.seen.clear()

    async def is_again():
        return house.functions.seen != []

    await house.settles(is_again)
    assert house.functions.running == 1
    assert house.functions.running_max == 1
    house.functions.gate.set()
    await house.sees("a1", "a2")

    async def is_fine():
        return house.manager.status(UUID).last_processing_result == "OK"

    await house.settles(is_fine)


async def test_a_mapping_at_rest_tells_its_state_and_lag(house):
    await house.catalog.commit([webhook("a"), mapping("a", is_enabled=False)])
    await house.append("a", "a1", "a2")
    await house.manager.measure()
    assert house.manager.load(UUID) == (2, 0)
    labels = {"mapping": "m", "state": "Disabled"}
    assert metrics.REGISTRY.get_sample_value("router_mapping_state", labels) == 1
    assert metrics.REGISTRY.get_sample_value("router_mapping_lag_records", {"mapping": "m"}) == 2
    await house.catalog.commit([Delete("mapping", UUID)])

    async def is_gone():
        return not house.manager.is_draining(UUID)

    await house.settles(is_gone)
    assert metrics.REGISTRY.get_sample_value("router_mapping_state", labels) is None


async def test_a_drain_ends_every_mapping_and_starts_none(house):
    await holding(house, "a1")
    house.functions.gate.set()
    assert await house.manager.drain(PATIENCE_S)
    await house.catalog.commit([mapping("a", batch_size=3)])
    await house.append("a", "late")
    await asyncio.sleep(0.1)
    assert "late" not in house.functions.seen


async def test_a_drain_that_takes_too_long_is_cut(house):
    await holding(house, "a1")
    began = time.monotonic()
    assert not await house.manager.drain(0.1)
    assert time.monotonic() - began < PATIENCE_S
    assert house.functions.running == 0
    assert await house.position() == 0


async def test_s2_a_drain_that_is_given_up_ends_every_mapping_all_the_same(house):
    """Else what happens to functions next would count as their failure."""
    await holding(house, "a1")
    drain = asyncio.create_task(house.manager.drain(PATIENCE_S))
    await asyncio.sleep(0)
    drain.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drain
    assert house.functions.running == 0
    assert await house.position() == 0
    await house.manager.stop()  # as often as one likes


def wanting(*bodies):
    return tuple(f'{{"eventID":[{{"suffix":":{position}"}}]}}' for position in bodies)


async def test_p20_records_left_out_move_the_checkpoint_without_an_invocation(house):
    await house.catalog.commit([webhook("a"), mapping("a", filters=wanting(99))])
    await house.append("a", "a1", "a2", "a3")

    async def is_stored():
        return await house.position() == 3

    await house.settles(is_stored)
    assert house.functions.seen == []
    assert await house.manager.streams.finished_positions(arn("a")) == {"shardId-000000000000": 3}


async def test_changed_filters_hold_for_records_that_come_after(house):
    await house.catalog.commit([webhook("a"), mapping("a", filters=wanting(1))])
    await house.append("a", "a1", "a2")
    await house.sees("a1")
    await house.catalog.commit([mapping("a", filters=wanting(4))])

    async def is_rested():
        return house.manager.status(UUID).state == "Enabled"

    await house.settles(is_rested)
    await house.append("a", "a3", "a4", "a5")
    await house.sees("a4")
    await house.catalog.commit([mapping("a")])
    await house.settles(is_rested)
    await house.append("a", "a6")
    await house.sees("a6")
    assert house.functions.seen == ["a1", "a4", "a6"]


async def test_a_mapping_whose_filters_nobody_can_read_takes_nothing(house):
    """Rather late than wrong: it starts once they are mended."""
    await house.catalog.commit([webhook("a"), mapping("a", filters=("{",))])
    await house.append("a", "a1")
    await asyncio.sleep(0.05)
    assert house.functions.seen == []
    await house.catalog.commit([mapping("a", filters=wanting(1))])
    await house.sees("a1")
