"""Where a partition goes on: by its commit, and by what is known here and still holds (D1, D7)."""

import pytest

from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.sources.kafka.committed import encode
from router.sources.kafka.group_progress import GroupProgress, basis
from router.sources.kafka.member import Lost
from router.sources.kafka.opening import go_on


class Member:
    """A broker, and where its partitions are read."""

    def __init__(self, **commits) -> None:
        self.commits = {name.replace("_", "-"): it for name, it in commits.items()}
        self.places = {}
        self.lost = None

    async def committed(self, partitions):
        return {name: self.commits[name] for name in partitions if name in self.commits}

    async def commit(self, offsets):
        self.commits.update(offsets)

    def go_to(self, partition, offset):
        if partition == self.lost:
            raise Lost("it is somebody else's again")
        self.places[partition] = offset


@pytest.fixture
async def progress():
    async def nothing(*_):
        pass

    progress = GroupProgress("m", nothing, None, nothing, lambda _: None, lambda _: None)
    yield progress
    await progress.stop()


AHEAD = ShardProgress(4, 2, (LaneProgress(1, 9),))


async def test_where_the_commit_says(progress):
    member = Member(t_0=encode(AHEAD), t_1=(7, "written by another consumer"))
    found = await go_on(member, progress, ["t-0", "t-1"], {})
    assert found == {"t-0": AHEAD, "t-1": ShardProgress(6)}
    assert member.places == {"t-0": 5, "t-1": 7}
    assert progress.positions() == {"t-0": 4, "t-1": 6}


async def test_a_partition_without_a_commit_begins_at_its_beginning_whatever_is_known(
    progress,
):
    """Its commits went with its topic: what is known is of another one."""
    progress.begin("t-0", ShardProgress(-1), (0, ""))
    lane = LaneProgress(0, 50)
    await progress.save("m", ProgressUpdate(shard="t-0", position=50, factor=1, lane=lane))
    progress.end()
    member = Member()
    stored = {"t-0": ShardProgress(60), basis("t-0"): ShardProgress(-1)}
    assert await go_on(member, progress, ["t-0"], stored) == {"t-0": ShardProgress(-1)}
    assert member.commits == {"t-0": (0, "")}


async def test_where_one_cannot_be_read_none_is_begun(progress):
    member = Member(t_0=(5, ""), t_1=(7, ""))
    member.lost = "t-1"
    with pytest.raises(Lost):
        await go_on(member, progress, ["t-0", "t-1"], {})
    assert progress.positions() == {}
