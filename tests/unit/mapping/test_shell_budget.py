"""L2: shells tell the budget what they hold, and the engine what it may hold."""

import pytest

from router.mapping import engine as e
from router.mapping.budget import Budget
from router.model.errors import StoreError
from tests.patience import until
from tests.unit.mapping.test_shell import FETCH, World


@pytest.fixture
async def world():
    world = World()
    yield world
    world.gate.set()
    await world.shell.stop()
    world.shell._numbers.remove()


async def test_what_the_engine_holds_is_counted_until_the_shell_is_stopped(world):
    world.budget.held_bytes = 7
    world.engine.held_bytes = 500
    world.shell._feed(e.Tick())
    assert world.budget.held_bytes == 1_007
    world.engine.held_bytes = 200
    world.shell._feed(e.Tick())
    assert world.budget.held_bytes == 407
    await world.shell.stop()
    world.engine.held_bytes = 900
    world.shell._feed(e.Tick())
    assert world.budget.held_bytes == 7


@pytest.mark.parametrize("ends_by", ["answer", "failure", "surprise", "drain", "stop"])
async def test_what_a_fetch_set_aside_comes_back_however_it_ends(world, ends_by):
    world.gate.clear()
    world.engine.commands.append(FETCH)
    world.shell._feed(e.Tick())
    await until(lambda: world.budget.aside_bytes == 2 * FETCH.bytes_max)
    if ends_by == "drain":
        world.shell.begin_drain()
    elif ends_by == "stop":
        await world.shell.stop()
    elif ends_by != "answer":
        world.failure = ValueError() if ends_by == "surprise" else StoreError("down")
    world.gate.set()
    await until(lambda: world.budget.aside_bytes == 0)


async def test_the_engine_hears_of_its_room_before_what_was_read(world):
    """So that what it asks for next fits."""
    budget = world.shell._budget = Budget(4_096)
    budget.mappings, budget.held_bytes = 4, 4_096
    told = await world.do(FETCH)
    assert [type(fact) for fact in told] == [e.RoomChanged, e.RecordsFetched]
    assert told[0] == e.RoomChanged(256)
    assert [type(fact) for fact in await world.do(FETCH)] == [e.RecordsFetched]
