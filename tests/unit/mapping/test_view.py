"""A mapping as people see it (`router mappings describe`)."""

import pytest

from router.mapping.view import LaneView, by_age, problem_of, view_lanes
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.progress import LaneHead
from tests.unit.mapping.house import UUID, House, mapping, webhook
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    failed,
    fetch,
    fetched,
    invoke,
    lane_keys,
    nothing,
    opened,
    record,
    save,
    stored,
)


@pytest.mark.parametrize(
    ("outcome", "error", "text"),
    [
        (Succeeded(), None, None),
        (NotRun("throttled"), "no slot", None),
        (NotRun("function_missing"), "f is gone", "not invoked: f is gone"),
        (NotRun("start_failed"), None, "not invoked: start_failed"),
        (PartlySucceeded((0, 3)), None, "the function reported 2 failed records"),
        (Failed("Unhandled"), "ValueError", "the function failed: ValueError"),
        (Failed("Unhandled"), None, "the function failed: its log says why"),
        (Failed("Unhandled", reason="no `state`"), None, "the function failed: no `state`"),
        (Failed("", is_invalid_response=True), None,
         "invalid response: not what a mapping can read"),
    ],
)  # fmt: skip
def test_what_went_wrong(outcome, error, text):
    assert problem_of(outcome, error) == text


def test_lanes_that_have_something_unfinished():
    """One runs, one rests after a failure; the third has nothing and is left out."""
    play = Play(factor=3, batch_size=1)
    play >> opened(factor=3) << fetch(0)
    first, second, _ = lane_keys(3)
    play >> fetched(
        record(1, first, WALL_MS - 5_000), record(2, second, WALL_MS - 9_000), record(3, second)
    )
    play << fetch(3) << invoke(1, lane=0) << invoke(2, lane=1)
    play.at(100) >> failed(lane=1) << save(0, lane=1, head=LaneHead(2, 2, 1))
    play >> stored(lane=1) << nothing
    running, resting = view_lanes(play.engine.lanes, 100)
    assert running == LaneView(
        shard="0", lane="0", state="running", records=1, position=0,
        oldest_arrival_ms=WALL_MS - 5_000,
    )  # fmt: skip
    assert (resting.lane, resting.state, resting.records) == ("1", "waiting", 2)
    assert (resting.attempts, resting.oldest_arrival_ms) == (1, WALL_MS - 9_000)
    assert resting.failing_since_ms == WALL_MS + 100
    assert 100 + resting.rest_ms == play.engine.next_wakeup_ms()
    assert sorted([running, resting], key=by_age) == [resting, running]
    (_, rested) = view_lanes(play.engine.lanes, 10_000)
    assert rested.rest_ms == 0


def test_lanes_that_know_of_no_arrival_come_last():
    unknown = LaneView(shard="", lane="g", state="running", records=1)
    known = LaneView(shard="", lane="h", state="running", records=1, oldest_arrival_ms=5)
    assert sorted([unknown, known], key=by_age) == [known, unknown]


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path / "data")
    await house.open()
    yield house
    await house.close()


async def test_a_mapping_at_work(house):
    """What runs, what waits behind it, and since when."""
    house.functions.gate.clear()
    await house.catalog.commit([webhook("a"), mapping("a", batch_size=1)])
    await house.append("a", "a1", "a2", "a3")
    await house.sees("a1")
    await house.manager.measure()
    view = house.manager.view(UUID)
    assert (view.lag, view.in_flight, view.held_records, view.last_error) == (3, 1, 3, None)
    (lane,) = view.lanes
    assert (lane.state, lane.records, lane.attempts, lane.position) == ("running", 3, 0, 0)
    assert view.oldest_arrival_ms == lane.oldest_arrival_ms > 0
    house.functions.gate.set()
    await house.sees("a2", "a3")

    async def is_idle():
        return house.manager.view(UUID).lanes == ()

    await house.settles(is_idle)
    assert house.manager.view(UUID).oldest_arrival_ms is None


async def test_the_last_error_outlives_the_life_it_came_in(house):
    await house.catalog.commit([webhook("a")])
    assert house.manager.view(UUID).last_error is None
    await house.catalog.commit([mapping("a")])

    async def is_enabled():
        return house.manager.status(UUID).state == "Enabled"

    await house.settles(is_enabled)
    run = house.manager._runs[UUID]
    run.life.shell.went_wrong("cannot read: the disk is gone")
    await house.catalog.commit([mapping("a", is_enabled=False)])

    async def is_disabled():
        return house.manager.status(UUID).state == "Disabled"

    await house.settles(is_disabled)
    assert house.manager.view(UUID).last_error.text == "cannot read: the disk is gone"
    await house.catalog.commit([mapping("a")])
    await house.settles(is_enabled)
    assert house.manager.view(UUID).last_error.text == "cannot read: the disk is gone"
