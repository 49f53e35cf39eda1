"""Events that nobody waits for, in a made-up world with faults and kills (D1, D10, L1, S1, T1)."""

from collections import Counter

import msgspec
import pytest
import structlog

from router.model.errors import NotInvoked
from tests.model.async_world import Options, World
from tests.sizes import size, sized

SEEDS = size(60, 6_000)
BLOCKS = 4


@pytest.fixture(autouse=True)
def quiet():
    """What is logged a thousand times says nothing."""
    with structlog.testing.capture_logs():
        yield


@sized(180, 3_600)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_accepted_event_comes_to_one_end_that_is_explained(block):
    seen = Counter()
    for seed in range(block, SEEDS, BLOCKS):
        world = World(seed)
        try:
            world.run()
        except BaseException as error:
            error.add_note(f"seed {seed}: {world.options}")
            raise
        seen += world.conditions
    assert {"Success", "RetriesExhausted", "EventAgeExceeded"} <= seen.keys(), "a quiet test"


CALM = Options(
    functions=("f", "g"), limit=10, events=0, error_share=0, throttle_share=0,
    start_failure_share=0, break_share=0, slow_ms=1, store_ms=3, store_failure_share=0, kills=0,
    stops=0, jumps=0, refused_share=0, has_deletion=False, has_zero=False, retries_max=2,
    age_s_max=21_600, held_bytes_max=1 << 20,
)  # fmt: skip


class SlowNeighbour(World):
    """One function takes an hour for each event, or cannot be run at all."""

    def __init__(self, *, is_throttled):
        super().__init__(1, CALM)
        self.is_throttled = is_throttled
        self.is_slow = True

    async def invoke(self, request):
        if request.function.name == "f" and self.is_slow:
            if self.is_throttled:
                raise NotInvoked("throttled")
            await self.loop.pause(3_600_000)
        return await super().invoke(request)


@pytest.mark.parametrize("is_throttled", [False, True])
def test_l4_a_slow_or_throttled_function_holds_up_nobody_elses_events(is_throttled):
    world = SlowNeighbour(is_throttled=is_throttled)
    world.loop.later(0, world.start, is_of_life=False)
    world.is_slow = False
    for _ in range(300):
        world.loop.later(1, lambda: world.send("f"), is_of_life=False)
    world.loop.run_until(10_000, lambda: world.conditions["Success"] == 300)
    world.conditions.clear()
    world.is_slow = True
    for _ in range(500):
        world.loop.later(1, lambda: world.send("f"), is_of_life=False)
    world.loop.run_until(60_000, lambda: False)
    for _ in range(50):
        world.loop.later(1, lambda: world.send("g"), is_of_life=False)
    assert world.runner._lines.held <= 120, "of a backlog little is in memory"
    began_ms = world.loop.now_ms
    world.loop.run_until(began_ms + 60_000, lambda: world.conditions["Success"] == 50)
    assert world.conditions["Success"] == 50
    assert world.loop.now_ms - began_ms < 1_000
    world.loop.end()


def test_s1_a_drain_lets_what_runs_end_and_gives_back_what_waits():
    world = SlowNeighbour(is_throttled=False)
    world.loop.later(0, world.start, is_of_life=False)
    for _ in range(100):
        world.loop.later(1, lambda: world.send("f"), is_of_life=False)
    ended = []

    async def drain(timeout_s):
        ended.append(await world.runner.drain(timeout_s))

    def begin(timeout_s):
        world.loop.later(0, lambda: world.loop.create_task(drain(timeout_s)), is_of_life=False)

    world.loop.run_until(10_000, lambda: False)
    begin(20.0)
    world.loop.run_until(31_000, lambda: False)
    assert ended == [False], "an hour is longer than that"
    claimed = [row for row in world.store.rows.values() if row.is_claimed]
    assert len(claimed) == 9, "what runs; one slot is for a newcomer"
    assert all(row.held_up == row.attempts == 0 for row in world.store.rows.values())
    begin(3_600.0)
    world.loop.run_until(4_000_000, lambda: False)
    assert ended == [False, True]
    assert len(world.store.rows) == 91
    assert not any(row.is_claimed for row in world.store.rows.values())
    world.loop.end()


def test_an_event_that_fails_is_tried_after_one_and_two_minutes():
    options = msgspec.structs.replace(CALM, error_share=1, events=1, store_ms=0, slow_ms=0)
    world = World(1, options)
    world.loop.later(0, world.start, is_of_life=False)
    world.loop.later(0, world.send, is_of_life=False)
    world.loop.run_until(3_600_000, lambda: bool(world.conditions))
    (runs,) = world.runs.values()
    assert [run.began_ms for run in runs] == [0, 60_000, 180_000]
    assert world.conditions == {"RetriesExhausted": 1}
    world.loop.end()
