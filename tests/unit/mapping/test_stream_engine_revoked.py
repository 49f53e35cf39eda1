"""The stream engine, as playbooks: shards that a rebalance takes away and gives back (D3 to D6)."""

import pytest

from router.mapping import engine as e
from router.model.errors import EngineError
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import (
    Play,
    drain,
    failed,
    fetch,
    fetch_failed,
    fetched,
    invoke,
    lane_keys,
    nothing,
    opened,
    record,
    resume,
    revoked,
    running,
    save,
    stored,
    succeeded,
)


def test_a_revoked_shard_is_neither_read_nor_invoked_nor_stored():
    play = running(1, 2)
    play >> revoked() << nothing
    play >> fetched(3) << nothing
    play >> succeeded() << nothing
    assert play.engine.next_wakeup_ms() is None
    assert play.engine.held_bytes == play.engine.held_records == 0


def test_a_shard_without_work_is_forgotten_at_once():
    play = Play()
    play >> opened() << fetch(0)
    play >> revoked() << nothing
    play >> fetched() << nothing
    play >> opened(5) << fetch(5)
    play >> fetched(6) << fetch(6) << invoke(6)
    assert play.engine.position("0") == 5


def test_the_answer_to_a_fetch_of_before_says_nothing_about_the_shard_now():
    play = Play()
    play >> opened() << fetch(0)
    old = play.take(e.Fetch)
    play >> revoked() << nothing
    play >> opened(5) << fetch(5)
    play >> (lambda _: e.RecordsFetched(old.command_id, (record(1),), 1)) << nothing
    play >> fetched(6) << fetch(6) << invoke(6)


def test_a_fetch_of_before_that_fails_says_nothing_either():
    play = running(1)
    play >> revoked() << nothing
    play >> fetch_failed() << nothing
    play >> succeeded() << nothing
    play = Play()
    play >> opened() << fetch(0)
    play >> revoked() << nothing
    play >> fetch_failed() << nothing
    play >> opened(5) << fetch(5)


def test_a_shard_that_comes_back_as_it_was_goes_on_with_what_runs():
    """D6, D12: the running batch is not invoked again, and its success is stored."""
    play = running(1, 2)
    play >> revoked() << nothing
    play >> opened(0) << nothing
    play >> succeeded() << save(2)
    play >> stored() << nothing
    assert play.engine.position("0") == 2


def test_what_ended_while_another_lane_ran_is_stored_when_the_shard_comes_back():
    zero, one = lane_keys(2)
    play = Play(factor=2)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, zero), record(2, one)) << fetch(2) << invoke(1) << invoke(2)
    play >> revoked() << nothing
    play >> succeeded(lane=0) << nothing
    play >> opened(0, factor=2) << save(1, lane=0)
    play >> stored(lane=0) << nothing
    play >> succeeded(lane=1) << save(2, lane=1)


def test_a_shard_somebody_else_went_on_with_waits_for_what_still_runs_here():
    """D6: no two invocations of a partition at a time. D4: what is committed never goes back."""
    play = running(1, 2)
    play >> revoked() << nothing
    play >> opened(2) << nothing
    play >> succeeded() << fetch(2)
    assert play.engine.held_bytes == 0
    play >> (lambda p: e.RecordsFetched(p.last(e.Fetch).command_id, (record(3),), 3))
    play << fetch(3) << invoke(3)


def test_a_shard_that_is_revoked_again_before_its_first_life_ended():
    play = running(1, 2)
    play >> revoked() << nothing
    play >> opened(1) << nothing
    play >> revoked() << nothing
    play >> opened(0) << nothing
    play >> succeeded() << save(2)


def test_nobody_waits_for_a_shard_that_does_not_come_back():
    play = running(1)
    play >> revoked() << nothing
    play >> drain << nothing
    assert not play.engine.is_drained
    play >> succeeded() << nothing
    assert play.engine.is_drained
    play >> resume << nothing


def test_a_retry_that_waits_goes_on_with_its_budget_where_it_is_stored():
    """D10: the head travels with the progress, so a rebalance gives no attempts away."""
    play = running(1, retries_max=2)
    play >> failed() << save(0, head=LaneHead(1, 1, 1))
    play >> stored() << nothing
    play >> revoked() << nothing
    assert play.engine.next_wakeup_ms() is None
    head = LaneHead(1, 1, 1)
    play >> opened(0, lanes=[LaneProgress(0, 0, head)]) << fetch(0)
    play >> (lambda p: e.RecordsFetched(p.last(e.Fetch).command_id, (record(1),), 1))
    play << fetch(1) << invoke(1, attempt=2)


def test_a_lane_that_somebody_else_finished_counts_as_going_on():
    zero, one = lane_keys(2)
    play = Play(factor=2)
    play >> opened(factor=2) << fetch(0)
    play >> fetched(record(1, zero), record(2, one)) << fetch(2) << invoke(1) << invoke(2)
    play >> revoked() << nothing
    play >> opened(0, factor=2, lanes=[LaneProgress(1, 2)]) << nothing
    play >> succeeded(lane=0) << nothing
    play >> succeeded(lane=1) << fetch(0)


def test_d1_a_shard_that_was_set_back_is_read_from_there():
    """Its topic was made anew, or its group's offsets were reset: what runs says nothing of it."""
    play = Play()
    play >> opened(500) << fetch(500)
    play >> fetched(501, 502) << fetch(502) << invoke(501, 502)
    play >> revoked() << nothing
    play >> opened(0) << nothing
    play >> succeeded() << fetch(0)


def test_another_lane_map_is_another_life():
    play = running(1)
    play >> revoked() << nothing
    play >> opened(0, factor=3) << nothing
    play >> succeeded() << fetch(0)


def test_a_finished_shard_is_revoked_like_any_other():
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(is_end=True) << nothing
    play >> revoked() << nothing
    play >> opened() << fetch(0)


def test_a_shard_that_was_never_opened_cannot_be_revoked():
    play = Play()
    with pytest.raises(EngineError, match="never opened"):
        play >> revoked()


def test_the_others_share_what_may_be_held():
    play = Play()
    play >> opened(shard="a") << fetch(shard="a")
    play >> opened(shard="b") << fetch(shard="b")
    play >> revoked("a") << nothing
    play >> opened(shard="a") << fetch(shard="a")
    assert play.engine._readable == 2
