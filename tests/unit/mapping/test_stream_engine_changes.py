"""The stream engine, as playbooks: new settings, drain and lineage."""

import pytest

from router.model.errors import EngineError
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    Play,
    discard,
    discard_stored,
    drain,
    failed,
    fetch,
    fetch_failed,
    fetched,
    forgotten,
    invoke,
    lane_keys,
    not_stored,
    nothing,
    opened,
    record,
    resume,
    running,
    save,
    settings,
    stored,
    succeeded,
    tick,
)

# Settings.


def test_settings_hold_from_the_next_batch_on():
    play = running(1, 2, batch_size=2)
    play >> fetched(3, 4, 5) << fetch(5)
    play >> settings(batch_size=3) << nothing
    play >> succeeded() << save(2)
    play >> stored() << invoke(3, 4, 5)


def test_a_shorter_window_holds_at_once_for_a_batch_that_is_not_closed():
    play = Play(batch_size=9, window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> settings(batch_size=9) << invoke(1)


def test_a_lowered_limit_frees_a_stuck_lane():
    play = running(1)
    for attempt in (1, 2):
        play >> failed() << save(0, head=LaneHead(1, 1, attempt))
        play >> stored() << nothing
        play.wake() << invoke(1, attempt=attempt + 1)
    play >> failed() << save(0, head=LaneHead(1, 1, 3))
    play >> stored() << nothing
    play >> settings(retries_max=0) << nothing
    play.wake() << discard(1, count=3, to=1)


def test_another_factor_waits_until_the_old_lanes_are_empty():
    first, second = lane_keys(2)
    play = Play(factor=2, batch_size=1)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, first), record(2, second), record(3, second)) << fetch(3)
    play << invoke(1, lane=0) << invoke(2, lane=1)
    play >> settings(factor=1, batch_size=1) << nothing
    play >> fetched(record(4, first)) << nothing
    play >> succeeded(lane=0) << save(1, lane=0, factor=2)
    play >> stored() << invoke(4, lane=0)
    play >> succeeded(lane=1) << save(2, lane=1, factor=2)
    play >> stored() << invoke(3, lane=1)
    play >> succeeded(lane=1) << save(3, lane=1, factor=2)
    play >> stored() << nothing
    play >> succeeded(lane=0) << save(4, lane=0, factor=2)
    play >> stored() << fetch(4)
    play >> fetched(record(5, second)) << fetch(5) << invoke(5, lane=0)
    play >> succeeded() << save(5, lane=0, lane_position=5, factor=1)


def test_another_factor_is_taken_at_once_by_a_quiet_shard():
    first, second = lane_keys(2)
    play = Play()
    play >> opened() << fetch(0)
    play >> settings(factor=2) << nothing
    play >> fetched(record(1, first), record(2, second)) << fetch(2)
    play << invoke(1, lane=0) << invoke(2, lane=1)


def test_a_waiting_factor_does_not_wait_for_windows():
    play = Play(window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> settings(window_ms=60_000, factor=2) << nothing
    play >> fetched() << invoke(1, lane=0)
    play >> succeeded() << save(1, factor=1)
    play >> stored() << fetch(1)


def test_a_factor_that_comes_back_in_time_changes_nothing():
    play = running(1, batch_size=1)
    play >> settings(factor=2) << nothing
    play >> fetched(2) << nothing
    play >> settings(batch_size=1) << fetch(2)
    play >> succeeded() << save(1, factor=1)


def test_a_restart_with_another_factor_reads_past_the_old_lanes_first():
    first, second = lane_keys(2)
    play = Play(factor=1)
    play >> opened(factor=2, lanes=[LaneProgress(1, 4)]) << fetch(0)
    play >> fetched(record(1, first), record(2, second)) << fetch(2) << invoke(1, lane=0)
    play >> fetched(record(4, second), record(6, second)) << invoke(6, lane=1)
    play >> succeeded(lane=0) << save(5, lane=0, factor=2)
    play >> stored() << nothing
    play >> succeeded(lane=1) << save(6, lane=1, factor=2)
    play >> stored() << fetch(6)
    play >> fetched(record(7, first), record(8, second)) << fetch(8) << invoke(7, 8, lane=0)


def test_a_restart_with_another_factor_and_nothing_ahead_takes_it_at_once():
    first, second = lane_keys(2)
    play = Play(factor=2)
    play >> opened(position=9, factor=1, lanes=[LaneProgress(0, 9)]) << fetch(9)
    play >> fetched(record(10, first), record(11, second)) << fetch(11)
    play << invoke(10, lane=0) << invoke(11, lane=1)


# Drain.


def test_s1_a_drain_starts_nothing_and_waits_for_what_runs():
    play = running(1, batch_size=1)
    play >> fetched(2) << fetch(2)
    assert not play.engine.is_drained
    play >> drain << nothing
    assert not play.engine.is_drained
    play >> succeeded() << save(1)
    assert not play.engine.is_drained
    play >> not_stored() << nothing
    assert not play.engine.is_drained
    play.wake() << save(1)
    play >> stored() << nothing
    assert play.engine.is_drained
    play >> fetched(3) << nothing
    play.at(play.now_ms + 100_000) >> tick << nothing
    play >> resume << fetch(3) << invoke(2)
    assert not play.engine.is_drained


def test_a_drain_stops_retries_but_not_discards():
    play = running(1, retries_max=1)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> drain << nothing
    play >> stored() << nothing
    assert play.engine.is_drained
    assert play.engine.next_wakeup_ms() is None
    play >> resume << nothing
    play.wake() << invoke(1, attempt=2)
    play >> drain << nothing
    play >> failed() << discard(1, count=2, to=1)
    assert not play.engine.is_drained
    play >> discard_stored() << nothing
    assert play.engine.is_drained


def test_a_drain_leaves_windows_and_empty_stretches_alone():
    play = Play(window_ms=1_000)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1)
    play >> drain << nothing
    play.at(2_000) >> fetched(read_to=9) << nothing
    play >> opened(shard="1") << nothing
    assert play.engine.is_drained
    play >> resume << fetch(9) << invoke(1) << fetch(0, shard="1")


