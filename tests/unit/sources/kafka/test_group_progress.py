"""Commits: together, never past unfinished work, never of what was revoked (D3, D4, D7, D10)."""

import asyncio

import pytest

from router.model.errors import RouterError
from router.model.progress import LaneHead, LaneProgress, ProgressUpdate, ShardProgress
from router.sources.kafka.committed import decode, merged
from router.sources.kafka.group_progress import GroupProgress, NotOurs
from router.store.base import DropProgress, OutboxRow


class Group:
    """A broker and a store that remember what they were told."""

    def __init__(self) -> None:
        self.commits: list[dict[str, ShardProgress]] = []
        self.told: list[str] = []
        self.moved = 0
        self.failures: list[RouterError] = []
        self.refusal: RouterError | None = None
        self.progress = GroupProgress(
            "m", self.commit, self, self.forget, self.note, self.failures.append
        )

    async def commit(self, offsets):
        if self.refusal is not None:
            raise self.refusal
        self.commits.append({name: decode(*it) for name, it in offsets.items()})
        self.told.append("commit")

    async def start(self, mapping, positions):
        self.told.append("start")

    async def discard(self, mapping, update, outbox, message):
        self.told.append("discard")

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
    await asyncio.sleep(0.4)
    assert group.commits == [{"t-0": ShardProgress(0)}]


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
