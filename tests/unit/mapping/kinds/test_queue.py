"""Mappings on queues, run by the manager on a real store; only functions are played."""

import asyncio
import json
import time

import pytest

from router.app.connect import EmbeddedConnector, KindTable, QueueConnector, QueueMailbox
from router.dispatch.dispatcher import Dispatcher
from router.embedded.messages import Draft
from router.embedded.queues import EmbeddedQueues
from router.mapping.budget import Budget
from router.mapping.driver import SystemClock
from router.mapping.kinds.queue import QueueKind
from router.mapping.kinds.stream import StreamKind
from router.mapping.manager import MappingManager
from router.model.resources import Mapping
from router.sources.sqs_format import SqsFormat
from router.store.base import Delete, DropProgress
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from tests.patience import PATIENCE_S
from tests.unit.mapping.house import UUID, Functions

ARN = "arn:aws:sqs:us-east-1:000000000000:jobs"


class QueueHouse:
    def __init__(self, folder):
        self.folder = folder
        self.functions = Functions()
        self.budget = Budget(1 << 30)

    async def open(self):
        self.store = SqliteStore(self.folder)
        await self.store.open()
        self.catalog = Catalog(self.store.metadata)
        await self.catalog.load()
        self.queues = EmbeddedQueues(
            self.catalog,
            self.store.queues,
            lambda: time.time_ns() // 1_000_000,
            region="us-east-1",
            account="000000000000",
        )
        clock, self.dispatcher = SystemClock(), Dispatcher(self.functions, 3)
        streams = StreamKind(
            self.catalog,
            self.store,
            EmbeddedConnector(self.catalog, self.store.streams),
            self.dispatcher,
            QueueMailbox(self.catalog),
            clock,
            self.budget,
        )
        kind = QueueKind(
            QueueConnector(self.queues).source, SqsFormat, self.dispatcher, clock, self.budget, 3
        )
        self.manager = MappingManager(
            self.catalog,
            KindTable({"router": streams, "sqs": kind}),
            streams,
            self.dispatcher,
            self.functions,
            budget=self.budget,
            region="us-east-1",
            account="000000000000",
            backoff_ms_max=1_000,
        )
        await self.queues.create("jobs", {"VisibilityTimeout": "30"}, {})
        await self.manager.start()

    async def close(self):
        self.functions.gate.set()
        await self.manager.drain(5)
        await self.store.close()

    async def put(self, **settings):
        value = Mapping(
            uuid=UUID,
            name="m",
            function="f",
            event_source_arn=ARN,
            last_modified_ms=0,
            **{"batch_size": 10, **settings},
        )
        await self.catalog.commit([put("mapping", UUID, value)])

    async def send(self, *bodies):
        await self.queues.send("jobs", [Draft(body=body) for body in bodies], "me")

    async def until(self, is_true):
        async with asyncio.timeout(PATIENCE_S):
            while not (await is_true() if asyncio.iscoroutinefunction(is_true) else is_true()):
                await asyncio.sleep(0.005)

    async def is_empty(self):
        return await self.queues.backlog("jobs") == 0

    @property
    def life(self):
        return self.manager._runs[UUID].life


@pytest.fixture
async def house(tmp_path):
    house = QueueHouse(tmp_path)
    await house.open()
    yield house
    await house.close()


async def test_messages_reach_the_function_and_leave_the_queue(house):
    await house.put()
    await house.send("a", "b", "c")
    await house.until(house.is_empty)
    assert sorted(house.functions.seen) == ["a", "b", "c"]
    assert house.manager.status(UUID).state == "Enabled"
    assert house.manager.status(UUID).last_processing_result == "OK"


async def test_lag_is_what_the_queue_holds_running_or_not(house):
    house.functions.gate.clear()
    await house.send("a", "b", "c")
    await house.put()
    await house.until(lambda: house.functions.running == 1)
    await house.manager.measure()
    assert house.manager.load(UUID) == (3, 1)
    house.functions.gate.set()
    await house.until(house.is_empty)
    await house.put(is_enabled=False)
    await house.until(lambda: house.manager.status(UUID).state == "Disabled")
    await house.send("d")
    await house.manager.measure()
    assert house.manager.load(UUID) == (1, 0)


