"""The courier: a stored discard is delivered, or counted as failed; never silently gone (D7)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.destinations import lane
from router.destinations.delivery import DeliveryFailed
from router.destinations.outbox import Courier
from router.model.errors import StoreError
from router.model.limits import OUTBOX_ATTEMPTS_MAX
from router.model.progress import LaneProgress, ProgressUpdate
from router.store.asynchronous import Claim, Finished, NewEvent
from router.store.base import Address, EnqueuedMessage, OutboxRow
from router.store.sqlite import SqliteStore
from router.telemetry import metrics
from tests.patience import PATIENCE_S

QUEUE = "arn:aws:sqs:us-east-1:000000000000:failed"
BUCKET = "arn:aws:s3:::bucket"
TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    await store.open()
    yield store
    await store.close()


class World:
    """Time that stands still until told, and destinations that take what they are given or not."""

    def __init__(self, store: SqliteStore) -> None:
        self.wall_ms = 1_000_000
        self.store = store
        self.taken: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        self.failures: dict[str, DeliveryFailed] = {}
        self.hanging = asyncio.Event()
        self.open = self.open_max = self.count = 0
        self.courier = self.new_courier()

    def new_courier(self) -> Courier:
        kinds = dict.fromkeys(("sqs", "s3", "sns"), self)
        return Courier(self.store.outbox, kinds, lambda: self.wall_ms)

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        self.asked[row.destination] += 1
        self.open += 1
        self.open_max = max(self.open, self.open_max)
        try:
            await asyncio.sleep(0)
            body = row.body.decode()
            for failing in (row.destination, body):
                if failing in self.failures:
                    raise self.failures[failing]
            if body == "hang":
                await self.hanging.wait()
            if row.destination == QUEUE:
                return EnqueuedMessage(queue="failed", body=body)
            self.taken.setdefault(row.destination, []).append(body)
            return None
        finally:
            self.open -= 1

    async def keep(self, *bodies: str, to: str = QUEUE, records: int = 3) -> None:
        for body in bodies:
            self.count += 1
            update = ProgressUpdate(
                shard="s", position=self.count, factor=1, lane=LaneProgress(0, self.count)
            )
            row = OutboxRow(mapping="m", destination=to, body=body.encode(), records=records)
            await self.store.progress.discard("u", update, row, None)

    async def attempts(self, to: str) -> dict[bytes | None, int]:
        later_ms = self.wall_ms + 10**9
        rows = await self.store.outbox.due(Address(to), later_ms, 1_000)
        return {await self.store.outbox.body(row.id): row.attempts for row in rows}


@pytest.fixture
def world(store: SqliteStore) -> World:
    return World(store)


def value(counter, *labels) -> float:
    return counter.labels("m", *labels).value


def down(reason: str = "unreachable") -> DeliveryFailed:
    return DeliveryFailed(reason, "nobody there")


async def test_d7_a_waiting_discard_goes_into_its_queue_once(world):
    await world.keep("{}")
    before = value(metrics.RECORDS_DELIVERED)
    assert await world.courier.deliver_due() == 1
    assert await world.courier.deliver_due() == 0
    assert [m.body for m in await world.store.queues.peek("failed", 10)] == ["{}"]
    assert value(metrics.RECORDS_DELIVERED) == before + 3
    assert await world.store.outbox.depths(0) == []


async def test_d7_delivery_waits_for_the_destination(world):
    world.failures[QUEUE] = down("missing")
    await world.keep("{}")
    assert await world.courier.deliver_due() == 0
    assert await world.courier.deliver_due() == 0, "not due again at once"
    trouble = world.courier.trouble(Address(QUEUE))
    assert (trouble.reason, trouble.text, trouble.since_ms) == (
        "missing", "nobody there", 1_000_000,
    )  # fmt: skip
    world.failures.clear()
    world.wall_ms += 60_000
    assert await world.courier.deliver_due() == 1
    assert world.courier.trouble(Address(QUEUE)) is None


async def test_d7_after_the_last_attempt_it_is_counted(world):
    world.failures[BUCKET] = down("denied")
    await world.keep("{}", to=BUCKET)
    dropped = value(metrics.RECORDS_DROPPED)
    failures = value(metrics.DESTINATION_FAILURES, "denied")
    for _ in range(OUTBOX_ATTEMPTS_MAX):
        assert await world.attempts(BUCKET)
        await world.courier.deliver_due()
        world.wall_ms += 3_600_000
    assert await world.attempts(BUCKET) == {}
    assert value(metrics.RECORDS_DROPPED) == dropped + 3
    assert value(metrics.DESTINATION_FAILURES, "denied") == failures + OUTBOX_ATTEMPTS_MAX


async def test_l4_a_destination_that_hangs_holds_up_no_other(world):
    await world.keep("hang", "later", to=BUCKET)
    await world.keep("{}", "{}", to=TOPIC)
    await world.courier.look()
    async with asyncio.timeout(PATIENCE_S):
        while len(world.taken.get(TOPIC, ())) < 2:
            await asyncio.sleep(0.001)
    assert BUCKET not in world.taken
    await world.keep("third", to=TOPIC)
    await world.courier.look()
    async with asyncio.timeout(PATIENCE_S):
        while len(world.taken[TOPIC]) < 3:
            await asyncio.sleep(0.001)
    assert world.asked[BUCKET] == 1, "the first tells whether it is there"
    world.hanging.set()
    await world.courier.deliver_due()
    assert world.taken[BUCKET] == ["hang", "later"]


async def test_d7_a_destination_out_of_reach_is_asked_once_and_each_row_has_its_attempt(world):
    world.failures[BUCKET] = down()
    bodies = [f"{number}" for number in range(lane.ROWS_MAX + 20)]
    await world.keep(*bodies, to=BUCKET)
    await world.courier.deliver_due()
    assert world.asked[BUCKET] == 1
    attempts = await world.attempts(BUCKET)
    assert list(attempts.values()).count(1) == lane.ROWS_MAX
    await world.courier.deliver_due()
    assert world.asked[BUCKET] == 2
    assert set((await world.attempts(BUCKET)).values()) == {1}
    world.failures.clear()
    world.wall_ms += 60_000
    assert await world.courier.deliver_due() == len(bodies)
    assert sorted(world.taken[BUCKET]) == sorted(bodies)


async def test_d7_a_record_that_is_refused_holds_up_no_other(world):
    world.failures["bad"] = DeliveryFailed("too_large", "not this one")
    await world.keep("bad", "a", "b", "bad", to=BUCKET)
    assert await world.courier.deliver_due() == 2
    assert sorted(world.taken[BUCKET]) == ["a", "b"]
    assert await world.attempts(BUCKET) == {b"bad": 1}


async def test_d7_what_arrived_in_part_is_delivered_no_second_time(world):
    failure = DeliveryFailed("unreachable", "died in the middle", body=b"rest", records=1)
    world.failures["all"] = failure
    await world.keep("all", "other", to=BUCKET)
    delivered = value(metrics.RECORDS_DELIVERED)
    await world.courier.deliver_due()
    assert await world.attempts(BUCKET) == {b"rest": 1, b"other": 1}
    assert value(metrics.RECORDS_DELIVERED) == delivered + 2
    world.wall_ms += 60_000
    assert await world.courier.deliver_due() == 2
    assert sorted(world.taken[BUCKET]) == ["other", "rest"]
    assert value(metrics.RECORDS_DELIVERED) == delivered + 2 + 1 + 3


async def test_l2_few_attempts_at_once(world):
    await world.keep(*(f"{number}" for number in range(30)), to=BUCKET)
    assert await world.courier.deliver_due() == 30
    assert 1 < world.open_max <= lane.AT_ONCE_MAX


async def test_d5_a_fifo_queue_gets_one_after_the_other(world):
    fifo = "arn:aws:sns:us-east-1:000000000000:t.fifo"
    bodies = [f"{number}" for number in range(30)]
    await world.keep(*bodies, to=fifo)
    await world.courier.deliver_due()
    assert world.taken[fifo] == bodies
    assert world.open_max == 1


async def test_l2_few_large_bodies_are_in_memory(world, monkeypatch):
    monkeypatch.setattr(lane, "LARGE_BYTES", 3)
    world.courier = world.new_courier()
    for number in range(8):
        bucket = f"{BUCKET}-{number}"
        await world.keep("large-a", "large-b", "large-c", to=bucket)
    assert await world.courier.deliver_due() == 24
    assert 1 < world.open_max <= 4


async def test_d7_what_the_store_did_not_note_is_not_sent_again(world, monkeypatch):
    async def refuse(*_args) -> None:
        raise StoreError("the disk is full")

    await world.keep("a", "b", to=BUCKET)
    with monkeypatch.context() as patch:
        patch.setattr(world.store.outbox, "delivered", refuse)
        assert await world.courier.deliver_due() == 0
        assert await world.courier.deliver_due() == 0
    assert world.taken[BUCKET] == ["a"], "nothing more is sent than can be noted"
    assert await world.courier.deliver_due() == 2
    assert world.taken[BUCKET] == ["a", "b"]


async def test_a_surprise_counts_as_an_attempt(world):
    world.failures["odd"] = KeyError("surprise")
    await world.keep("odd", "even", to=BUCKET)
    assert await world.courier.deliver_due() == 1
    assert await world.attempts(BUCKET) == {b"odd": 1}
    assert world.courier.trouble(Address(BUCKET)) is None, "the last attempt went well"


async def test_what_is_no_destination_is_refused_and_counted(world):
    await world.keep("{}", to="arn:aws:events:us-east-1:000000000000:event-bus/b")
    failures = value(metrics.DESTINATION_FAILURES, "refused")
    assert await world.courier.deliver_due() == 0
    assert value(metrics.DESTINATION_FAILURES, "refused") == failures + 1


async def test_how_much_waits_is_shown_by_kind(world):
    def shown(gauge):
        return {sample.labels["destination"]: sample.value for sample in gauge.collect()[0].samples}

    world.failures[BUCKET] = down()
    await world.keep("a", "b", to=BUCKET)
    await world.courier.deliver_due()
    made_ms = (await world.store.outbox.depths(0))[0].oldest_ms
    world.wall_ms = made_ms + 5_000
    await world.courier.look()
    assert shown(metrics.OUTBOX_ROWS)[BUCKET] == 2
    assert shown(metrics.OUTBOX_AGE)[BUCKET] == 5
    world.failures.clear()
    world.wall_ms += 60_000
    assert await world.courier.deliver_due() == 2
    await world.courier.look()
    assert BUCKET not in shown(metrics.OUTBOX_ROWS) | shown(metrics.OUTBOX_AGE)


async def test_s1_a_stop_lets_what_is_on_its_way_arrive(world):
    await world.keep("hang", "later", to=BUCKET)
    await world.courier.look()
    while not world.asked[BUCKET]:
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(world.courier.stop(PATIENCE_S))
    await asyncio.sleep(0.01)
    assert not stopping.done()
    world.hanging.set()
    await stopping
    assert world.taken[BUCKET] == ["hang"]
    assert await world.attempts(BUCKET) == {b"later": 0}


async def test_s2_a_stop_waits_no_longer_than_it_may(world):
    await world.keep("hang", to=BUCKET)
    await world.courier.look()
    while not world.asked[BUCKET]:
        await asyncio.sleep(0.001)
    await world.courier.stop(0.01)
    assert await world.attempts(BUCKET) == {b"hang": 0}


async def test_it_looks_by_itself_and_survives_a_store_that_cannot_be_read(world, monkeypatch):
    monkeypatch.setattr("router.destinations.outbox.POLL_S", 0.001)
    depths, asked = world.store.outbox.depths, []

    async def sometimes(wall_ms):
        asked.append(wall_ms)
        if len(asked) == 1:
            raise StoreError("not now")
        return await depths(wall_ms)

    monkeypatch.setattr(world.store.outbox, "depths", sometimes)
    await world.keep("{}", to=BUCKET)
    running = asyncio.create_task(world.courier.run())
    async with asyncio.timeout(PATIENCE_S):
        while BUCKET not in world.taken:
            await asyncio.sleep(0.001)
    await world.courier.stop(PATIENCE_S)
    await running


async def test_what_is_told_of_events_is_counted_by_function(world):
    """DeadLetterErrors and DestinationDeliveryFailures are the function's, not a mapping's."""
    store = world.store.asynchronous
    rows = [
        OutboxRow(function="told", destination=TOPIC, body=b"record", records=1),
        OutboxRow(function="told", destination=BUCKET, body=b"letter", attributes=b"{}", records=1),
    ]
    await store.enqueue(NewEvent(request_id="r", function="told", payload=b"{}", accepted_ms=0))
    cycle = await store.cycle((), (), (Claim("told", 1, 1, 9_999),), 1)
    (event,) = cycle.taken[0].events
    await store.cycle((Finished(event.id, rows),), (), (), 1)
    world.failures = {TOPIC: down(), BUCKET: down("denied")}
    records, letters = metrics.ASYNC_DELIVERY_FAILURES, metrics.DEAD_LETTER_ERRORS
    await world.courier.deliver_due()
    assert records.labels("told", "unreachable").value == 1
    assert letters.labels("told", "denied").value == 1
    for _ in range(OUTBOX_ATTEMPTS_MAX):
        world.wall_ms += 86_400_000
        await world.courier.deliver_due()
    assert await world.store.outbox.depths(0) == []
    assert records.labels("told", "unreachable").value == OUTBOX_ATTEMPTS_MAX
    assert letters.labels("told", "denied").value == OUTBOX_ATTEMPTS_MAX
