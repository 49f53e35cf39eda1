"""What every store promises about on-failure records that wait (D7, T1)."""

import pytest

from router.config import StoreSettings
from router.model import limits
from router.model.errors import StoreFull
from router.model.limits import MIB
from router.store.base import Address, EnqueuedMessage, OutboxDepth, OutboxRow, Postponed
from tests.unit.store.support import update

QUEUE = "arn:aws:sqs:us-east-1:000000000000:dlq"
BUCKET = "arn:aws:s3:::bucket"
DAY_MS = 86_400_000


def row(body=b"{}", destination=QUEUE, **members):
    return OutboxRow(mapping="m", destination=destination, body=body, **({"records": 1} | members))


async def keep(store, *rows):
    for position, one in enumerate(rows, 1):
        await store.progress.discard("m", update(position), one, None)


async def bodies(store, destination=QUEUE, now_ms=0, rows_max=9):
    due = await store.outbox.due(Address(destination), now_ms, rows_max)
    return [await store.outbox.body(one.id) for one in due]


async def test_a_row_comes_back_whole(store):
    given = row(
        b"why", BUCKET, mapping_uuid="u", letter_id="l", lane="shard-1", object_key="aws/k",
        origin=b"{}", records=7, next_attempt_ms=5,
    )  # fmt: skip
    await keep(store, given)
    (due,) = await store.outbox.due(Address(BUCKET, b"{}"), 5, 9)
    assert due == OutboxRow(
        id=due.id, mapping="m", mapping_uuid="u", destination=BUCKET, letter_id="l",
        lane="shard-1", object_key="aws/k", origin=b"{}", body=b"", size_bytes=3, records=7,
        next_attempt_ms=5,
    )  # fmt: skip
    assert await store.outbox.body(due.id) == b"why"
    assert await store.outbox.body(due.id + 1) is None


async def test_each_destination_is_apart(store, backend):
    backend.now_ms = 5_000
    await keep(store, row(b"a"), row(b"b", BUCKET, next_attempt_ms=900))
    backend.now_ms = 7_000
    await keep(store, row(b"c"))
    assert await bodies(store) == [b"a", b"c"]
    assert await bodies(store, BUCKET) == []
    assert await bodies(store, BUCKET, 900) == [b"b"]
    assert sorted(await store.outbox.depths(0), key=lambda depth: depth.address.destination) == [
        OutboxDepth(Address(BUCKET), 1, 5_000, has_due=False),
        OutboxDepth(Address(QUEUE), 2, 5_000, has_due=True),
    ]


async def test_topics_of_the_same_name_in_several_clusters_are_apart(store):
    topic = "kafka://failed"
    await keep(store, row(b"a", topic, origin=b"here"), row(b"b", topic, origin=b"there"))
    (here,) = await store.outbox.due(Address(topic, b"here"), 0, 9)
    (there,) = await store.outbox.due(Address(topic, b"there"), 0, 9)
    assert await store.outbox.body(here.id) == b"a"
    assert await store.outbox.body(there.id) == b"b"
    assert {it.address.origin for it in await store.outbox.depths(0)} == {b"here", b"there"}


async def test_t1_a_clock_set_back_does_not_hold_an_outbox_row_up(store):
    await keep(store, row(next_attempt_ms=10 * DAY_MS))
    (due,) = await store.outbox.due(Address(QUEUE), 9 * DAY_MS, 9)
    assert due.next_attempt_ms == 10 * DAY_MS
    almost_ms = 10 * DAY_MS - limits.OUTBOX_WAIT_MS_MAX
    assert await store.outbox.due(Address(QUEUE), almost_ms, 9) == []
    assert [it.has_due for it in await store.outbox.depths(almost_ms)] == [False]
    assert [it.has_due for it in await store.outbox.depths(9 * DAY_MS)] == [True]