async def test_8_3_no_more_is_received_than_the_router_has_slots_for(house):
    house.functions.gate.clear()
    await house.put(batch_size=1)
    await house.send(*(str(number) for number in range(20)))
    await house.until(lambda: house.functions.running == 3)
    await asyncio.sleep(0.1)
    counts = await house.store.queues.counts("jobs", time.time_ns() // 1_000_000)
    assert counts.in_flight <= 3 + 1, "at most one waits for its turn"


async def test_s1_a_drain_runs_what_was_gathered_and_ends_receives_at_once(house):
    await house.put(batch_size=100, window_s=300)
    await house.send("a", "b")
    await house.until(lambda: house.life is not None and house.life.held_records == 2)
    assert await house.manager.drain(PATIENCE_S)
    assert sorted(house.functions.seen) == ["a", "b"]
    assert await house.is_empty()


async def test_disabled_in_the_middle_of_a_batch_and_enabled_again_goes_on(house):
    house.functions.gate.clear()
    await house.put()
    await house.send("a")
    await house.until(lambda: house.functions.running == 1)
    life = house.life
    await house.put(is_enabled=False)
    await asyncio.sleep(0.05)
    assert house.manager.status(UUID).state == "Disabling"
    await house.put()
    house.functions.gate.set()
    await house.send("b")
    await house.until(house.is_empty)
    assert house.functions.seen == ["a", "b"]
    assert house.life is life


async def test_other_settings_hold_without_a_new_life(house):
    await house.put(batch_size=100, window_s=300)
    await house.send("a")
    await house.until(lambda: house.life is not None and house.life.held_records == 1)
    life = house.life
    await house.put(filters=(json.dumps({"body": ["b"]}),))
    await house.send("b", "c")
    await house.until(house.is_empty)
    assert sorted(house.functions.seen) == ["a", "b"], "filters hold for what comes after"
    assert house.life is life


async def test_a_deleted_mapping_ends_and_leaves_no_claim(house):
    await house.put()
    await house.send("a")
    await house.until(house.is_empty)
    await house.catalog.commit([Delete("mapping", UUID), DropProgress(UUID)])
    await house.until(lambda: UUID not in house.manager._runs)
    assert house.dispatcher.ledger.common._running == {}
    assert house.budget.held_bytes == 0
    assert house.budget.mappings == 0


async def test_a_queue_that_goes_away_and_comes_back_is_read_again(house):
    await house.put()
    await house.until(lambda: house.life is not None)
    await house.queues.delete("jobs")
    await asyncio.sleep(0.1)
    await house.manager.measure()
    await house.queues.create("jobs", {}, {})
    await house.send("a")
    await house.until(lambda: house.functions.seen == ["a"])


async def test_a_queue_that_is_not_there_is_told_until_it_is(house):
    await house.queues.delete("jobs")
    await house.put()
    await house.until(lambda: house.manager.trouble(UUID))
    await house.manager.measure()
    assert house.manager.view(UUID).lag is None, "nobody knows"
    result = house.manager.status(UUID).last_processing_result
    assert result == "PROBLEM: cannot receive: The specified queue does not exist."
    await house.queues.create("jobs", {}, {})
    await house.send("a")
    await house.until(lambda: house.functions.seen == ["a"])
    await house.until(house.is_empty)
    await house.manager.measure()
    assert (house.manager.trouble(UUID), house.manager.view(UUID).lag) == ("", 0)
    assert house.manager.status(UUID).last_processing_result == "OK"


async def test_a_mapping_on_a_queue_is_traced_and_goes_on(house):
    await house.put()
    await house.until(lambda: house.life is not None)
    tape = await house.manager.trace(UUID, 0.01, b"salt")
    assert b'"is":"QueueOpened"' in tape.lines[1]
    assert not tape.is_on
    await house.send("a")
    await house.until(house.is_empty)
