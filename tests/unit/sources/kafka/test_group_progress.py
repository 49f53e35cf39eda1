"""Commits: together, never past unfinished work, never of what was revoked (D3, D4, D7, D10)."""

import asyncio

import pytest

from router.model.errors import RouterError
from router.model.progress import LaneHead, LaneProgress, ProgressUpdate, ShardProgress
from router.sources.kafka.committed import decode, merged
from router.sources.kafka.group_progress import NOTHING, GroupProgress, NotOurs, basis
from router.store.base import DropProgress, OutboxRow
from tests.patience import PATIENCE_S, until


class Group:
    """A broker and a store that remember what they were told."""

    def __init__(self) -> None:
        self.commits: list[dict[str, ShardProgress]] = []
        self.told: list[str] = []
        self.moved = 0
        self.failures: list[RouterError] = []
        self.refusal: RouterError | None = None
        self.started: dict[str, int] = {}
        self.may_store = asyncio.Event()
        self.may_store.set()
        self.progress = GroupProgress(
            "m", self.commit, self, self.forget, self.note, self.failures.append
        )

    async def commit(self, offsets):
        if self.refusal is not None:
            raise self.refusal
        self.commits.append({name: decode(*it) for name, it in offsets.items()})
        self.told.append("commit")

    async def start(self, mapping, positions):
        self.started = positions
        self.told.append("start")

    async def discard(self, mapping, update, outbox, message):
        self.told.append("discard")
        await self.may_store.wait()

    async def forget(self, changes):
        assert changes == [DropProgress("m")]
        self.told.append("forget")

    def note(self, moved):
        self.moved += moved


@pytest.fixture
async def group():
    group = Group()
    group.progress.begin("t-0", ShardProgress(-1))
    yield group
    await group.progress.stop()


def step(position, lane_position=None, head=None, lane=0, factor=1, shard="t-0"):
    at = position if lane_position is None else lane_position
    return ProgressUpdate(
        shard=shard, position=position, factor=factor, lane=LaneProgress(lane, at, head)
    )


ROW = OutboxRow(
    mapping="m", mapping_uuid="u", destination="d", letter_id="l", body=b"", records=1,
    next_attempt_ms=0,
)  # fmt: skip


async def test_successes_are_answered_at_once_and_committed_together(group):
    for position in range(100):
        await group.progress.save("m", step(position))
    assert group.commits == []
    await group.progress.flush()
    assert group.commits == [{"t-0": ShardProgress(99)}]
    assert group.moved == 100


async def test_nobody_has_to_ask_for_a_commit(group):
    await group.progress.save("m", step(0))
    await until(lambda: group.commits == [{"t-0": ShardProgress(0)}])


async def test_d10_a_failure_is_durable_before_it_is_tried_again(group):
    head = LaneHead(0, 3, 1)
    await group.progress.save("m", step(-1, head=head))
    (lane,) = group.commits[-1]["t-0"].lanes
    assert lane.head == head


async def test_d4_steps_of_lanes_in_any_order_never_go_back(group):
    await group.progress.save("m", step(5, 9, lane=1, factor=3))
    await group.progress.save("m", step(2, 4, lane=0, factor=3))
    await group.progress.flush()
    expected = ShardProgress(5, 3, (LaneProgress(1, 9),))
    assert group.commits == [{"t-0": expected}]


async def test_d3_nothing_of_a_revoked_partition_is_committed(group):
    await group.progress.save("m", step(0))
    group.progress.end()
    with pytest.raises(NotOurs):
        await group.progress.save("m", step(1))
    with pytest.raises(NotOurs):
        await group.progress.discard("m", step(1), ROW, None)
    await asyncio.sleep(0.4)
    assert group.commits == []
    assert group.told == []


async def test_who_waits_for_a_commit_is_told_when_the_partition_goes(group):
    group.refusal = RouterError("away")
    first = asyncio.create_task(group.progress.save("m", step(-1, head=LaneHead(0, 0, 1))))
    with pytest.raises(RouterError, match="away"):
        await first
    second = asyncio.create_task(group.progress.save("m", step(-1, head=LaneHead(0, 0, 2))))
    await asyncio.sleep(0)
    group.progress.end()
    with pytest.raises(NotOurs):
        await second


