"""The queue shell on its own: every command is answered, whatever goes wrong around it."""

import asyncio

import msgspec
import pytest

from router.mapping import queue_events as q
from router.mapping.budget import Budget
from router.mapping.driver import SystemClock
from router.mapping.queue_engine import QueueEngine
from router.mapping.queue_shell import QueueShell
from router.model.errors import NotInvoked, StoreError
from router.model.function import InvokeReply
from router.model.limits import KIB, MIB
from router.model.queue_message import QueueMessage
from router.sources.sqs_format import SqsFormat
from router.telemetry.mapping_metrics import MappingMetrics
from tests.patience import PATIENCE_S
from tests.unit.mapping.house import FUNCTION
from tests.unit.mapping.queue_play import spec_of


def received(name, body="{}"):
    return QueueMessage(message_id=name, receipt=f"r-{name}", body=body, md5_of_body="m")


class World:
    """A source and a runner that do as they are told."""

    receive_max = 10

    def __init__(self, **settings):
        self.queue_s = 30
        self.batches = []
        self.asked, self.deleted, self.requests = [], [], []
        self.wanted = []
        """Most messages of each receive, and what was set aside meanwhile."""
        self.receive_problem = self.delete_problem = self.run_problem = self.resolve_problem = None
        self.not_deleted = []
        self.broken = 0
        self.budget = Budget(1 << 40)
        self.arrived = asyncio.Event()
        self.spec = spec_of(**settings)
        numbers = MappingMetrics("queue-shell", "u", "f", "arn")
        self.numbers = numbers
        self.engine = QueueEngine(self.spec, 5)
        self.shell = QueueShell(
            self.spec, self.engine, source=self, source_format=SqsFormat(self.spec.source_arn),
            runner=self, resolve=self.resolve, numbers=numbers, clock=SystemClock(),
            budget=self.budget, on_broken=self.on_broken,
        )  # fmt: skip

    def on_broken(self):
        self.broken += 1

    def resolve(self):
        if self.resolve_problem is not None:
            raise self.resolve_problem
        return FUNCTION

    async def visibility_s(self):
        return self.queue_s

    async def receive(self, messages_max, wait_ms, visibility_s, stop):
        self.asked.append(visibility_s)
        self.wanted.append((messages_max, self.budget.aside_bytes))
        if self.receive_problem is not None:
            raise self.receive_problem
        if self.batches:
            return self.batches.pop(0)
        await stop.wait()
        return ()

    async def delete(self, receipts):
        self.deleted.append(list(receipts))
        if self.delete_problem is not None:
            raise self.delete_problem
        return self.not_deleted

    async def backlog(self):
        return 0

    async def invoke_for(self, claimant, request, *, wait_s_max, on_turn):
        assert claimant == self.spec.uuid
        self.requests.append((request, wait_s_max))
        if self.run_problem is not None:
            raise self.run_problem
        on_turn()
        return InvokeReply(payload=b"null")

    async def until(self, is_true):
        async with asyncio.timeout(PATIENCE_S):
            while not is_true():
                await asyncio.sleep(0.005)


@pytest.fixture
async def make():
    worlds = []

    def make(**settings):
        worlds.append(World(**settings))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.shell.stop()
        world.numbers.remove()


async def test_received_run_and_deleted(make):
    world = make()
    world.batches = [[received("a"), received("b")]]
    world.shell.start()
    await world.until(lambda: world.deleted)
    assert world.deleted == [["r-a", "r-b"]]
    ((request, wait_s_max),) = world.requests
    assert request.payload.startswith(b'{"Records":[{"messageId":"a"')
    assert 28 <= wait_s_max <= 29, "until the messages are visible again"
    assert world.shell.last_result == "OK"


async def test_a_window_asks_for_a_visibility_timeout_that_covers_it(make):
    world = make(batch_size=100, window_ms=40_000)
    world.shell.start()
    await world.until(lambda: world.asked)
    assert world.asked == [40 + 3 + 30]
    plain = make()
    plain.shell.start()
    await plain.until(lambda: plain.asked)
    assert plain.asked == [None]


async def test_p27_a_message_that_no_event_can_carry_is_not_run_and_not_deleted(make):
    world = make(event_bytes_max=400)
    world.batches = [[received("a", "x" * 1_000)], [received("b")]]
    world.shell.start()
    await world.until(lambda: world.deleted)
    assert world.deleted == [["r-b"]]
    assert len(world.requests) == 1
    assert world.broken == 0


async def test_p7_while_there_is_no_function_nothing_is_received(make):
    world = make()
    world.resolve_problem = NotInvoked("function_missing", "f does not exist")
    world.batches = [[received("a")]]
    world.shell.start()
    await world.until(lambda: world.shell.last_error is not None)
    assert world.asked == []
    assert "f does not exist" in world.shell.last_error.text
    world.resolve_problem = None
    await world.until(lambda: world.deleted)


