"""The other consumers: `consumer.py confluent|aiokafka|batch|keyed`, one process, one topic.

`confluent` and `aiokafka` are the loops a good engineer writes, without commits, which favours
them. `batch` and `keyed` are FastStream at-least-once; `keyed` is the most it does side by side
with an order per key: a worker for each partition.
"""

import asyncio
import os
import sys

import work

BOOTSTRAP, TOPIC, GROUP = (os.environ[name] for name in ("BOOTSTRAP", "TOPIC", "GROUP"))
READ_MAX = 500
BATCH = 100


def confluent():
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([TOPIC])
    while True:
        values = [message.value() for message in consumer.consume(READ_MAX, 0.5)]
        for start in range(0, len(values), BATCH):
            work.handle(values[start : start + BATCH])


async def aiokafka():
    """Reads and counts; parses nothing."""
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BOOTSTRAP,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while True:
        found = await consumer.getmany(timeout_ms=1_000, max_records=READ_MAX)
        if count := sum(map(len, found.values())):
            work.tell(count)


def faststream(*, is_keyed):
    from faststream import AckPolicy, FastStream
    from faststream.kafka import KafkaBroker

    broker = KafkaBroker(BOOTSTRAP, logger=None)
    how = {
        "group_id": GROUP,
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
    }

    if is_keyed:

        @broker.subscriber(TOPIC, max_workers=64, **how)
        async def one(_message: dict):
            await asyncio.sleep(work.PAUSE_S)
            work.tell(1)

    else:
        # It has parsed the values by then, as the handler's own loop does elsewhere.
        @broker.subscriber(TOPIC, batch=True, max_records=BATCH, **how)
        async def many(messages: list[dict]):
            work.tell(len(messages))

    return FastStream(broker, logger=None).run()


if __name__ == "__main__":
    match sys.argv[1]:
        case "confluent":
            confluent()
        case "aiokafka":
            import uvloop

            uvloop.run(aiokafka())
        case kind:
            asyncio.run(faststream(is_keyed=kind == "keyed"))
