"""A Kafka cluster with one topic and one consumer group, as the classic protocol has it.

At each rebalance every member gives up all of its partitions before any is given anew; who does not
come back in time is no member any more, and what it commits is refused by its generation.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from tests.simulation.loop import VirtualLoop
from tests.simulation.topics.options import TOPIC, TopicOptions

SESSION_MS = 9_000
HEARTBEAT_MS = 3_000
REBALANCE_MS = 25_000


class LogRecord(NamedTuple):
    """As the client hands it over."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes
    headers: tuple[Any, ...] = ()


class Refused(Exception):
    """A commit of somebody who is no member of this generation."""


class GroupMember(Protocol):
    """A client in the group."""

    is_cut: bool

    def must_rejoin(self) -> None:
        """Told by a heartbeat: give up all partitions, then `Cluster.join`."""

    def given(self, partitions: list[int], generation: int, member_id: int) -> None:
        """Answer of the join."""


class Cluster:
    """Logs, commits, and the group's coordinator."""

    def __init__(
        self,
        options: TopicOptions,
        rng: random.Random,
        loop: VirtualLoop,
        committed: Callable[[str, int, str], None],
    ) -> None:
        """`committed` hears of each commit that counts."""
        self._options = options
        self._rng = rng
        self._loop = loop
        self._heard = committed
        self.logs: list[list[LogRecord]] = [[] for _ in range(options.partitions)]
        self.ends = [0] * options.partitions
        self.commits: dict[str, tuple[int, str]] = {}
        self.generation = 0
        self.members: dict[int, GroupMember] = {}
        self._joined: dict[int, GroupMember] = {}
        self._last_member = 0
        self._is_joining = False
        self._rounds = 0
        self.is_away = False

    # Records

    def append(self, partition: int, key: bytes | None, wall_ms: int, *, is_gap: bool) -> int:
        """One more record; a gap is an offset that nobody will ever see (transactions)."""
        if is_gap:
            self.ends[partition] += 1
        offset = self.ends[partition]
        value = b'{"n":%d}' % (offset % 10)
        self.logs[partition].append(LogRecord(offset, wall_ms, 0, key, value))
        self.ends[partition] += 1
        return offset

    def read(self, partition: int, offset: int, records_max: int) -> list[LogRecord]:
        """Records from an offset on."""
        log = self.logs[partition]
        low, high = 0, len(log)
        while low < high:
            middle = (low + high) // 2
            if log[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return log[low : low + records_max]

    def grow(self) -> int:
        """One partition more; clients find out as they look."""
        self.logs.append([])
        self.ends.append(0)
        for member in list(self.members.values()):
            self._soon(member)
        self._begin_rebalance()
        return len(self.logs) - 1

    # Commits

    def commit(self, member_id: int, generation: int, offsets: dict[str, tuple[int, str]]) -> None:
        """Raises `Refused` as a coordinator does."""
        if member_id not in self.members and (generation >= 0 or self.members):
            raise Refused("unknown member")
        if member_id in self.members and generation != self.generation:
            raise Refused("illegal generation")
        for name, (offset, metadata) in offsets.items():
            self.commits[name] = (offset, metadata)
            self._heard(name, offset, metadata)

    # The group

    @property
    def is_rebalancing(self) -> bool:
        """Members are asked to join anew."""
        return self._is_joining

    def join(self, member: GroupMember, member_id: int) -> int:
        """A member asks to be in the next generation; its id. It is answered by `given`."""
        if member_id not in self.members:
            self._last_member += 1
            member_id = self._last_member
            self.members[member_id] = member
            self._begin_rebalance(but=member_id)
        elif not self._is_joining:
            self._begin_rebalance(but=member_id)
        self._joined[member_id] = member
        self._see_complete()
        return member_id

    def leave(self, member_id: int) -> None:
        """In good order, or because its session is over."""
        if self.members.pop(member_id, None) is None:
            return
        self._joined.pop(member_id, None)
        if self.members:
            self._begin_rebalance()
            self._see_complete()

    def lost(self, member_id: int, is_lost: Callable[[], bool]) -> None:
        """Not heard of from now on; at the end of its session it is out, if that is so still."""

        def end() -> None:
            if not is_lost():
                return
            if self.is_away:
                self._loop.later(SESSION_MS, end, is_of_life=False)
            else:
                self.leave(member_id)

        self._loop.later(SESSION_MS, end, is_of_life=False)

    def _begin_rebalance(self, but: int = 0) -> None:
        if self._is_joining:
            return
        self._is_joining = True
        self._joined = {}
        self._rounds += 1
        now = self._rounds
        for member_id, member in list(self.members.items()):
            if member_id != but:
                self._soon(member)

        def out_of_time() -> None:
            if self._is_joining and self._rounds == now:
                for member_id in self.members.keys() - self._joined.keys():
                    del self.members[member_id]
                self._see_complete()

        self._loop.later(REBALANCE_MS, out_of_time, is_of_life=False)

    def _soon(self, member: GroupMember) -> None:
        """The next heartbeat tells it."""
        delay_ms = self._rng.randint(0, HEARTBEAT_MS)
        self._loop.later(delay_ms, member.must_rejoin, is_of_life=False)

    def _see_complete(self) -> None:
        if not self._is_joining or self.members.keys() != self._joined.keys():
            return
        self._is_joining = False
        if not self.members:
            return
        self.generation += 1
        ids = sorted(self.members)
        shift = self._rng.randrange(len(ids))
        for index, member_id in enumerate(ids):
            mine = [it for it in range(len(self.logs)) if (it + shift) % len(ids) == index]
            self.members[member_id].given(mine, self.generation, member_id)


def name_of(partition: int) -> str:
    """As events and commits name it."""
    return f"{TOPIC}-{partition}"
