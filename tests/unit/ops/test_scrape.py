"""Scrapes at the same time do not multiply the work, and one that cannot be asked holds up none."""

import asyncio

import pytest

from router.ops import scrape
from router.ops.scrape import Scrapes
from router.telemetry import metrics
from router.telemetry.exposition import form_of
from router.telemetry.loop_watch import LoopWatch

PLAIN = form_of("", "")


class World:
    def __init__(self):
        self.refreshed = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.watch = LoopWatch()
        self.scrapes = Scrapes(self.watch, self.refresh)

    async def refresh(self):
        self.refreshed += 1
        await self.gate.wait()


@pytest.fixture
async def world():
    world = World()
    yield world
    await world.scrapes.stop()


def value(answer, name):
    line = next(line for line in answer.body.decode().splitlines() if line.startswith(f"{name} "))
    return float(line.rpartition(" ")[2])


async def test_those_that_come_at_a_time_share_one(world):
    answers = await asyncio.gather(*(world.scrapes.answer(PLAIN) for _ in range(50)))
    assert world.refreshed == 1
    assert len({id(answer.body) for answer in answers}) == 1


async def test_who_comes_while_one_runs_gets_the_next(world):
    world.gate.clear()
    first = asyncio.create_task(world.scrapes.answer(PLAIN))
    while not world.refreshed:
        await asyncio.sleep(0)
    metrics.CLOCK_JUMPS.labels("forward").inc()
    others = [asyncio.create_task(world.scrapes.answer(PLAIN)) for _ in range(5)]
    await asyncio.sleep(0)
    world.gate.set()
    await asyncio.gather(first, *others)
    assert world.refreshed == 2
    assert len({id(task.result().body) for task in others}) == 1
    assert others[0].result() is not first.result()


async def test_one_that_goes_away_takes_nothing_from_the_others(world):
    world.gate.clear()
    one, other = (asyncio.create_task(world.scrapes.answer(PLAIN)) for _ in "12")
    while not world.refreshed:
        await asyncio.sleep(0)
    one.cancel()
    world.gate.set()
    assert (await other).status == 200


async def test_what_takes_too_long_is_there_at_the_next(world, monkeypatch):
    monkeypatch.setattr(scrape, "REFRESH_S", 0.01)
    world.gate.clear()
    for _ in range(3):
        assert (await world.scrapes.answer(PLAIN)).status == 200
    assert world.refreshed == 1  # one at a time
    world.gate.set()
    await world.scrapes.answer(PLAIN)
    await world.scrapes.answer(PLAIN)
    assert world.refreshed == 2


async def test_a_stop_ends_what_runs(world):
    world.gate.clear()
    asked = asyncio.create_task(world.scrapes.answer(PLAIN))
    while not world.refreshed:
        await asyncio.sleep(0)
    await world.scrapes.stop()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_the_longest_stall_is_shown_to_all_who_share_and_to_nobody_after(world):
    world.watch.note(0.7)
    answers = await asyncio.gather(*(world.scrapes.answer(PLAIN) for _ in "12"))
    answers.append(await world.scrapes.answer(PLAIN))
    name = "router_event_loop_stall_max_seconds"
    assert [value(answer, name) for answer in answers] == [0.7, 0.7, 0]
