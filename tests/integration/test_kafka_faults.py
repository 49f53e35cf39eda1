"""Kafka mappings when routers, brokers and memberships come and go (K1, K4 to K6)."""

import signal
import time

from tests.integration.bed import until
from tests.integration.kafka_bed import (
    Topic,
    check_order,
    is_all_committed,
    last_result,
    partitions,
    prepare,
)
from tests.servers.base import running
from tests.servers.kafka import KafkaServer
from tests.sizes import size, sized

KEYS = [f"k{number}" for number in range(8)]


def all_handled(topic, ear, count):
    """Committed whatever was sent of each key, and in order; how many came more than once."""
    total = count * len(KEYS)
    until(lambda: is_all_committed(topic, total), wait_s=size(60, 180), what="a commit of all")
    check_order(ear, KEYS, count)
    return len(ear.records()) - total


def takes_its_time(ear, seconds=0.002):
    ear.answer = lambda _: time.sleep(seconds) or "ok"


def test_k1_kill_9_loses_nothing_and_repeats_what_was_in_flight(bed, ear, kafka):
    topic = Topic(kafka.bootstrap, partitions=4)
    prepare(bed, topic)
    takes_its_time(ear)
    topic.send(KEYS, 100)
    bed.start()
    until(lambda: len(ear.handled()) >= 200)
    bed.signal(signal.SIGKILL)
    bed.wait()
    bed.start()
    # What was handled and not committed yet, a few batches on each of four partitions.
    assert all_handled(topic, ear, 100) < 400


@sized(300, 400)
def test_k4_the_broker_is_killed_and_comes_back(bed, ear, tmp_path_factory):
    """Long: away for half a minute, three times."""
    away_s, rounds = size((0, 1), (30, 3))
    with running(KafkaServer, tmp_path_factory.mktemp("kafka-killed")) as broker:
        topic = Topic(broker.bootstrap, partitions=2)
        prepare(bed, topic)
        bed.start()
        for number in range(rounds):
            topic.send(KEYS, 20, start=20 * number)
            until(lambda: len(set(ear.handled())) >= 160 * (number + 1))  # noqa: B023
            broker.kill()
            until(lambda: "no broker" in last_result(bed), what="a status that says why")
            time.sleep(away_s)
            broker.start()
            back = time.monotonic()
            until(lambda: last_result(bed) == "OK", what="a status of a cluster that is back")
            print(f"well {time.monotonic() - back:.1f} s after the broker, round {number}")
        topic.send(KEYS, 20, start=20 * rounds)
        repeated = all_handled(topic, ear, 20 * (rounds + 1))
        print(f"{repeated} came again")


@sized(300, 400)
def test_k4_the_broker_is_paused(bed, ear, tmp_path_factory):
    """Long: for half a minute, more than the group waits for a member, three times."""
    pause_s, rounds = size((5, 1), (30, 3))
    with running(KafkaServer, tmp_path_factory.mktemp("kafka-paused")) as broker:
        topic = Topic(broker.bootstrap, partitions=2)
        prepare(bed, topic)
        takes_its_time(ear)
        bed.start()
        for number in range(rounds):
            topic.send(KEYS, 100, start=100 * number)
            until(lambda: len(set(ear.handled())) >= 800 * number + 100)  # noqa: B023
            broker.pause()
            time.sleep(pause_s)
            broker.resume()
            back = time.monotonic()
            until(lambda: len(set(ear.handled())) >= 800 * (number + 1))  # noqa: B023
            print(f"caught up {time.monotonic() - back:.1f} s after the pause, round {number}")
        repeated = all_handled(topic, ear, 100 * rounds)
        print(f"{repeated} came again")


@sized(300, 400)
def test_k5_routers_of_a_group_die_one_after_the_other(routers, ear, kafka):
    """Long: three of them, and at the end all of them."""
    count, each = size((2, 100), (3, 600))
    topic = Topic(kafka.bootstrap, partitions=6)
    takes_its_time(ear)
    beds = [prepare(routers(), topic) for _ in range(count)]
    for bed in beds:
        bed.start()
    share = 6 // count
    until(lambda: all(partitions(bed) == share for bed in beds), what="equal shares")
    topic.send(KEYS, each)
    while len(beds) > 1:
        seen = len(ear.handled())
        until(lambda: len(ear.handled()) >= seen + 100)  # noqa: B023
        beds.pop().signal(signal.SIGKILL)
        share = 6 // len(beds)
        until(lambda: all(partitions(bed) == share for bed in beds), what="the shares of the dead")  # noqa: B023
    if count > 2:
        beds[0].signal(signal.SIGKILL)
        beds[0].wait()
        beds[0].start()
    repeated = all_handled(topic, ear, each)
    print(f"{repeated} came again after {count} kills")


