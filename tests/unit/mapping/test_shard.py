"""A shard: what is held, how far it is finished, what it may read."""

import pytest

from router.mapping.lanes import Doom, Phase
from router.mapping.shard import RunAhead, Shard
from router.mapping.stream_engine import StreamEngine
from router.model import limits
from router.model.errors import EngineError
from router.model.progress import LaneHead, LaneProgress, ShardProgress
from tests.unit.mapping.play import Play, fetch, fetched, invoke, lane_keys, opened, record, spec_of


def shard_of(position: int = 0, factor: int = 2, *lanes: LaneProgress) -> Shard:
    return Shard("0", (), ShardProgress(position, factor, lanes))


def test_the_default_room_is_the_named_limits():
    assert RunAhead() == RunAhead(limits.RUN_AHEAD_RECORDS_MAX, limits.RUN_AHEAD_BYTES_MAX)
    assert shard_of().room(RunAhead()) == (limits.FETCH_RECORDS_MAX, limits.FETCH_BYTES_MAX)


@pytest.mark.parametrize(
    ("held_records", "held_bytes", "expected"),
    [
        (0, 0, (2_000, 8 * limits.MIB)),
        (19_500, 0, (500, 8 * limits.MIB)),
        (19_501, 0, (0, 0)),
        (1, 30 * limits.MIB, (2_000, 2 * limits.MIB)),
        (1, 30 * limits.MIB + 1, (0, 0)),
        (1, 99 * limits.MIB, (0, 0)),
    ],
)
def test_l2_room_is_what_is_not_held_and_at_least_a_quarter_fetch(
    held_records, held_bytes, expected
):
    shard = shard_of()
    shard.held_records, shard.held_bytes = held_records, held_bytes
    assert shard.room(RunAhead()) == expected


@pytest.mark.parametrize(
    ("shards", "bytes_max"), [(0, 32), (1, 32), (4, 32), (5, 25.6), (8, 16), (16, 8), (1_000, 8)]
)
def test_l2_shards_that_are_read_side_by_side_share_the_buffer(shards, bytes_max):
    share = RunAhead().share(shards)
    assert share.bytes_max == int(bytes_max * limits.MIB)
    assert share.records_max == limits.RUN_AHEAD_RECORDS_MAX


def test_below_the_horizon_there_is_always_room():
    shard = shard_of(0, 2, LaneProgress(1, 3, LaneHead(4, 8, 1, (9,))))
    shard.held_records = 10**6
    assert shard.horizon == 9
    assert shard.room(RunAhead()) == (limits.FETCH_RECORDS_MAX, limits.FETCH_BYTES_MAX)
    shard.read_to = 9
    assert shard.room(RunAhead()) == (0, 0)


def test_held_is_what_was_taken_in_and_not_released():
    first, second = lane_keys(2)
    shard = shard_of(0, 2, LaneProgress(1, 2))
    records = (record(1, first), record(2, second), record(3, second))
    shard.take_in(records, 5, 0, 0)
    assert (shard.held_records, shard.held_bytes, shard.read_to) == (2, 200, 5)
    shard.release(records[:1])
    assert (shard.held_records, shard.held_bytes) == (1, 100)


def test_d3_the_position_is_below_the_lowest_unfinished_of_all_lanes():
    first, second = lane_keys(2)
    shard = shard_of()
    shard.take_in((record(3, first), record(5, second), record(7, first)), 9, 0, 0)
    one, two = shard.lanes
    assert shard.update(one).position == 2
    one.take_batch(spec_of(batch_size=1))
    one.finish(1)
    assert shard.update(one).position == 4
    two.take_batch(spec_of())
    two.doom(Doom(two.batch, "RetryAttemptsExhausted", 1))
    assert shard.update(one).position == 4
    assert shard.update(two).position == 6
    two.stored()
    assert shard.update(one).position == 6
    one.take_batch(spec_of())
    one.finish(1)
    assert shard.update(one).position == 9


def test_d4_an_update_below_what_is_stored_is_refused():
    shard = shard_of()
    shard.take_in((record(3),), 3, 0, 0)
    shard.stored_position = 3
    with pytest.raises(EngineError):
        shard.update(shard.lanes[0])


def test_lanes_start_at_the_shards_position_or_above():
    shard = shard_of(5, 2, LaneProgress(0, 3), LaneProgress(1, 8), LaneProgress(2, 99))
    assert [lane.position for lane in shard.lanes] == [5, 8]
    assert shard.horizon == 8


def test_another_lane_map_starts_where_all_is_finished():
    shard = shard_of(5, 2, LaneProgress(1, 8))
    assert shard.can_read(3)
    shard.take_in((), 8, 0, 0)
    assert not shard.can_read(3)
    assert shard.can_read(2)
    shard.remap(3)
    assert [lane.position for lane in shard.lanes] == [8, 8, 8]
    assert shard.can_read(3)


def test_an_ended_shard_reads_no_more():
    shard = shard_of(0, 1, LaneProgress(0, 0, LaneHead(1, 4, 1)))
    shard.end()
    assert not shard.can_read(1)
    assert shard.read_to == 4


def test_d6_a_lane_with_an_open_command_starts_no_other():
    """The guard stays on in production: here the lane's phase is forged."""
    play = Play()
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << invoke(1)
    engine: StreamEngine = play.engine
    shard = engine._shards["0"]
    lane = shard.lanes[0]
    lane.phase = Phase.READY
    with pytest.raises(EngineError, match="open already"):
        engine._attempt(shard, lane)
