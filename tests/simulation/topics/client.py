"""The client library as `sources/kafka/member.py` uses it, on a simulated cluster.

Only what the member asks of `AIOKafkaConsumer`, and as that does it: a commit is tried again until
it is answered, with the generation of each attempt; a rebalance revokes first, and then joins.
"""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import errors
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from tests.simulation.topics.cluster import HEARTBEAT_MS, Refused, name_of
from tests.simulation.topics.loop import LIFE
from tests.simulation.topics.options import TOPIC

if TYPE_CHECKING:
    from tests.simulation.topics.world import TopicWorld

POLL_S = 0.1


class FakeConsumer:
    """Implements as much of `AIOKafkaConsumer` as a member needs; also of its coordinator."""

    world: "TopicWorld"

    def __init__(self, **settings: Any) -> None:
        life = LIFE.get()
        assert life is not None
        self._life = life
        self.world = life.router.world
        self._cluster = self.world.cluster
        self._coordinator = self
        self._fetcher = SimpleNamespace(
            _fetch_max_wait_ms=0,
            _fetcher_timeout=0.0,
            _max_partition_fetch_bytes=0,
            error_future=self.world.loop.create_future(),
        )
        self._listener: Any = None
        self.member_id = 0
        self.generation = -1
        self._partitions: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int | None] = {}
        self._is_rejoining = False
        self._is_stopped = False
        self._is_behind = False
        """Something of the group was missed while it was cut off."""
        self._commit_lock = asyncio.Lock()
        life.router.consumers.append(self)

    # Life

    @property
    def is_cut(self) -> bool:
        """The cluster does not hear of it, nor it of the cluster."""
        return bool(self._life.is_over or self._life.router.is_cut or self._cluster.is_away)

    async def start(self) -> None:
        """See `AIOKafkaConsumer.start`."""
        await self._answer()
        if self.is_cut:
            raise errors.KafkaConnectionError("no broker answers")

    async def stop(self) -> None:
        """Leaves the group, when it can say so."""
        self._is_stopped = True
        if self.is_cut:
            self._cluster.lost(self.member_id, lambda: True)
        else:
            self._cluster.leave(self.member_id)

    def died(self) -> None:
        """`kill -9`, or no way to the cluster: the group notices when the session is over."""
        member_id = self.member_id
        self._is_behind = True
        self._cluster.lost(member_id, lambda: self.is_cut or self._is_stopped)

    def healed(self) -> None:
        """The way is free again: the next heartbeat says what was missed."""
        self._later_rejoin()

    def subscribe(self, topics: list[str], listener: Any) -> None:
        """See `AIOKafkaConsumer.subscribe`."""
        assert topics == [TOPIC]
        self._listener = listener
        self._later_rejoin()

    # The group

    def _later_rejoin(self) -> None:
        self.world.loop.later(
            self.world.rng.randint(0, HEARTBEAT_MS), self.must_rejoin, is_of_life=False
        )

    def must_rejoin(self) -> None:
        """See `GroupMember.must_rejoin`."""
        if self._listener is None or self._is_stopped or self._life.is_over or self._is_rejoining:
            return
        if self.is_cut:
            return  # it does not hear of it; `healed` looks again
        is_member = self.member_id in self._cluster.members
        if is_member and not self._cluster.is_rebalancing and not self._is_missing:
            return
        if not is_member:
            self.generation, self.member_id = -1, 0
        self._is_rejoining = True
        self.world.loop.run_as(self._life, self._rejoin())

    @property
    def _is_missing(self) -> bool:
        """The group has another generation than this member."""
        return self.generation != self._cluster.generation

    async def _rejoin(self) -> None:
        given_up = set(self._partitions)
        failures = self._life.router.commit_failures
        await self._listener.on_partitions_revoked(given_up)
        if given_up:
            is_good = failures == self._life.router.commit_failures and not self.is_cut
            self._life.router.gave_up(is_good=is_good and self.member_id in self._cluster.members)
        self._partitions, self._positions = set(), {}
        while self.is_cut and not self._is_stopped:
            await asyncio.sleep(POLL_S)
        if not self._is_stopped:
            self.member_id = self._cluster.join(self, self.member_id)

    def given(self, partitions: list[int], generation: int, member_id: int) -> None:
        """See `GroupMember.given`; the answer takes its way."""
        delay_ms = self.world.rng.randint(0, self.world.options.broker_ms_max)
        self.world.loop.later(
            delay_ms, lambda: self._given(partitions, generation, member_id), is_of_life=False
        )

    def _given(self, partitions: list[int], generation: int, member_id: int) -> None:
        self._is_rejoining = False
        if self._is_stopped or self._life.is_over:
            return
        if self.is_cut or generation != self._cluster.generation:
            self.generation = -1
            self._later_rejoin()
            return
        self.generation, self.member_id = generation, member_id
        self._partitions = {TopicPartition(TOPIC, it) for it in partitions}
        self._positions = dict.fromkeys(self._partitions)
        context = self._life.context.copy()
        context.run(self._listener.on_partitions_assigned, set(self._partitions))

    # The coordinator's calls

    @property
    def coordinator_id(self) -> int | None:
        """None while nobody answers."""
        return None if self.is_cut else 1

    async def _answer(self) -> None:
        """The way to the broker and back."""
        await self.world.loop.pause(self.world.broker_ms())

    async def _reach(self) -> None:
        while self.is_cut:
            await asyncio.sleep(POLL_S)

    async def fetch_committed_offsets(
        self, places: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """See `GroupCoordinator.fetch_committed_offsets`."""
        await self._reach()
        await self._answer()
        await self._reach()
        found = {}
        for place in places:
            commit = self._cluster.commits.get(name_of(place.partition))
            if commit is not None:
                found[place] = OffsetAndMetadata(*commit)
        return found

    async def ensure_coordinator_known(self) -> None:
        """See `GroupCoordinator.ensure_coordinator_known`: for ever."""
        await self._reach()

    def check_errors(self) -> None:
        """See `GroupCoordinator.check_errors`: nothing here is beyond help."""

    async def _do_commit_offsets(self, _: Any, wanted: dict[TopicPartition, Any]) -> None:
        """See `GroupCoordinator._do_commit_offsets`: for the generation it finds."""
        world, generation, member_id = self.world, self.generation, self.member_id
        router = self._life.router
        await self._answer()
        if self.is_cut or world.chance(world.options.commit_error_percent):
            router.commit_failures += 1
            raise errors.RequestTimedOutError
        offsets = {name_of(it.partition): (at.offset, at.metadata) for it, at in wanted.items()}
        try:
            self._cluster.commit(member_id, generation, offsets)
        except Refused:
            router.commit_failures += 1
            world.seen.add("commit_refused")
            if self.member_id == member_id:
                self.generation = -1
            self._later_rejoin()
            raise errors.UnknownMemberIdError from None
        if world.chance(world.options.commit_lost_percent):
            router.commit_failures += 1
            raise errors.RequestTimedOutError

    # Offsets

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[Any, int]:
        """All of them are there from the first on."""
        await self._reach()
        await self._answer()
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[Any, int]:
        """The offset after the last."""
        await self._reach()
        await self._answer()
        return {it: self._cluster.ends[it.partition] for it in places}

    def assignment(self) -> set[TopicPartition]:
        """What it was given."""
        return self._partitions

    def highwater(self, place: TopicPartition) -> int | None:
        """As of the last read."""
        return self._cluster.ends[place.partition]

    # Reading

    def _own(self, place: TopicPartition) -> None:
        if place not in self._partitions:
            raise errors.IllegalStateError(f"{place} is not assigned")

    async def position(self, place: TopicPartition) -> int:
        """Where it is read next."""
        self._own(place)
        position = self._positions[place]
        if position is None:
            raise errors.NoOffsetForPartitionError(place)
        return position

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Read on here."""
        self._own(place)
        self._positions[place] = offset

    async def getmany(
        self, place: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Any]]:
        """Records from the position on; waits for the first one."""
        world = self.world
        until_ms = world.now_ms() + timeout_ms
        await self._answer()
        while True:
            self._own(place)
            if world.chance(world.options.read_error_percent):
                raise errors.KafkaTimeoutError
            position = self._positions[place] or 0
            found = (
                [] if self.is_cut else self._cluster.read(place.partition, position, max_records)
            )
            if found:
                if len(found) > 1 and world.chance(30):
                    found = found[: world.rng.randint(1, len(found))]
                self._positions[place] = found[-1].offset + 1
                return {place: found}
            if world.now_ms() >= until_ms:
                return {}
            await self._wait(until_ms)

    async def _wait(self, until_ms: int) -> None:
        woken = self.world.loop.create_future()
        self.world.waiting.append(woken)
        self.world.loop.later(
            until_ms - self.world.now_ms(), lambda: woken.done() or woken.set_result(None)
        )
        with contextlib.suppress(asyncio.InvalidStateError):
            await woken