@sized(300, 600)
def test_k6_routers_are_rolled_and_nothing_comes_twice(routers, ear, kafka):
    """D12: whoever leaves finishes what it runs and commits it, and so does who stays.

    Long: each of the three ten times.
    """
    rounds, each = size((1, 150), (10, 1_500))
    topic = Topic(kafka.bootstrap, partitions=6)
    takes_its_time(ear, 0.003)
    beds = [prepare(routers(), topic) for _ in range(3)]
    for bed in beds:
        bed.start()
    topic.send(KEYS, each)
    for bed in beds * rounds:
        seen = len(ear.handled())
        if seen < each * len(KEYS):
            until(lambda: len(ear.handled()) > seen)  # noqa: B023
        assert bed.stop() == 0
        bed.start()
    assert all_handled(topic, ear, each) == 0


@sized(300, 300)
def test_a_batch_that_outlasts_a_rebalance_is_not_run_twice_at_a_time(routers, ear, kafka):
    """D3, D6: a partition that comes back goes on with what runs, and what is behind it waits.

    Long: the group does not wait for the batch, so that whoever has its partition then may run it
    once more.
    """
    held_s, often = size((2, 1), (40, 2))
    topic = Topic(kafka.bootstrap, partitions=2)
    is_held = [True]

    def answer(facts):
        while is_held[0] and facts["what"] == "record":
            time.sleep(0.05)
        return "ok"

    ear.answer = answer
    one, two = prepare(routers(), topic, BatchSize=1), prepare(routers(), topic, BatchSize=1)
    one.start()
    until(lambda: partitions(one) == 2)
    topic.send(["slow"], 20)
    until(lambda: ear.records("slow"))
    two.start()
    time.sleep(held_s)
    assert set(ear.records("slow")) == {("slow", 0)}, "what is behind it waits"
    assert not topic.committed(topic.name).get(0, (0, ""))[0]
    assert not topic.committed(topic.name).get(1, (0, ""))[0]
    is_held[0] = False
    until(lambda: all(partitions(bed) == 1 for bed in (one, two)), wait_s=60)
    until(lambda: is_all_committed(topic, 20))
    check_order(ear, ["slow"], 20)
    times = ear.records("slow").count(("slow", 0))
    print(f"run {times} times")
    assert times <= often
    assert len(ear.records()) == 19 + times


@sized(300, 300)
def test_a_topic_that_gains_partitions_under_load(routers, ear, kafka):
    """D1, D5: none of the new ones' records is missed, whatever the starting position says."""
    pause_s = size(1, 15)
    topic = Topic(kafka.bootstrap, partitions=2)
    takes_its_time(ear)
    beds = [prepare(routers(), topic, start="LATEST") for _ in range(2)]
    for bed in beds:
        bed.start()
    until(lambda: all(partitions(bed) == 1 for bed in beds), what="one partition each")
    late = [f"late{number}" for number in range(6)]
    with topic.pouring(KEYS, 0.02, partitions=2) as old:
        until(lambda: len(ear.handled()) >= 100)
        topic.grow(6)
        with topic.pouring(late, 0.02, partitions=6) as new:
            until(lambda: all(partitions(bed) == 3 for bed in beds), what="three partitions each")
            time.sleep(pause_s)
    total = old.count * len(KEYS) + new.count * len(late)
    until(lambda: is_all_committed(topic, total), wait_s=90, what="a commit of all")
    everything = list(ear.heard)
    for keys, count in ((KEYS, old.count), (late, new.count)):
        ear.heard = [it for it in everything if it["what"] == "end" or it["key"] in keys]
        check_order(ear, keys, count)
    assert len([it for it in everything if it["what"] == "record"]) == total, "nothing came twice"