def test_a_fetch_ended_by_a_drain_is_no_failure():
    play = Play()
    play >> opened() << fetch(0)
    play >> drain << nothing
    play >> fetch_failed() << nothing
    play >> resume << fetch(0)


# Lineage.


def test_p28_a_child_is_not_read_while_its_parent_has_a_batch_in_retry():
    play = Play()
    play >> opened(shard="a") << fetch(0, shard="a")
    play >> opened(shard="b") << fetch(0, shard="b")
    play >> opened(shard="c", parents=("a", "b")) << nothing
    play >> fetched(shard="b", is_end=True) << nothing
    play >> fetched(1, shard="a", is_end=True) << invoke(1, shard="a")
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> stored() << nothing
    play.wake() << invoke(1, attempt=2, shard="a")
    play >> succeeded() << save(1)
    play >> stored() << fetch(0, shard="c")
    play >> fetched(1, shard="c") << fetch(1, shard="c") << invoke(1, shard="c")
    assert play.engine.position("a") == 1


def test_a_child_opened_before_its_parent_waits_for_it():
    play = Play()
    play >> opened(shard="c", parents=("a",)) << nothing
    play >> opened(position=5, shard="a") << fetch(5, shard="a")
    play >> fetched(shard="a", is_end=True) << fetch(0, shard="c")
    play >> opened(shard="d", parents=("a",)) << fetch(0, shard="d")


def test_p28_shards_come_and_go_while_others_are_at_work():
    """A forgotten shard leaves nothing behind, and its children are read on."""
    play = Play()
    play >> opened(shard="a") << fetch(0, shard="a")
    play >> fetched(1, shard="a", is_end=True) << invoke(1, shard="a")
    play >> opened(shard="b", parents=("a",)) << nothing
    assert not play.engine.is_finished("a")
    play >> succeeded() << save(1)
    play >> stored() << fetch(0, shard="b")
    assert play.engine.is_finished("a")
    play >> forgotten("a") << nothing
    assert (play.engine.is_finished("a"), play.engine.position("a")) == (False, 0)
    play >> fetched(1, shard="b") << fetch(1, shard="b") << invoke(1, shard="b")


def test_a_shard_is_not_forgotten_before_it_is_finished():
    play = Play()
    play >> opened(shard="a") << fetch(0, shard="a")
    with pytest.raises(EngineError, match="shard a is forgotten before it is finished"):
        play >> forgotten("a")


def test_an_end_found_while_the_lane_map_changes_is_reached_under_the_new_one():
    """The old map empties, the new one is taken, and only then the end is read."""
    play = Play(factor=2)
    play >> opened(shard="b", parents=("0",)) << nothing
    play >> opened(factor=2) << fetch(0)
    play >> fetched(1) << fetch(1) << invoke(1)
    play >> settings(factor=3) << nothing
    play >> fetched() << nothing
    play >> succeeded() << save(1, factor=2)
    play >> stored() << fetch(1)
    play >> fetched(is_end=True) << fetch(0, shard="b")


def test_an_end_read_while_the_lane_map_changes_needs_no_new_one():
    play = Play(factor=2)
    play >> opened(shard="b", parents=("0",)) << nothing
    play >> opened(factor=2) << fetch(0)
    play >> fetched(1) << fetch(1) << invoke(1)
    play >> settings(factor=3) << nothing
    play >> fetched(is_end=True) << nothing
    play >> succeeded() << save(1, factor=2)
    play >> stored() << fetch(0, shard="b")


def test_an_end_that_lies_past_the_last_record_is_stored_first():
    play = Play()
    play >> opened(shard="c", parents=("0",)) << nothing
    play >> opened() << fetch(0)
    play >> fetched(read_to=4, is_end=True) << save(4)
    play >> stored() << fetch(0, shard="c")


def test_an_end_does_not_wait_for_windows():
    play = Play(window_ms=60_000)
    play >> opened() << fetch(0)
    play >> fetched(1, is_end=True) << invoke(1)
