"""Where a group begins: fixed once, and what is known of an earlier one is forgotten (P19)."""

import pytest

from router.sources.kafka.member import Lost
from router.sources.kafka.starting import fix_start
from tests.unit.mapping.play import spec_of

NAMES = ["t-0", "t-1"]


class Group:
    """A broker with two partitions, and what was done there."""

    def __init__(self) -> None:
        self.commits = {}
        self.told = []
        self.refusal = None
        self.on_bounds = lambda: None

    async def committed(self, partitions):
        return {name: it for name, it in self.commits.items() if name in partitions}

    async def commit(self, offsets):
        self.told.append("commit")
        if self.refusal is not None:
            raise self.refusal
        self.commits.update(offsets)

    async def bounds(self, partitions):
        self.on_bounds()
        return dict.fromkeys(partitions, (3, 9))

    async def offsets_at(self, partitions, wall_ms):
        return dict(zip(partitions, (wall_ms, None), strict=True))

    async def forget(self):
        self.told.append("forget")

    async def begin(self, start, timestamp_ms=None):
        spec = spec_of(starting_position=start, starting_timestamp_ms=timestamp_ms)
        await fix_start(self, spec, NAMES, self.forget)


@pytest.mark.parametrize(
    ("start", "expected"),
    [("TRIM_HORIZON", [3, 3]), ("LATEST", [9, 9]), ("AT_TIMESTAMP", [7, 9])],
)
async def test_a_group_without_commits_begins_where_it_is_told(start, expected):
    group = Group()
    await group.begin(start, 7)
    assert [group.commits[name] for name in NAMES] == [(at, "") for at in expected]


async def test_d1_what_is_known_of_an_earlier_topic_is_forgotten_first():
    group = Group()
    await group.begin("TRIM_HORIZON")
    assert group.told == ["forget", "commit"]


async def test_p19_commits_beat_the_starting_position_and_nothing_is_forgotten():
    group = Group()
    group.commits["t-1"] = (5, "")
    await group.begin("LATEST")
    assert group.told == []


async def test_a_router_that_was_faster_decides():
    group = Group()
    group.on_bounds = lambda: group.commits.update({"t-0": (8, "")})
    await group.begin("LATEST")
    assert "commit" not in group.told


async def test_a_member_that_was_faster_decides():
    group = Group()
    group.refusal = Lost("only members may commit now")
    with pytest.raises(Lost):
        await group.begin("LATEST")
