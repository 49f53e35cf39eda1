"""The courier: a stored discard is delivered, or counted as failed; never silently gone (D7)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.destinations.outbox import Courier
from router.model.limits import OUTBOX_ATTEMPTS_MAX
from router.model.progress import LaneProgress, ProgressUpdate
from router.store.base import EnqueuedMessage, OutboxRow
from router.store.sqlite import SqliteStore
from router.telemetry import metrics

UPDATE = ProgressUpdate(shard="s", position=1, factor=1, lane=LaneProgress(0, 1))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    await store.open()
    yield store
    await store.close()


def row(destination: str = "arn:aws:sqs:us-east-1:000000000000:failed") -> OutboxRow:
    return OutboxRow(mapping="m", destination=destination, body=b"{}", records=3)


class World:
    """Time that stands still until told, and a queue that exists or not."""

    def __init__(self) -> None:
        self.wall_ms = 1_000_000
        self.has_queue = True

    def route(self, destination: str, body: bytes) -> EnqueuedMessage | None:
        return EnqueuedMessage(queue="failed", body=body.decode()) if self.has_queue else None


def value(counter: object) -> float:
    return counter.labels("m")._value.get()  # type: ignore[attr-defined]


async def test_d7_a_waiting_discard_is_delivered_once(store: SqliteStore) -> None:
    world = World()
    await store.progress.discard("u", UPDATE, row(), None)
    courier = Courier(store.outbox, world.route, lambda: world.wall_ms)
    before = value(metrics.RECORDS_DELIVERED)
    assert await courier.deliver_due() == 1
    assert await courier.deliver_due() == 0
    assert [m.body for m in await store.queues.peek("failed", 10)] == ["{}"]
    assert value(metrics.RECORDS_DELIVERED) == before + 3
    assert (await store.outbox.depth())[0] == 0


async def test_d7_delivery_waits_for_the_queue_to_exist(store: SqliteStore) -> None:
    world = World()
    world.has_queue = False
    await store.progress.discard("u", UPDATE, row(), None)
    courier = Courier(store.outbox, world.route, lambda: world.wall_ms)
    assert await courier.deliver_due() == 0
    assert await courier.deliver_due() == 0, "not due again at once"
    world.has_queue = True
    world.wall_ms += 60_000
    assert await courier.deliver_due() == 1


async def test_d7_after_the_last_attempt_it_is_counted(store: SqliteStore) -> None:
    world = World()
    world.has_queue = False
    await store.progress.discard("u", UPDATE, row(), None)
    courier = Courier(store.outbox, world.route, lambda: world.wall_ms)
    dropped, failures = value(metrics.RECORDS_DROPPED), value(metrics.DESTINATION_FAILURES)
    for _ in range(OUTBOX_ATTEMPTS_MAX):
        assert (await store.outbox.depth())[0] == 1
        await courier.deliver_due()
        world.wall_ms += 3_600_000
    assert (await store.outbox.depth())[0] == 0
    assert value(metrics.RECORDS_DROPPED) == dropped + 3
    assert value(metrics.DESTINATION_FAILURES) == failures + OUTBOX_ATTEMPTS_MAX
