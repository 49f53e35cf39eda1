"""Messages to a Kafka topic: what was taken is not sent again, what was not is not lost (D7)."""

import asyncio

import pytest
from aiokafka import errors

from router.destinations import kafka_topic
from router.destinations.delivery import DeliveryFailed
from router.destinations.kafka_topic import KafkaTopic
from router.model.failure import TopicMessage, pack_messages, unpack_messages
from router.store.base import OutboxRow

LARGE = 10


class Broker:
    """Takes what is sent in one turn of the loop together or not at all, as a client's batch."""

    servers = ("127.0.0.1:9092",)

    def __init__(self):
        self.taken, self.batches = [], []
        self.failure = None
        self.refuses_from = None
        self.hangs = False
        self.opened = self.closed = 0

    def options(self):
        return {}

    async def reach(self, origin, topic):
        return self

    async def send(self, topic, value, key):
        if self.failure is not None:
            raise self.failure
        future = asyncio.get_running_loop().create_future()
        if not self.batches:
            asyncio.get_running_loop().call_soon(self.flush)
        self.batches.append((value, future))
        return future

    def flush(self):
        batch, self.batches = self.batches, []
        if self.hangs:
            return
        if sum(len(value) for value, _ in batch) > LARGE:
            for _, future in batch:
                future.set_exception(errors.MessageSizeTooLargeError("too large"))
            return
        for value, future in batch:
            if self.refuses_from is not None and len(self.taken) >= self.refuses_from:
                future.set_exception(errors.KafkaConnectionError("gone"))
                continue
            self.taken.append(value)
            future.set_result(None)

    async def stop(self):
        self.closed += 1


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()

    async def open_one(_self, access):
        broker.opened += 1
        return access

    monkeypatch.setattr(KafkaTopic, "_open", open_one)
    return broker


def row(*values, topic="t"):
    messages = [TopicMessage(None, value) for value in values]
    return OutboxRow(
        mapping="m", destination=f"kafka://{topic}", origin=b"o", body=pack_messages(messages),
        records=len(messages),
    )  # fmt: skip


async def left_of(carrier, outbox_row):
    with pytest.raises(DeliveryFailed) as caught:
        await carrier.deliver(outbox_row)
    failure = caught.value
    if failure.body is None:
        return failure, None
    left = [message.value for message in unpack_messages(failure.body)]
    assert failure.records == len(left)
    return failure, left


async def test_one_that_is_too_large_takes_no_other_with_it(broker):
    carrier = KafkaTopic(broker.reach)
    failure, left = await left_of(carrier, row(b"a", b"x" * 11, b"b", b"a"))
    assert (failure.reason, left) == ("too_large", [b"x" * 11])
    assert broker.taken == [b"a", b"b", b"a"]


async def test_many_that_are_too_large_only_together_all_arrive(broker):
    await KafkaTopic(broker.reach).deliver(row(b"aaaaaa", b"bbbbbb"))
    assert broker.taken == [b"aaaaaa", b"bbbbbb"]


async def test_what_arrived_before_a_connection_was_lost_is_not_left(broker):
    broker.refuses_from = 2
    carrier = KafkaTopic(broker.reach)
    failure, left = await left_of(carrier, row(b"a", b"b", b"c", b"d"))
    assert (failure.reason, left) == ("unreachable", [b"c", b"d"])
    assert broker.closed == 1, "the next attempt begins anew"


async def test_a_connection_lost_while_they_go_one_by_one(broker):
    broker.refuses_from = 1
    carrier = KafkaTopic(broker.reach)
    failure, left = await left_of(carrier, row(b"aaaaaa", b"bbbbbb", b"cccccc"))
    assert (failure.reason, left) == ("unreachable", [b"bbbbbb", b"cccccc"])


async def test_nothing_arrived_is_the_row_as_it_was(broker):
    broker.failure = errors.TopicAuthorizationFailedError("t")
    failure, left = await left_of(KafkaTopic(broker.reach), row(b"a", b"b"))
    assert (failure.reason, left) == ("denied", None)


async def test_l3_an_attempt_ends_and_nothing_of_it_counts_as_taken(broker, monkeypatch):
    monkeypatch.setattr(kafka_topic, "ATTEMPT_S_MAX", 0.01)
    broker.hangs = True
    failure, left = await left_of(KafkaTopic(broker.reach), row(b"a", b"b"))
    assert (failure.reason, left) == ("timeout", None)


async def test_few_producers_stay_open(broker):
    carrier = KafkaTopic(broker.reach)
    for number in range(kafka_topic.OPEN_MAX + 3):
        await carrier.deliver(row(b"a", topic=f"t{number}"))
    assert broker.opened - broker.closed == kafka_topic.OPEN_MAX
    await carrier.deliver(row(b"a", topic="t0"))
    assert broker.opened == kafka_topic.OPEN_MAX + 3, "one that is open is used again"
    await carrier.close()
    assert broker.opened == broker.closed


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.SaslAuthenticationFailed("no"), "denied"),
        (errors.UnknownTopicOrPartitionError("t"), "missing"),
        (errors.KafkaTimeoutError(), "timeout"),
        (errors.NotEnoughReplicasError(), "server_error"),
        (errors.KafkaConnectionError("x"), "unreachable"),
        (ConnectionResetError("x"), "unreachable"),
        (KeyError("x"), "internal"),
    ],
)
async def test_each_failure_has_its_reason(broker, error, reason):
    broker.failure = error
    failure, _ = await left_of(KafkaTopic(broker.reach), row(b"a"))
    assert failure.reason == reason
