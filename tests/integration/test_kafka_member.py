"""A member of a consumer group on a real broker: who may commit, and what it must not swallow."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.protocol.admin import CreateAclsRequest

from router.model.errors import ConfigError
from router.model.resources import SourceAccess
from router.sources.kafka.access import Access, access_of
from router.sources.kafka.member import Lost, Member
from router.sources.kafka.problem import AUTHORIZATION, NOT_VALID, SourceProblem
from tests.integration.kafka_bed import CLOSE_S, Topic

WAIT_S = 60


KIB = 1 << 10


class Heard:
    """What a member was given."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []
        self.is_given = asyncio.Event()
        self.is_taken = asyncio.Event()

    async def revoked(self):
        self.is_taken.set()

    def assigned(self, partitions):
        self.given.append(sorted(partitions))
        self.is_given.set()


@asynccontextmanager
async def joined(access: Access, topic: str, group: str):
    member, heard = Member(access, topic, group, "test", 30.0), Heard()
    try:
        await member.open()
        member.join(heard)
        yield member, heard
    finally:
        await member.close()
        await asyncio.sleep(CLOSE_S)


async def topic_of(kafka, partitions: int = 1) -> Topic:
    return await asyncio.to_thread(Topic, kafka.bootstrap, partitions)


def group() -> str:
    return f"g-{uuid4()}"


async def test_d4_who_was_put_out_of_the_group_commits_nothing_any_more(kafka):
    """A router that slept: another one went on, committed further and left; the group is empty."""
    topic, name = await topic_of(kafka), group()
    async with joined(Access((kafka.bootstrap,)), topic.name, name) as (member, heard):
        await asyncio.wait_for(heard.is_given.wait(), WAIT_S)
        (partition,) = heard.given[-1]
        await member.commit({partition: (5, "")})
        coordinator = member._consumer._coordinator
        # As a heartbeat that hears that the group does not know this member.
        coordinator.request_rejoin = lambda: None
        await coordinator._maybe_leave_group()
        await asyncio.to_thread(topic.commit, name, {0: 50})
        with pytest.raises(Lost, match="moved on"):
            await member.commit({partition: (6, "")})
        assert await member.committed([partition]) == {partition: (50, "")}


async def test_d4_a_commit_of_one_generation_is_not_made_in_the_name_of_the_next(kafka):
    topic, name = await topic_of(kafka), group()
    async with joined(Access((kafka.bootstrap,)), topic.name, name) as (member, heard):
        await asyncio.wait_for(heard.is_given.wait(), WAIT_S)
        (partition,) = heard.given[-1]
        coordinator = member._consumer._coordinator
        async with coordinator._commit_lock:  # as one that waits for a coordinator that is away
            late = asyncio.create_task(member.commit({partition: (6, "")}))
            heard.is_given.clear()
            coordinator.request_rejoin()
            await asyncio.wait_for(heard.is_given.wait(), WAIT_S)
        with pytest.raises(Lost, match="moved on"):
            await late
        assert await member.committed([partition]) == {}


async def test_the_group_may_be_shared_with_consumers_of_others(kafka):
    """7.1: `range` is what every client speaks, and most of them first."""
    topic, name = await topic_of(kafka, 4), group()
    other = AIOKafkaConsumer(
        topic.name,
        bootstrap_servers=kafka.bootstrap,
        group_id=name,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )
    await other.start()
    try:
        async with joined(Access((kafka.bootstrap,)), topic.name, name) as (member, heard):
            await asyncio.wait_for(heard.is_given.wait(), WAIT_S)
            assert len(heard.given[-1]) == 2
            assert len(other.assignment()) == 2
            member.check()
    finally:
        await other.stop()
        await asyncio.sleep(CLOSE_S)


async def told(member: Member) -> SourceProblem:
    """What the client met on its own."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                member.check()
            except SourceProblem as problem:
                return problem
            await asyncio.sleep(0.05)


async def test_a_group_that_shares_in_another_way_is_told(kafka):
    topic, name = await topic_of(kafka), group()
    other = AIOKafkaConsumer(
        topic.name,
        bootstrap_servers=kafka.bootstrap,
        group_id=name,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    )
    await other.start()
    try:
        async with joined(Access((kafka.bootstrap,)), topic.name, name) as (member, _):
            problem = await told(member)
    finally:
        await other.stop()
        await asyncio.sleep(CLOSE_S)
    assert (problem.reason, member.is_spent) == (NOT_VALID, True)
    assert "'range'" in str(problem)


async def test_a_member_that_may_not_join_is_told(secure_kafka):
    """It may look at the group and read the topic, so all goes well until it joins."""
    topic, name = await topic_of(secure_kafka), group()
    await allow(secure_kafka, [(2, topic.name, 3), (2, topic.name, 8), (3, name, 8)])
    server = secure_kafka.address("SASL")
    access = access_of([server], [SourceAccess("BASIC_AUTH", "login")], read_secret, [server])
    async with joined(access, topic.name, name) as (member, _):
        problem = await told(member)
    assert (problem.reason, member.is_spent) == (AUTHORIZATION, True)
    assert name in str(problem)


def read_secret(name: str) -> str:
    if name != "login":
        raise ConfigError(name)
    return '{"username": "bob", "password": "builder"}'


async def allow(kafka, what: list[tuple[int, str, int]]) -> None:
    """Bob may: kind of resource (2 topic, 3 group), name, operation (3 read, 8 describe)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        for kind, name, operation in what:
            request = CreateAclsRequest(kind, name, 3, "User:bob", "*", operation, 3)
            answer = await admin._client.send(admin._client.get_random_node(), request)
            assert "error_code=0" in str(answer)
    finally:
        await admin.close()
        await asyncio.sleep(CLOSE_S)


async def test_l2_what_the_client_reads_ahead_is_bounded(kafka):
    """Of partitions that nobody asks for: an answer of each, which is a part of what is allowed."""
    topic = await topic_of(kafka, 16)
    large = [(f"k{number}", b"x" * 8 * KIB) for number in range(1_000)]
    await asyncio.to_thread(topic.produce, large)
    async with joined(Access((kafka.bootstrap,)), topic.name, group()) as (member, heard):
        await asyncio.wait_for(heard.is_given.wait(), WAIT_S)
        assert member.read_ahead(16, 512 * KIB) == 32 * KIB
        for name in heard.given[-1]:
            member.go_to(name, 0)
        held = member._consumer._fetcher._records
        async with asyncio.timeout(WAIT_S):
            while len(held) < 16:
                await asyncio.sleep(0.05)
        answers = [it._partition_records._records for it in held.values()]
        sizes = [(it.size_in_bytes(), batches_in(it)) for it in answers]
        # A batch of a producer comes whole; nothing beside it that is too much.
        assert all(size <= 32 * KIB or batches == 1 for size, batches in sizes), sizes


def batches_in(records) -> int:
    count = 0
    while records.has_next():
        records.next_batch()
        count += 1
    return count


def test_l2_parts_of_what_may_be_read_ahead_are_neither_tiny_nor_huge():
    member = Member(Access(("h:9",)), "t", "g", "c", 30.0)
    member._consumer = SimpleNamespace(_fetcher=SimpleNamespace())
    assert member.read_ahead(1, 16 << 20) == 1 << 20
    assert member.read_ahead(1_000, 16 << 20) == 16_777
    assert member.read_ahead(10_000, 16 << 20) == 16 * KIB