async def test_a_commit_that_failed_is_made_later_with_what_came_since(group, monkeypatch):
    monkeypatch.setattr("router.sources.kafka.group_progress.RETRY_S", 0.01)
    group.refusal = RouterError("away")
    await group.progress.save("m", step(0))
    with pytest.raises(RouterError):
        await group.progress.flush()
    group.refusal = None
    await group.progress.save("m", step(4))
    await group.progress.flush()
    assert group.commits == [{"t-0": ShardProgress(4)}]
    assert len(group.failures) == 1


async def test_d7_a_discard_is_stored_before_it_is_committed_and_forgotten_after(group):
    await group.progress.discard("m", step(3), ROW, None)
    await group.progress.flush()
    assert group.told == ["start", "discard", "commit", "forget"]


async def test_a_discard_that_nobody_is_told_of_needs_no_store(group):
    await group.progress.discard("m", step(3), None, None)
    await group.progress.flush()
    assert group.told == ["commit"]


async def test_a_flush_waits_for_the_commit_that_is_under_way(group):
    began, may_end = asyncio.Event(), asyncio.Event()
    plain = group.commit

    async def slow(offsets):
        began.set()
        await may_end.wait()
        await plain(offsets)

    group.progress._commit = slow
    await group.progress.save("m", step(0))
    flush = asyncio.create_task(group.progress.flush())
    await began.wait()
    late = asyncio.create_task(group.progress.flush())
    may_end.set()
    await asyncio.gather(flush, late)
    assert group.commits == [{"t-0": ShardProgress(0)}]


def back(group, said, progress, stored=None):
    """The partition comes back, last committed so."""
    progress = group.progress.standing("t-0", progress, said, stored or {})
    group.progress.begin("t-0", progress, said)
    return progress


async def test_d12_what_could_not_be_committed_is_not_repeated_where_nobody_else_went_on(group):
    await group.progress.save("m", step(4))
    await group.progress.flush()
    group.refusal = RouterError("put out of the group")
    await group.progress.save("m", step(9))
    group.progress.end()
    group.refusal = None
    assert back(group, (5, ""), ShardProgress(4)) == ShardProgress(9)
    await group.progress.save("m", step(10))
    await group.progress.flush()
    assert group.commits[-1] == {"t-0": ShardProgress(10)}
    assert group.moved == 11


async def test_d4_where_somebody_else_went_on_his_commit_counts(group):
    await group.progress.save("m", step(4))
    await group.progress.flush()
    await group.progress.save("m", step(9))
    group.progress.end()
    assert back(group, (7, ""), ShardProgress(6)) == ShardProgress(6)
    assert back(group, (5, ""), ShardProgress(4)) == ShardProgress(4)  # and what was left is gone


async def test_d3_a_discard_of_before_says_nothing_about_a_partition_that_went_and_came(group):
    group.may_store.clear()
    late = asyncio.create_task(group.progress.discard("m", step(3), ROW, None))
    await asyncio.sleep(0)
    group.progress.end()
    back(group, (1, ""), ShardProgress(0))  # somebody else was here, and somebody set it back
    group.may_store.set()
    with pytest.raises(NotOurs):
        await late
    assert group.progress.positions() == {"t-0": 0}


async def test_d7_a_discard_counts_where_the_partition_came_back_as_it_was(group):
    group.may_store.clear()
    late = asyncio.create_task(group.progress.discard("m", step(3), ROW, None))
    await asyncio.sleep(0)
    group.progress.end()
    back(group, (0, ""), ShardProgress(-1))
    group.may_store.set()
    await late
    await group.progress.flush()
    assert group.commits == [{"t-0": ShardProgress(3)}]


async def test_d1_a_partition_made_anew_takes_nothing_over_from_the_one_before(group):
    await group.progress.save("m", step(500))
    group.may_store.clear()
    late = asyncio.create_task(group.progress.discard("m", step(510), ROW, None))
    await asyncio.sleep(0)
    group.progress.end_for_good("t-0")
    with pytest.raises(NotOurs):
        await group.progress.save("m", step(505))
    group.progress.begin_anew("t-0", 0)
    group.may_store.set()
    with pytest.raises(NotOurs):
        await late
    await group.progress.flush()
    assert group.commits == [{"t-0": ShardProgress(-1)}]
    assert group.told[-1] == "forget"


