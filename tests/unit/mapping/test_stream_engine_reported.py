"""The stream engine, as playbooks: only what a function reports is tried again (Kafka, 7.4, D9)."""

from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    Play,
    discard,
    discard_stored,
    failed,
    fetch,
    fetched,
    invoke,
    nothing,
    opened,
    record,
    reported,
    running,
    save,
    stored,
    succeeded,
)

KAFKA = {"retries_reported_only": True, "is_reporting_failures": True}


def test_d9_exactly_the_reported_records_are_tried_again():
    play = running(1, 2, 3, 4, 5, **KAFKA)
    play >> reported(1, 3) << save(1, lane_position=1, head=LaneHead(2, 4, 0, (), 0, (3, 5)))
    play >> stored() << invoke(2, 4)
    play >> succeeded() << save(5, lane_position=5)
    play >> stored() << nothing
    assert play.engine.held_bytes == 0


def test_d3_the_position_waits_for_the_lowest_record_that_is_not_finished():
    play = running(1, 2, 3, **KAFKA)
    play >> reported(0) << save(0, lane_position=0, head=LaneHead(1, 1, 0, (), 0, (2, 3)))
    play >> stored() << invoke(1)
    play >> failed() << save(0, lane_position=0, head=LaneHead(1, 1, 1, (), 0, (2, 3)))


def test_d10_a_part_has_a_budget_of_its_own_and_the_whole_batch_reported_is_an_attempt():
    play = running(1, 2, retries_max=1, **KAFKA)
    play >> reported(1) << save(1)
    play >> stored() << invoke(2)
    play >> reported(0) << save(1, head=LaneHead(2, 2, 1))
    play >> stored() << nothing
    play.wake() << invoke(2, attempt=2)
    play >> reported(0) << discard(2, count=2, to=2)


def test_a_partial_response_never_bisects_and_a_function_error_does():
    play = running(1, 2, is_bisecting=True, **KAFKA)
    play >> reported(0, 1) << save(0, head=LaneHead(1, 2, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, 2, attempt=2)
    play >> failed() << save(0, head=LaneHead(1, 1, 0, (2,)))


def test_what_is_given_up_takes_the_finished_ones_behind_it_along():
    play = running(1, 2, 3, retries_max=0, **KAFKA)
    play >> reported(1) << save(1, head=LaneHead(2, 2, 0, (), 0, (3,)))
    play >> stored() << invoke(2)
    play >> failed() << discard(2, count=1, to=3)
    play >> discard_stored() << nothing
    assert play.engine.position("0") == 3


def test_d12_a_restart_repeats_only_what_was_reported():
    head = LaneHead(2, 4, 1, (), 0, (3, 5))
    play = Play(retries_max=1, **KAFKA)
    play >> opened(1, lanes=[LaneProgress(0, 1, head)]) << fetch(1)
    play >> fetched(2, 3, 4, 5, 6) << fetch(6) << invoke(2, 4, attempt=2)
    play >> succeeded() << save(5, lane_position=5)
    play >> stored() << invoke(6)


def test_halves_of_what_was_reported_are_parts_like_any_other():
    play = running(1, 2, 3, 4, is_bisecting=True, **KAFKA)
    play >> reported(0, 2, 3) << save(0, head=LaneHead(1, 4, 0, (), 0, (2,)))
    play >> stored() << invoke(1, 3, 4)
    play >> failed() << save(0, head=LaneHead(1, 1, 0, (4,), 0, (2,)))
    play >> stored() << invoke(1)
    play >> succeeded() << save(2, lane_position=2, head=LaneHead(3, 4, 0))
    play >> stored() << invoke(3, 4)
    play >> succeeded() << save(4, lane_position=4)


def test_the_window_of_a_batch_starts_with_its_first_record():
    play = Play(window_ms=500, is_window_from_first=True)
    play >> opened() << fetch(0)
    play.at(0) >> fetched(1) << fetch(1)
    play.at(500).wake() << invoke(1)
    play.at(600) >> succeeded() << save(1)
    play.at(600) >> stored() << nothing
    play.at(1_000) >> fetched(2) << fetch(2)
    assert play.engine.next_wakeup_ms() == 1_500
    play.wake() << invoke(2)


def test_records_that_waited_for_the_lane_wait_one_window_at_most():
    play = Play(window_ms=500, is_window_from_first=True, batch_size=2)
    play >> opened() << fetch(0)
    play >> fetched(1, 2, record(3)) << fetch(3) << invoke(1, 2)
    play.at(100) >> succeeded() << save(2)
    play.at(100) >> stored() << nothing
    assert play.engine.next_wakeup_ms() == 600


def half_with_one_reported(**settings):
    """Of five records two are a half; the first of them is tried again, the second is finished."""
    play = running(1, 2, 3, 4, 5, is_bisecting=True, **settings, **KAFKA)
    play >> failed() << save(0, head=LaneHead(1, 2, 0, (5,)))
    play >> stored() << invoke(1, 2)
    play >> reported(0) << save(0, head=LaneHead(1, 1, 0, (5,), 0, (2,)))
    play >> stored() << invoke(1)
    return play


def test_d3_a_finished_record_in_front_of_the_next_part_is_passed():
    play = half_with_one_reported()
    play >> succeeded() << save(2, lane_position=2, head=LaneHead(3, 5, 0))
    play >> stored() << invoke(3, 4, 5)


def test_d3_so_it_is_when_the_record_before_it_is_given_up():
    play = half_with_one_reported(retries_max=0)
    play >> failed() << discard(1, count=1, to=2, head=LaneHead(3, 5, 0))
    play >> discard_stored() << invoke(3, 4, 5)
