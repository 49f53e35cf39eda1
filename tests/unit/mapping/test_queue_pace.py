"""Concurrency of a queue mapping (`event-source-mappings.md` 8.2, 8.3)."""

from router.mapping.queue_pace import CEILING, RECEIVES_MAX, Pace
from router.model.resources import Pollers
from tests.unit.mapping.queue_play import spec_of


def busy(pace, from_ms, until_ms, step_ms=500):
    for now_ms in range(from_ms, until_ms + 1, step_ms):
        pace.received(is_plenty=True, now_ms=now_ms)


def test_growth_is_per_time_not_per_message():
    for step_ms in (10, 500, 2_000):
        pace = Pace(spec_of(), 10_000)
        busy(pace, 0, 60_000, step_ms)
        assert 304 <= pace.batches_max <= 305


def test_now_and_then_a_message_is_no_backlog():
    pace = Pace(spec_of(), 10_000)
    busy(pace, 0, 600_000, step_ms=2_001)
    assert pace.batches_max == 5


def test_ceilings():
    hour_ms = 3_600_000
    for settings, slots, ceiling in (
        ({}, 10_000, CEILING),
        ({}, 16, 16),
        ({"concurrency_max": 7}, 10_000, 7),
        ({"pollers": Pollers(2, 4)}, 10_000, 40),
    ):
        pace = Pace(spec_of(**settings), slots)
        busy(pace, 0, hour_ms)
        assert pace.batches_max == ceiling


def test_provisioned_pollers_grow_faster():
    pace = Pace(spec_of(pollers=Pollers(2, 1_000)), 10_000)
    busy(pace, 0, 60_000)
    assert 1_019 <= pace.batches_max <= 1_020


def test_failures_halve_it_once_a_second_and_not_below_two():
    pace = Pace(spec_of(), 10_000)
    busy(pace, 0, 19_000)
    assert pace.batches_max == 100
    pace.failed(20_000)
    pace.failed(20_999)
    assert pace.batches_max == 50
    for second in range(30, 60):
        pace.failed(1_000 * second)
    assert pace.batches_max == 2


def test_maximum_concurrency_may_be_less_than_the_start():
    pace = Pace(spec_of(concurrency_max=2), 10_000)
    assert pace.batches_max == 2
    pace.failed(0)
    assert pace.batches_max == 2


def test_other_settings_hold_at_once():
    pace = Pace(spec_of(), 10_000)
    busy(pace, 0, 19_000)
    pace.change(spec_of(concurrency_max=3))
    assert pace.batches_max == 3
    pace.change(spec_of())
    assert pace.batches_max == 3, "and grows from there"


def test_receives_double_while_they_bring_plenty_and_stop_where_turns_are_rare():
    pace = Pace(spec_of(), 10_000)
    assert pace.receives_max == 1
    pace.received(is_plenty=False, now_ms=0)
    assert pace.receives_max == 1
    for _ in range(3):
        pace.received(is_plenty=True, now_ms=0)
    assert pace.receives_max == 8
    pace.waited()
    assert pace.receives_max == 1
    busy(pace, 0, 60_000)
    assert pace.receives_max == RECEIVES_MAX
    pace.was_quiet()
    assert (pace.receives_max, pace.batches_max) == (1, 5)
