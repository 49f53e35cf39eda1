"""Kafka mappings when routers, brokers and memberships come and go (K1, K4 to K6)."""

import signal
import time

import pytest

from tests.integration.bed import Bed, function, template, until
from tests.integration.kafka_bed import TELLING, Topic, kafka_mapping
from tests.servers.base import running
from tests.servers.kafka import KafkaServer

KEYS = [f"k{number}" for number in range(8)]


def prepare(bed: Bed, topic: Topic, **more) -> Bed:
    bed.code(TELLING)
    bed.environment["ROUTER_KAFKA_LOOK_S"] = "1"
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": topic.name}}
    feed = kafka_mapping(topic, **{"BatchSize": 10, **group, **more})
    bed.write(template(function(timeout=60), feed))
    return bed


@pytest.fixture
def routers(tmp_path, ear):
    """Routers with folders of their own and one ear."""
    made: list[Bed] = []

    def make(topic: Topic, **more) -> Bed:
        folder = tmp_path / f"router-{len(made)}"
        folder.mkdir()
        made.append(prepare(Bed(folder, ear), topic, **more))
        return made[-1]

    yield make
    for bed in made:
        bed.close()


def all_committed(topic: Topic, count: int) -> bool:
    return sum(at for at, _ in topic.committed(topic.name).values()) == count


def check_order(ear, count: int) -> None:
    """D1, D5: every record was seen, the first time in the order of its key."""
    for key in KEYS:
        firsts = list(dict.fromkeys(n for _, n in ear.records(key)))
        assert firsts == list(range(count)), key


def test_k1_kill_9_loses_nothing_and_repeats_what_was_in_flight(bed, ear, kafka):
    topic = Topic(kafka.bootstrap, partitions=4)
    prepare(bed, topic)
    ear.answer = lambda _: time.sleep(0.002) or "ok"
    topic.send(KEYS, 100)
    bed.start()
    until(lambda: len(ear.handled()) >= 200)
    bed.signal(signal.SIGKILL)
    bed.wait()
    bed.start()
    until(lambda: all_committed(topic, 800), wait_s=40, what="a commit of all")
    check_order(ear, 100)
    # What was handled and not committed yet, a few batches on each of four partitions.
    assert len(ear.records()) - 800 < 400


def test_k4_the_broker_is_killed_and_comes_back(bed, ear, tmp_path_factory):
    with running(KafkaServer, tmp_path_factory.mktemp("kafka-killed")) as broker:
        topic = Topic(broker.bootstrap, partitions=2)
        prepare(bed, topic)
        bed.start()
        topic.send(KEYS, 20)
        until(lambda: len(ear.handled()) >= 160)
        broker.kill()
        status = until(lambda: "no broker" in last_result(bed), what="a status that says why")
        assert status
        broker.start()
        topic.send(KEYS, 20, start=20)
        until(lambda: all_committed(topic, 320), wait_s=40, what="a commit of all")
        check_order(ear, 40)
        until(lambda: last_result(bed) == "OK")


def last_result(bed: Bed) -> str:
    (mapping,) = bed.rest("GET", "/2015-03-31/event-source-mappings").json["EventSourceMappings"]
    return mapping["LastProcessingResult"]


def test_k4_the_broker_is_paused(bed, ear, tmp_path_factory):
    with running(KafkaServer, tmp_path_factory.mktemp("kafka-paused")) as broker:
        topic = Topic(broker.bootstrap, partitions=2)
        prepare(bed, topic)
        topic.send(KEYS, 100)
        ear.answer = lambda _: time.sleep(0.002) or "ok"
        bed.start()
        until(lambda: len(ear.handled()) >= 100)
        broker.pause()
        time.sleep(5)
        broker.resume()
        until(lambda: all_committed(topic, 800), wait_s=40, what="a commit of all")
        check_order(ear, 100)


def test_k5_two_routers_share_a_group_and_one_dies(routers, ear, kafka):
    topic = Topic(kafka.bootstrap, partitions=4)
    ear.answer = lambda _: time.sleep(0.002) or "ok"
    one, two = routers(topic), routers(topic)
    one.start()
    two.start()
    both = (one, two)
    until(lambda: all(partitions(bed) == 2 for bed in both), what="two partitions each")
    topic.send(KEYS, 100)
    until(lambda: len(ear.handled()) >= 100)
    one.signal(signal.SIGKILL)
    until(lambda: partitions(two) == 4, wait_s=30, what="all partitions at the other one")
    until(lambda: all_committed(topic, 800), wait_s=40, what="a commit of all")
    check_order(ear, 100)


def partitions(bed: Bed) -> int:
    rows = bed.lines("partitions_assigned")
    return rows[-1]["partitions"] if rows else 0


def test_k6_routers_are_rolled_and_nothing_comes_twice(routers, ear, kafka):
    """D12: whoever leaves finishes what it runs and commits it, and so does who stays."""
    topic = Topic(kafka.bootstrap, partitions=6)
    ear.answer = lambda _: time.sleep(0.003) or "ok"
    beds = [routers(topic) for _ in range(3)]
    for bed in beds:
        bed.start()
    topic.send(KEYS, 150)
    for bed in beds:
        until(lambda: len(ear.handled()) > 0)
        assert bed.stop() == 0
        bed.start()
    until(lambda: all_committed(topic, 1_200), wait_s=50, what="a commit of all")
    assert len(ear.records()) == 1_200
    check_order(ear, 150)


def test_a_batch_that_outlasts_a_rebalance_is_not_run_twice_at_a_time(routers, ear, kafka):
    """D6: a partition that comes back goes on with what runs."""
    topic = Topic(kafka.bootstrap, partitions=2)
    is_held = [True]

    def answer(facts):
        while is_held[0] and facts["what"] == "record" and facts["key"] == "slow":
            time.sleep(0.05)
        return "ok"

    ear.answer = answer
    one, two = routers(topic), routers(topic)
    one.start()
    until(lambda: partitions(one) == 2)
    topic.produce([("slow", {"key": "slow", "n": 0})])
    until(lambda: ear.records("slow"))
    two.start()
    time.sleep(2)
    is_held[0] = False
    until(lambda: all(partitions(bed) == 1 for bed in (one, two)), wait_s=30)
    until(lambda: all_committed(topic, 1))
    assert ear.records("slow") == [("slow", 0)]
