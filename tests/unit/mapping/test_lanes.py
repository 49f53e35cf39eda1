"""Lanes: which key goes where, and what of a lane is stored."""

from collections import Counter
from hashlib import md5

import pytest

from router.mapping.lanes import Doom, Lane, Phase, lane_of
from router.model.progress import LaneHead, LaneProgress
from tests.unit.mapping.play import record, spec_of


def lane_with(*positions: int, head: LaneHead | None = None) -> Lane:
    lane = Lane("0", LaneProgress(0, 0, head))
    for position in positions:
        lane.take_in(record(position), 0, 0)
    return lane


def running(*positions: int) -> Lane:
    lane = lane_with(*positions)
    lane.take_batch(spec_of())
    return lane


@pytest.mark.parametrize(
    ("key", "factor", "lane"),
    [
        ("octo/hello", 1, 0),
        ("octo/hello", 4, 0),
        ("octo/hello", 10, 4),
        ("", 10, 6),
        ("\ud800", 10, 4),
        ("Grüße", 7, 4),
    ],
)
def test_the_lane_of_a_key_never_changes(key, factor, lane):
    """Stored positions depend on these numbers: a change here loses or repeats records."""
    assert lane_of(key, factor) == lane


def test_keys_of_one_shard_fill_all_lanes():
    """Shards are cut by MD5; a lane hash that followed it would leave lanes of a shard empty."""
    shards, factor = 4, 4
    lanes = Counter()
    for number in range(4_000):
        key = f"repo-{number}"
        shard = int.from_bytes(md5(key.encode()).digest()) * shards >> 128
        lanes[shard, lane_of(key, factor)] += 1
    assert len(lanes) == shards * factor
    assert min(lanes.values()) > 180


def test_a_fresh_batch_has_no_head_to_store():
    assert running(1, 2).progress == LaneProgress(0, 0)


def test_finished_records_move_the_position():
    lane = running(1, 2, 3)
    lane.finish(2)
    assert lane.progress == LaneProgress(0, 2)
    lane.finish(1)
    assert lane.position == 3
    assert lane.batch == ()


def test_d8_parts_keep_every_record_in_order():
    lane = running(1, 2, 3, 4, 5)
    lane.split(2)
    assert lane.ends == (2, 5)
    assert [found.position for found in lane.queue] == [1, 2, 3, 4, 5]
    assert lane.progress.head == LaneHead(1, 2, 0, (5,))
    assert lane.take_part(spec_of(), 5)
    assert [found.position for found in lane.batch] == [1, 2]
    lane.split(1)
    assert lane.ends == (1, 2, 5)


def test_what_is_kept_goes_before_what_is_put_back():
    lane = running(1, 2, 3)
    lane.keep(2)
    assert [found.position for found in lane.batch] == [1, 2]
    assert lane.ends == (3,)
    assert lane.queue_bytes == 100


def test_doomed_records_are_unfinished_until_stored():
    lane = running(1, 2, 3)
    lane.attempts = 2
    lane.doom(Doom(lane.batch[:1], "RecordAgeExceeded", 3))
    assert lane.phase is Phase.DISCARDING
    assert (lane.first_unfinished, lane.first_undoomed) == (1, 2)
    assert lane.progress == LaneProgress(0, 1, LaneHead(2, 3, 2))
    assert [found.position for found in lane.stored()] == [1]
    assert lane.phase is Phase.READY
    assert (lane.position, lane.attempts) == (1, 2)


def test_the_budget_of_a_doomed_batch_does_not_pass_to_the_next_part():
    lane = running(1, 2, 3)
    lane.split(1)
    lane.take_part(spec_of(), 3)
    lane.attempts = 4
    lane.doom(Doom(lane.batch, "RetryAttemptsExhausted", 5))
    assert lane.progress == LaneProgress(0, 1, LaneHead(2, 3, 0))


def test_bytes_of_the_queue_follow_its_records():
    lane = lane_with(1, 2, 3)
    assert lane.queue_bytes == 300
    lane.take_batch(spec_of(batch_size=2))
    assert lane.queue_bytes == 100
    lane.split()
    assert lane.queue_bytes == 300


def test_a_lane_without_records_knows_nothing_unfinished():
    lane = lane_with()
    assert lane.is_idle
    assert not lane.is_busy
    assert (lane.first_unfinished, lane.first_undoomed) == (None, None)
    assert lane.window_end_ms(5, 10) == 15


def test_a_stored_head_is_not_formed_before_it_is_read():
    lane = lane_with(1, 2, head=LaneHead(1, 3, 2, (5,), 7))
    assert lane.first_failure_wall_ms == 7
    assert not lane.take_part(spec_of(), 2)
    lane.take_in(record(3), 0, 0)
    assert lane.take_part(spec_of(), 3)
    assert lane.attempts == 2
    assert lane.progress == LaneProgress(0, 0, LaneHead(1, 3, 2, (5,), 7))


def test_of_a_stored_head_only_what_is_unfinished_is_kept():
    lane = Lane("0", LaneProgress(0, 3, LaneHead(1, 3, 2, (3, 4))))
    assert (lane.ends, lane.attempts) == ((4,), 0)
    lane = Lane("0", LaneProgress(0, 3, LaneHead(1, 3, 2, (), 7)))
    assert (lane.ends, lane.attempts, lane.first_failure_wall_ms) == ((), 0, 0)


def test_a_part_that_never_failed_is_stored_while_others_wait_behind_it():
    lane = running(1, 2, 3)
    lane.split(1)
    lane.take_part(spec_of(), 3)
    assert lane.progress.head == LaneHead(1, 1, 0, (3,))
