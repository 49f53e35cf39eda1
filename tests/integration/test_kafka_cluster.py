"""Kafka mappings on a cluster of three nodes that loses one after the other under load (K4)."""

import time

from tests.integration.bed import until
from tests.integration.kafka_bed import Topic, check_order, is_all_committed, prepare
from tests.sizes import size, sized

KEYS = [f"k{number}" for number in range(8)]
ROUNDS = size(1, 3)
PAUSE_S = size(0.03, 0.02)


def handled_more(ear, count):
    """Wait until so many more records were handled; how long that took."""
    started = time.monotonic()
    want = len(set(ear.handled())) + count
    until(lambda: len(set(ear.handled())) >= want, wait_s=90, what="more records handled")
    return time.monotonic() - started


@sized(400, 800)
def test_k4_leader_coordinator_and_all_nodes_go_and_come_back(bed, ear, kafka_cluster):
    """D1, D5. Long: three rounds, and a rolling restart of the nodes in each."""
    topic = Topic(kafka_cluster.bootstrap, partitions=4, replicas=3)
    prepare(bed, topic)
    bed.start()

    def node(number):
        return kafka_cluster.nodes[number - 1]

    def restart(name, it, end):
        until(lambda: topic.in_sync() == 3, wait_s=90, what="all replicas in sync")
        end()
        print(f"{name}, node {it.node}: 200 more after {handled_more(ear, 200):.1f} s")
        it.start()
        print(f"  back again: 200 more after {handled_more(ear, 200):.1f} s")

    with topic.pouring(KEYS, PAUSE_S) as poured:
        handled_more(ear, 200)
        for _ in range(ROUNDS):
            leader = node(topic.leader(0))
            restart("leader killed", leader, leader.kill)
            coordinator = node(topic.coordinator(topic.name))
            restart("coordinator killed", coordinator, coordinator.kill)
            for it in kafka_cluster.nodes[: size(0, 3)]:
                restart("rolled", it, it.stop)
    total = poured.count * len(KEYS)
    until(lambda: is_all_committed(topic, total), wait_s=90, what="a commit of all")
    check_order(ear, KEYS, poured.count)
    print(f"{total} records, {len(ear.records()) - total} came again")