async def test_d7_a_discard_waits_in_the_store_for_the_commit_of_its_own_partition(group):
    group.progress.begin("t-1", ShardProgress(-1))
    await group.progress.discard("m", step(3), ROW, None)
    assert group.started == {"t-0": NOTHING, basis("t-0"): -1}
    group.progress._dirty.discard("t-0")  # as where its commit is refused
    await group.progress.save("m", step(0, shard="t-1"))
    await group.progress.flush()
    assert group.told == ["start", "discard", "commit"]
    await group.progress.save("m", step(4))
    await group.progress.flush()
    assert group.told[-2:] == ["commit", "forget"]


STORED = {"t-0": ShardProgress(500), basis("t-0"): ShardProgress(99)}


async def test_d7_after_a_crash_what_a_stored_discard_covers_is_committed_and_forgotten(group):
    group.progress.end()
    assert back(group, (120, ""), ShardProgress(119), STORED) == ShardProgress(500)
    group.progress.found(STORED)
    await group.progress.flush()
    assert group.commits == [{"t-0": ShardProgress(500)}]
    assert group.told == ["commit", "forget"]


@pytest.mark.parametrize("position", [-1, 50, 98])
async def test_d1_a_stored_discard_hides_nothing_where_the_group_was_set_back(group, position):
    """By a tool, or because the topic is another one since: those records are to be read."""
    group.progress.end()
    said = (position + 1, "")
    assert back(group, said, ShardProgress(position), STORED) == ShardProgress(position)


async def test_a_commit_that_cannot_be_written_down_is_told_and_stops_nobody_else(group):
    """Whoever waits is answered, whatever is wrong with what was to be committed."""
    head = LaneHead(5, 5, -1)
    with pytest.raises(RouterError, match="ValueError"):
        await asyncio.wait_for(group.progress.save("m", step(3, head=head)), PATIENCE_S)
    await group.progress.save("m", step(5))
    await asyncio.wait_for(group.progress.flush(), PATIENCE_S)
    assert group.commits[-1] == {"t-0": ShardProgress(5)}


@pytest.mark.parametrize(
    ("committed", "stored", "expected"),
    [
        (ShardProgress(5), None, ShardProgress(5)),
        (ShardProgress(5), ShardProgress(9), ShardProgress(9)),
        (ShardProgress(9), ShardProgress(5, 1, (LaneProgress(0, 5),)), ShardProgress(9)),
        (
            ShardProgress(5, 2, (LaneProgress(0, 8), LaneProgress(1, 6, LaneHead(7, 7, 1)))),
            ShardProgress(4, 2, (LaneProgress(0, 6), LaneProgress(1, 7))),
            ShardProgress(5, 2, (LaneProgress(0, 8), LaneProgress(1, 7))),
        ),
        (ShardProgress(5, 2), ShardProgress(4, 3), ShardProgress(5, 2)),
        (ShardProgress(5, 2), ShardProgress(6, 3), ShardProgress(6, 3)),
    ],
)
def test_d7_positions_a_stored_discard_covers_are_skipped(committed, stored, expected):
    assert merged(committed, stored) == expected


async def test_d12_what_was_finished_and_not_committed_is_when_the_partition_comes_back(group):
    """Also where nothing else comes to be committed with it."""
    await group.progress.save("m", step(3))
    group.progress.end()
    await asyncio.sleep(0.4)  # its commit finds nothing left to say
    assert group.commits == []
    assert back(group, (0, ""), ShardProgress(-1), {}) == ShardProgress(3)
    await asyncio.wait_for(group.progress.flush(), PATIENCE_S)
    assert group.commits == [{"t-0": ShardProgress(3)}]


async def test_d7_a_discard_begins_its_place_in_the_store_itself(group):
    """What was read of the store may be forgotten by a commit that was under way."""
    group.progress.found(STORED)
    await group.progress.discard("m", step(501), ROW, None)
    assert group.told[:2] == ["start", "discard"]
