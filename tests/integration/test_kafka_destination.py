"""`kafka://topic` on a real broker: what arrives, and what each failure says (5.2, P17, D7)."""

import asyncio
import json
from uuid import uuid4

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from router.app.destinations import make_reach
from router.destinations.delivery import DeliveryFailed
from router.destinations.kafka_topic import KafkaTopic
from router.model.errors import ConfigError
from router.model.failure import KafkaOrigin, TopicMessage, pack_messages, unpack_messages
from router.sources.kafka.access import Access
from router.store.base import OutboxRow
from tests.integration.bed import WAIT_S, function, template, until
from tests.integration.kafka_bed import CLOSE_S, TELLING, Topic, kafka_mapping
from tests.servers.base import free_ports
from tests.servers.kafka import USER

ORIGIN = msgspec.json.encode(KafkaOrigin("", ("127.0.0.1:9092",), ()))


def row(topic, *messages):
    return OutboxRow(
        mapping="m", destination=f"kafka://{topic}", origin=ORIGIN, letter_id=str(uuid4()),
        body=pack_messages(list(messages)), records=len(messages),
    )  # fmt: skip


async def read(topic, count):
    consumer = AIOKafkaConsumer(
        topic.name, bootstrap_servers=topic.servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            found = [await consumer.getone() for _ in range(count)]
        assert await consumer.getmany(timeout_ms=300) == {}
        return found
    finally:
        await consumer.stop()
        await asyncio.sleep(CLOSE_S)


@pytest.fixture
async def carrier():
    """A carrier to whatever `access` says."""
    made = []

    def make(access):
        class Known:
            """Settings of clusters that say nothing but this."""

            def access(self, _origin):
                if isinstance(access, Exception):
                    raise access
                return access

        made.append(KafkaTopic(make_reach(Known())))
        return made[-1]

    yield make
    for one in made:
        await one.close()
    await asyncio.sleep(CLOSE_S)


async def fails(one, outbox_row) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await one.deliver(outbox_row)
    return caught.value


def topic_on(kafka, **config):
    """Made in a thread: it runs loops of its own."""
    return asyncio.to_thread(Topic, kafka.bootstrap, **config)


async def test_a_topic_gets_each_message_with_its_key(kafka, carrier):
    topic = await topic_on(kafka)
    one = carrier(Access((kafka.bootstrap,)))
    await one.deliver(row(topic.name, TopicMessage(b"a", b"1"), TopicMessage(None, b"2")))
    await one.deliver(row(topic.name, TopicMessage(b"b", b"3")))
    assert [(it.key, it.value) for it in await read(topic, 3)] == [
        (b"a", b"1"), (None, b"2"), (b"b", b"3"),
    ]  # fmt: skip


async def test_d7_what_the_broker_took_is_not_left(kafka, carrier):
    topic = await topic_on(kafka, **{"max.message.bytes": "1000"})
    messages = [TopicMessage(b"k", b"%d" % n) for n in range(3)]
    messages.insert(1, TopicMessage(b"k", b"x" * 5_000))
    failure = await fails(carrier(Access((kafka.bootstrap,))), row(topic.name, *messages))
    assert (failure.reason, failure.is_of_destination) == ("too_large", False)
    left = unpack_messages(failure.body)
    assert failure.records == len(left)
    assert messages[1] in left
    arrived = {it.value for it in await read(topic, 4 - len(left))}
    assert arrived | {it.value for it in left} == {it.value for it in messages}
    assert len(arrived) + len(left) == 4


async def test_nobody_there(carrier):
    (port,) = free_ports(1)
    failure = await fails(
        carrier(Access((f"127.0.0.1:{port}",))), row("t", TopicMessage(None, b"v"))
    )
    assert (failure.reason, failure.is_of_destination) == ("unreachable", True)
    assert str(port) in str(failure)


async def test_a_topic_that_is_missing(kafka, carrier):
    one = carrier(Access((kafka.bootstrap,)))
    failure = await fails(one, row(f"none-{uuid4()}", TopicMessage(None, b"v")))
    assert (failure.reason, failure.is_of_destination) == ("missing", True)
    assert "the cluster has no topic" in str(failure)


async def test_a_wrong_password_and_a_secret_that_is_nowhere(secure_kafka, carrier):
    access = Access(
        (secure_kafka.address("SASL"),), "SASL_PLAINTEXT", "SCRAM-SHA-512", USER, "wrong"
    )
    failure = await fails(carrier(access), row("t", TopicMessage(None, b"v")))
    assert (failure.reason, failure.is_of_destination) == ("denied", True)
    assert "refuses user 'alice' or the password" in str(failure)
    assert "wrong" not in str(failure)
    failure = await fails(
        carrier(ConfigError("secret 'core' is nowhere")), row("t", TopicMessage(None, b"v"))
    )
    assert (failure.reason, str(failure)) == ("denied", "secret 'core' is nowhere")


def test_p17_d7_what_a_mapping_gives_up_reaches_the_topic(bed, ear, kafka):
    """From end to end, through a death between the sending and its note."""
    source, target = Topic(kafka.bootstrap), Topic(kafka.bootstrap)
    source.produce(
        (f"k{n}", {"key": f"k{n}", "n": n, **({"poison": "error"} if n % 2 else {})})
        for n in range(6)
    )
    bed.code(TELLING)
    bed.write(
        template(
            function(),
            kafka_mapping(
                source, BatchSize=1, MaximumRetryAttempts=0,
                ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 1},
                DestinationConfig={"OnFailure": {"Destination": f"kafka://{target.name}"}},
            ),
        )
    )  # fmt: skip
    bed.environment["ROUTER_CHAOS"] = "after_delivery"
    bed.start()
    assert bed.wait() == -9
    del bed.environment["ROUTER_CHAOS"]
    bed.start()
    until(lambda: len(set(ear.handled())) == 3, WAIT_S, "the others handled")
    until(lambda: bed.metric("router_outbox_rows") == 0 and len(ear.records()) >= 6)
    until(lambda: bed.metric("router_mapping_records_destination_delivered_total") >= 2)
    found = asyncio.run(read_at_least(target, 3))
    offsets = {}
    for it in found:
        document = json.loads(it.value)
        info = document["KafkaBatchInfo"]
        (records,) = document["payload"]["records"].values()
        assert [str(record["offset"]) for record in records] == [info["recordInfo"]["offset"]]
        assert document["requestContext"]["condition"] == "RetriesExhausted"
        assert document["requestContext"]["functionArn"].endswith(":$LATEST")
        assert info["batchSize"] == 1
        offsets[int(info["recordInfo"]["offset"])] = it.key
    assert offsets == {1: b"k1", 3: b"k3", 5: b"k5"}
    assert bed.stop() == 0


async def read_at_least(topic, count):
    """One more where it was sent twice around a death."""
    consumer = AIOKafkaConsumer(
        topic.name, bootstrap_servers=topic.servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    found = []
    try:
        async with asyncio.timeout(30):
            while len({it.key for it in found}) < count:
                found.append(await consumer.getone())
        return found
    finally:
        await consumer.stop()
        await asyncio.sleep(CLOSE_S)
