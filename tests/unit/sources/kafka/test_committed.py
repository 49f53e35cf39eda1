"""What a commit's metadata says: the same on the way in and out, and never too large (D3, D12)."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.limits import BATCH_SIZE_MAX, RUN_AHEAD_RECORDS_MAX
from router.model.progress import LaneHead, LaneProgress, ShardProgress
from router.sources.kafka.committed import METADATA_BYTES_MAX, NotOurs, decode, encode

WALL_MS = 1_772_446_498_204


def both_ways(progress: ShardProgress) -> ShardProgress:
    offset, metadata = encode(progress)
    assert offset == progress.position + 1
    assert len(metadata) <= METADATA_BYTES_MAX
    return decode(offset, metadata)


def test_a_position_alone_is_an_offset_like_any_other_clients():
    assert encode(ShardProgress(41, 1, (LaneProgress(0, 41),))) == (42, "")
    assert decode(42, "") == ShardProgress(41)
    assert decode(0, "") == ShardProgress(-1)


def test_lanes_that_are_not_ahead_are_history():
    lanes = (LaneProgress(0, 3), LaneProgress(1, 90), LaneProgress(2, 41))
    assert both_ways(ShardProgress(41, 4, lanes)) == ShardProgress(41, 4, (LaneProgress(1, 90),))


def test_a_lane_map_is_kept_without_lanes_that_are_ahead():
    assert both_ways(ShardProgress(-1, 16)) == ShardProgress(-1, 16)


@st.composite
def positions(draw, above: int, count: int):
    steps = draw(st.lists(st.integers(1, 3_000), max_size=count))
    found = []
    for step in steps:
        found.append((found[-1] if found else above) + step)
    return tuple(found)


@st.composite
def progresses(draw):
    base, factor = draw(st.integers(-1, 1 << 40)), draw(st.integers(1, 20))
    lanes = []
    for lane in draw(st.sets(st.integers(0, factor - 1))):
        ahead = draw(st.integers(0, 100_000))
        head = None
        if draw(st.booleans()):
            first = base + ahead + draw(st.integers(1, 1_000))
            last = first + draw(st.integers(0, 500))
            ends, done = draw(positions(last, 3)), draw(positions(first, 5))
            head = LaneHead(first, last, draw(st.integers(0, 10_000)), ends, WALL_MS, done)
        if ahead or head:
            lanes.append(LaneProgress(lane, base + ahead, head))
    return ShardProgress(base, factor, tuple(sorted(lanes, key=lambda it: it.lane)))


@given(progresses())
def test_d12_everything_comes_back(progress):
    assert both_ways(progress) == progress


def test_d12_a_thousand_lanes_as_far_ahead_as_they_may_be_fit():
    lanes = tuple(
        LaneProgress(lane, 10**12 + RUN_AHEAD_RECORDS_MAX - lane) for lane in range(1_000)
    )
    progress = ShardProgress(10**12, 1_000, lanes)
    assert both_ways(progress) == progress


def test_heads_that_do_not_fit_are_left_out_those_with_the_fewest_attempts_first():
    lanes = tuple(
        LaneProgress(lane, 10_000 + lane, LaneHead(20_000, 20_100, lane, (), WALL_MS))
        for lane in range(1_000)
    )
    found = both_ways(ShardProgress(9_000, 1_000, lanes)).lanes
    assert [lane.position for lane in found] == [lane.position for lane in lanes]
    kept = [lane.lane for lane in found if lane.head is not None]
    assert 0 < len(kept) < 1_000
    assert kept[-70:] == list(range(930, 1_000))


def test_a_batch_of_which_every_other_record_failed_keeps_its_head():
    done = tuple(range(1, BATCH_SIZE_MAX, 2))
    head = LaneHead(0, BATCH_SIZE_MAX, 3, (), WALL_MS, done)
    progress = ShardProgress(-1, 1, (LaneProgress(0, -1, head),))
    assert both_ways(progress) == progress


def test_finished_records_that_do_not_fit_are_left_out_of_a_head():
    done = tuple(range(1, 100_000_000, 50_000))
    head = LaneHead(0, 100_000_000, 3, (), WALL_MS, done)
    (lane,) = both_ways(ShardProgress(-1, 1, (LaneProgress(0, -1, head),))).lanes
    assert lane.head == LaneHead(0, 100_000_000, 3, (), WALL_MS)


@pytest.mark.parametrize(
    "metadata",
    ["hello", "router1:", "router1:!!", "router1:~", "router2:0", "router1:" + "0" * 50,
     "router1:" + base64.b85encode(bytes([1, 1, 1, 5, 5, 0])).decode()],
)  # fmt: skip
def test_metadata_of_somebody_else_is_told_apart(metadata):
    with pytest.raises(NotOurs):
        decode(7, metadata)


@given(st.binary(max_size=60))
def test_no_bytes_make_it_do_anything_else(body):
    try:
        found = decode(100, "router1:" + base64.b85encode(body).decode())
    except NotOurs:
        return
    assert found.position == 99


def test_what_is_finished_before_a_head_is_left_out_of_it():
    head = LaneHead(181, 183, 0, (), WALL_MS, (180, 182))
    known = both_ways(ShardProgress(180, 4, (LaneProgress(2, 180, head),)))
    assert known.lanes[0].head == LaneHead(181, 183, 0, (), WALL_MS, (182,))


@pytest.mark.parametrize(
    ("head", "known"),
    [
        (LaneHead(148, 148, 3, (), WALL_MS), None),
        (LaneHead(148, 160, 3, (), WALL_MS), LaneHead(153, 160, 3, (), WALL_MS)),
        (LaneHead(148, 150, 3, (152, 170), WALL_MS), LaneHead(153, 170, 0, (), WALL_MS)),
        (
            LaneHead(148, 160, 3, (170,), WALL_MS, (149, 155)),
            LaneHead(153, 160, 3, (170,), WALL_MS, (155,)),
        ),
    ],
)
def test_d3_what_the_position_has_passed_of_a_head_is_history(head, known):
    """Records that were trimmed, or that new filters leave out: no step of their lane says so."""
    found = both_ways(ShardProgress(152, 4, (LaneProgress(2, 89, head), LaneProgress(3, 154))))
    lanes = {lane.lane: lane for lane in found.lanes}
    assert lanes[3].position == 154
    assert (lanes[2].head if 2 in lanes else None) == known


def test_the_end_of_such_a_batch_finishes_what_was_done_of_it():
    lane = LaneProgress(2, 89, LaneHead(148, 148, 3, (), WALL_MS, (149, 155)))
    assert both_ways(ShardProgress(152, 4, (lane,))).lanes == (LaneProgress(2, 155),)