async def test_a_function_that_goes_while_a_batch_waits_leaves_it_where_it_is(make):
    world = make(batch_size=100, window_ms=300)
    world.batches = [[received("a")]]
    world.shell.start()
    await world.until(lambda: world.engine.held_records)
    world.resolve_problem = NotInvoked("function_missing")
    await world.until(lambda: world.shell.last_result.startswith("PROBLEM"))
    assert world.requests == []
    world.resolve_problem = None
    await world.until(lambda: world.deleted)


async def test_a_throttled_batch_is_run_when_there_is_a_slot(make):
    world = make()
    world.run_problem = NotInvoked("throttled")
    world.batches = [[received("a")]]
    world.shell.start()
    await world.until(lambda: world.requests)
    assert world.shell.last_result == "No records processed", "waiting for a turn is no problem"
    world.run_problem = None
    await world.until(lambda: world.deleted)
    assert len(world.requests) == 2


async def test_a_queue_that_cannot_be_read_is_told_and_read_again(make):
    world = make()
    world.receive_problem = StoreError("away")
    world.shell.start()
    await world.until(lambda: world.asked and world.shell.last_error)
    assert "away" in world.shell.last_error.text
    world.receive_problem = None
    world.batches = [[received("a")]]
    await world.until(lambda: world.deleted)


async def test_deletions_that_fail_are_made_again_and_counted_once(make):
    world = make()
    world.delete_problem = StoreError("away")
    world.batches = [[received("a"), received("b")]]
    before = world.numbers.deleted.value
    world.shell.start()
    await world.until(lambda: world.deleted)
    world.delete_problem, world.not_deleted = None, [1]
    await world.until(lambda: len(world.deleted) == 2)
    world.not_deleted = []
    await world.until(lambda: len(world.deleted) == 3)
    assert world.deleted == [["r-a", "r-b"], ["r-a", "r-b"], ["r-b"]]
    await world.until(lambda: world.numbers.deleted.value - before == 2)


async def test_s1_after_a_drain_began_nothing_is_received(make):
    world = make()
    world.shell.start()
    await world.until(lambda: world.asked)
    assert await world.shell.drain(PATIENCE_S)
    count = len(world.asked)
    await world.shell._answer(q.Receive(99, 10))
    assert len(world.asked) == count


async def test_what_nobody_expects_breaks_the_mapping_and_not_the_router(make):
    world = make()
    world.receive_problem = ZeroDivisionError()
    world.shell.start()
    await world.until(lambda: world.broken)
    assert world.shell.is_broken
    assert await world.shell.drain(PATIENCE_S)


async def test_readers_that_wait_are_counted_and_so_are_those_that_cannot(make):
    """12: ProvisionedPollers, PollingErrorCount; `router mappings describe` says why."""
    world = make()
    failed_before = world.numbers.poll_errors.value
    world.receive_problem = StoreError("the queue is away")
    world.shell.start()
    await world.until(lambda: world.shell.last_error is not None)
    assert world.shell.last_error.text == "cannot receive: the queue is away"
    assert world.numbers.poll_errors.value == failed_before + 1
    assert world.numbers.pollers.value == 0
    world.receive_problem = None
    await world.until(lambda: world.numbers.pollers.value == 1)


async def test_l2_a_quiet_queue_may_bring_its_own_part_and_a_busy_one_what_it_sets_aside(make):
    """Messages count 64 KiB, twice, until larger ones were seen."""
    world = make()
    world.budget = world.shell._budget = Budget(8 * MIB)
    world.budget.mappings = 16
    world.batches = [[received("a")]]
    world.shell.start()
    await world.until(lambda: len(world.wanted) > 1)
    assert world.wanted == [(2, 0), (10, 2 * 10 * 64 * KIB)]
    await world.shell.stop()
    assert world.budget.aside_bytes == 0


async def test_l2_a_queue_that_brings_a_message_now_and_then_sets_nothing_aside(make):
    world = make()
    world.budget = world.shell._budget = Budget(64 * MIB)
    world.budget.mappings = 8
    world.batches = [[received("a")], [received("b")]]
    world.shell.start()
    await world.until(lambda: len(world.wanted) > 2)
    assert world.wanted == [(10, 0)] * 3


async def test_l2_a_receive_asks_for_a_message_however_little_room_there_is(make):
    world = make()
    world.budget = world.shell._budget = Budget(8 * MIB)
    world.budget.mappings = 10_000
    world.batches = [[received("a")]]
    world.budget.held_bytes = 8 * MIB
    world.shell.start()
    await world.until(lambda: world.deleted)
    assert {most for most, _aside in world.wanted} == {1}


async def test_messages_are_hidden_for_the_slowest_version_an_alias_may_draw(make):
    world = make(window_ms=2_000)
    slow = msgspec.structs.replace(FUNCTION, timeout_ms=600_000)
    world.shell._slowest = lambda: slow
    world.shell.start()
    await world.until(lambda: world.asked)
    assert world.asked[0] >= 600