async def test_rows_come_longest_due_first_until_delivered(store):
    await keep(store, *(row(b"%d" % n) for n in range(4)))
    assert await bodies(store, rows_max=3) == [b"0", b"1", b"2"]
    first, second, *_ = await store.outbox.due(Address(QUEUE), 0, 9)
    await store.outbox.failed([Postponed(first.id, 700)])
    await store.outbox.delivered(second.id)
    assert await bodies(store, now_ms=699) == [b"2", b"3"]
    *_, again = await store.outbox.due(Address(QUEUE), 700, 9)
    assert (again.id, again.attempts) == (first.id, 1)
    assert [it.rows for it in await store.outbox.depths(0)] == [3]


async def test_what_arrived_in_part_keeps_the_rest(store):
    await keep(store, row(b"abc", records=3), row(b"def", records=3))
    first, second = await store.outbox.due(Address(QUEUE), 0, 9)
    await store.outbox.failed([Postponed(first.id, 0, b"c", 1), Postponed(second.id, 0)])
    due = await store.outbox.due(Address(QUEUE), 0, 9)
    assert [(it.records, it.attempts, it.size_bytes) for it in due] == [(1, 1, 1), (3, 1, 3)]
    assert await bodies(store) == [b"c", b"def"]


async def test_d7_a_row_is_delivered_to_an_embedded_queue_exactly_once(store):
    await keep(store, row())
    (due,) = await store.outbox.due(Address(QUEUE), 0, 9)
    delivery = EnqueuedMessage(queue="dlq", body="why")
    await store.outbox.delivered(due.id, delivery)
    await store.outbox.delivered(due.id, delivery)
    assert len(await store.queues.peek("dlq", 9)) == 1
    assert await store.outbox.depths(0) == []


@pytest.fixture
async def small(backend):
    """A store where 1 MiB may wait for a destination; opened again by `again`."""
    settings = StoreSettings(outbox_bytes_max=MIB)
    opened = []

    async def again():
        if opened:
            await opened[-1].close()
        opened.append(backend.make(settings))
        await opened[-1].open()
        return opened[-1]

    yield again
    await opened[-1].close()


async def test_l4_what_may_wait_for_a_destination_is_bounded_and_nothing_is_dropped(small):
    store = await small()
    half = b"x" * (MIB // 2)
    await store.progress.start("m", {"0": 0})
    await keep(store, row(half), row(half))
    with pytest.raises(StoreFull, match="ROUTER_STORE_OUTBOX_BYTES_MAX"):
        await store.progress.discard("m", update(3), row(b"more"), None)
    assert (await store.progress.load("m"))["0"].position == 2, "nothing of it is stored"
    await store.progress.discard("m", update(3), row(half, BUCKET), None)
    store = await small()
    with pytest.raises(StoreFull):
        await store.progress.discard("m", update(4), row(b"more"), None)
    first, second = await store.outbox.due(Address(QUEUE), 0, 9)
    await store.outbox.failed([Postponed(first.id, 700)])
    with pytest.raises(StoreFull):
        await store.progress.discard("m", update(4), row(b"more"), None)
    await store.outbox.failed([Postponed(first.id, 700, half[:-4], 1)])
    await store.progress.discard("m", update(4), row(b"more"), None)
    with pytest.raises(StoreFull):
        await store.progress.discard("m", update(5), row(half), None)
    await store.outbox.delivered(second.id)
    await store.outbox.delivered(second.id)
    await store.progress.discard("m", update(5), row(half), None)
    with pytest.raises(StoreFull):
        await store.progress.discard("m", update(6), row(b"more"), None)


async def test_a_record_larger_than_the_bound_waits_alone(small):
    store = await small()
    await keep(store, row(b"x" * (2 * MIB)))
    with pytest.raises(StoreFull):
        await store.progress.discard("m", update(2), row(b"more"), None)
    (large,) = await store.outbox.due(Address(QUEUE), 0, 9)
    await store.outbox.delivered(large.id)
    await store.progress.discard("m", update(2), row(b"more"), None)
