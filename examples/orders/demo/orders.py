"""What the demo sends: orders to a Kafka topic, shipments to a FIFO queue."""

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from examples.common.ledger import Item
from examples.common.process import Router
from examples.common.queues import call, queue_url

TOPIC = "orders"
PARTITIONS = 4
QUEUE = "shipments.fifo"

ORDERS, ORDERS_PER_S = 4_000, 500
SHIPMENTS, SHIPMENTS_PER_S = 2_000, 250
CUSTOMERS = 100
POISON_EVERY = 101
"""One in a hundred, and the next one is of the next customer."""

SENDERS = 10
"""Send shipments side by side, each those of its own customers."""

BATCH = 10
"""Messages in one call (SQS)."""


@dataclass(kw_only=True)
class Order(Item):
    """An order or a shipment; its key is the customer."""

    number: int
    body: bytes
    place: tuple[str, int] | None = None
    """Partition and offset, as the broker told."""


def make_orders() -> list[Order]:
    """Orders for the topic; a line of the poisoned ones has no price."""
    return [
        _order(
            number, "order",
            lines=[{"sku": "tea", "count": 2, "cents": 450}, {"sku": "cup", "count": 1}]
            if number % POISON_EVERY == 0
            else [{"sku": "tea", "count": 2, "cents": 450}],
        )
        for number in range(ORDERS)
    ]  # fmt: skip


def make_shipments() -> list[Order]:
    """Shipments for the queue; the poisoned ones have no address."""
    return [
        _order(
            number, "shipment",
            address="" if number % POISON_EVERY == 0 else f"{number} Harbour Road",
        )
        for number in range(SHIPMENTS)
    ]  # fmt: skip


def _order(number: int, kind: str, **content: object) -> Order:
    customer = f"customer-{number % CUSTOMERS:02d}"
    it = f"{kind}-{number:04d}"
    body = {"id": it, "customer": customer, **content}
    return Order(
        id=it,
        key=customer,
        turn=number // CUSTOMERS,
        number=number,
        body=json.dumps(body, separators=(",", ":")).encode(),
        is_poison=number % POISON_EVERY == 0,
    )


async def make_topic(servers: str) -> None:
    """The topic, on a broker that has none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    finally:
        await admin.close()


async def send_orders(servers: str, orders: Sequence[Order], tick: Callable[[], None]) -> None:
    """To the topic, with the customer as the key; so many a second, however long answers take."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=5
    )
    await producer.start()
    try:
        began = time.monotonic()
        answers = []
        for order in orders:
            await _until(began + order.number / ORDERS_PER_S)
            answer = await producer.send(TOPIC, order.body, key=order.key.encode())
            answer.add_done_callback(functools.partial(_acknowledged, order, tick))
            answers.append(answer)
        await asyncio.gather(*answers)
    finally:
        await producer.stop()


def _acknowledged(order: Order, tick: Callable[[], None], answer: asyncio.Future) -> None:
    if answer.cancelled() or answer.exception() is not None:
        return  # who waits for all of them is told
    order.accepted_at = time.time()
    order.place = (f"{TOPIC}-{answer.result().partition}", answer.result().offset)
    tick()


async def send_shipments(
    session: aiohttp.ClientSession,
    router: Router,
    shipments: Sequence[Order],
    tick: Callable[[], None],
) -> None:
    """To the queue, with the customer as the group; each batch after the answer to the last."""
    url = await queue_url(session, router, QUEUE)
    began = time.monotonic()
    streams: list[list[Order]] = [[] for _ in range(SENDERS)]
    for shipment in shipments:
        streams[shipment.number % CUSTOMERS % SENDERS].append(shipment)

    async def send(stream: list[Order]) -> None:
        for start in range(0, len(stream), BATCH):
            batch = stream[start : start + BATCH]
            await _until(began + batch[-1].number / SHIPMENTS_PER_S)
            await _send_batch(session, router, url, batch)
            for shipment in batch:
                shipment.accepted_at = time.time()
                tick()

    await asyncio.gather(*(send(stream) for stream in streams))


async def _send_batch(
    session: aiohttp.ClientSession, router: Router, url: str, batch: Sequence[Order]
) -> None:
    """Sent until somebody answers; a repeated one is dropped by its deduplication id."""
    entries = [
        {
            "Id": str(index), "MessageBody": shipment.body.decode(),
            "MessageGroupId": shipment.key, "MessageDeduplicationId": shipment.id,
        }
        for index, shipment in enumerate(batch)
    ]  # fmt: skip
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError, TimeoutError):
            reply = await call(session, router, "SendMessageBatch", QueueUrl=url, Entries=entries)
            if reply.get("Failed"):
                raise RuntimeError(f"shipments were refused: {reply['Failed']}")
            return
        await asyncio.sleep(0.05)


async def _until(moment: float) -> None:
    if (delay := moment - time.monotonic()) > 0:
        await asyncio.sleep(delay)
