"""Kafka mappings on a real broker: events, order, commits, poison (7, P19, D1 to D12)."""

import json
import threading

import pytest

from tests.integration.bed import WAIT_S, function, queue, template, to_queue, until
from tests.integration.kafka_bed import TELLING, Topic, kafka_mapping
from tests.unit.sources.kafka.test_odd_records import Raw, batch

GROUP = "SelfManagedKafkaEventSourceConfig"
PROVISIONED = {"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 1}}


def group_of(name: str):
    return {GROUP: {"ConsumerGroupId": name}}


@pytest.fixture
def run(bed):
    """Start a router with a mapping; the group is named after the topic."""

    def run(topic: Topic, **more):
        bed.code(TELLING)
        bed.environment["ROUTER_KAFKA_LOOK_S"] = "1"
        bed.write(template(function(), kafka_mapping(topic, **{**group_of(topic.name), **more})))
        bed.start()
        return bed

    return run


def test_every_record_once_in_order_and_committed(run, ear, kafka):
    """D1, D5, D12: no failures, no duplicates, and any tool of Kafka sees the group at the end."""
    topic = Topic(kafka.bootstrap, partitions=3)
    keys = [f"k{number}" for number in range(7)]
    topic.send(keys, 40)
    bed = run(topic, BatchSize=50)
    until(lambda: len(ear.handled()) >= 280, what="280 records")
    for key in keys:
        assert [n for _, n in ear.records(key)] == list(range(40))
    assert len(ear.records()) == 280
    until(lambda: sum(at for at, _ in topic.committed(topic.name).values()) == 280)
    (name,) = (row["Name"] for row in bed.told("mappings", "list"))
    shards = bed.told("mappings", "describe", name)["Shards"]
    assert [row["ShardId"] for row in shards] == [f"{topic.name}-{number}" for number in range(3)]
    assert sum(row["Position"] + 1 for row in shards) == 280
    assert {row["Lag"] for row in shards} == {0}
    checks = {row["check"]: row for row in bed.told("doctor")}
    found = checks[f"kafka {kafka.bootstrap}"]
    assert found["ok"]
    assert f"topic {topic.name} in group {topic.name} (partitions here: 3)" in found["text"]
    topic.send(keys, 1, start=40)
    until(lambda: len(ear.handled()) == 287)


def test_p19_offsets_of_the_group_beat_the_starting_position(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 10)
    topic.commit(topic.name, {0: 7})
    run(topic)
    until(lambda: len(ear.handled()) == 3)
    assert [n for _, n in ear.records()] == [7, 8, 9]


def test_latest_skips_what_was_there_and_a_restart_does_not_move_it(run, ear, kafka):
    topic = Topic(kafka.bootstrap, partitions=2)
    topic.send(["a", "b", "c"], 10)
    bed = run(topic, start="LATEST")
    until(lambda: len(topic.committed(topic.name)) == 2, what="a fixed start")
    assert bed.stop() == 0
    topic.send(["a", "b", "c"], 2, start=10)
    bed.start()
    until(lambda: len(ear.handled()) == 6)
    assert sorted(ear.records()) == [(key, n) for key in "abc" for n in (10, 11)]


def test_at_timestamp_begins_with_the_first_record_of_that_second(run, ear, kafka):
    topic = Topic(kafka.bootstrap, **{"retention.ms": "-1"})
    at_s = 1_772_446_498
    for second in range(3):
        record = {"key": "k", "n": second}
        topic.produce([("k", record)], timestamp_ms=(at_s + second) * 1000)
    run(topic, start="AT_TIMESTAMP", StartingPositionTimestamp=at_s + 1)
    until(lambda: len(ear.handled()) == 2)
    assert [n for _, n in ear.records()] == [1, 2]


def test_d9_only_reported_records_are_tried_again_and_the_offset_waits_for_them(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 6)
    reported: list[int] = []

    def answer(facts):
        if facts["what"] == "record" and facts["n"] in {1, 4} and reported.count(facts["n"]) < 2:
            reported.append(facts["n"])
            return "report"
        return "ok"

    ear.answer = answer
    run(topic, FunctionResponseTypes=["ReportBatchItemFailures"], **PROVISIONED)
    until(lambda: topic.committed(topic.name).get(0, (0, ""))[0] == 6, what="a commit of all")
    assert [n for _, n in ear.records()] == [0, 1, 2, 3, 4, 5, 1, 4, 1, 4]


def test_poison_is_halved_out_and_given_up(run, ear, kafka):
    """D8, D10: its neighbours pass, its place is committed past."""
    topic = Topic(kafka.bootstrap)
    topic.produce(
        ("k", {"key": "k", "n": n, **({"poison": "error"} if n == 2 else {})}) for n in range(4)
    )
    bed = run(topic, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1, **PROVISIONED)
    until(lambda: topic.committed(topic.name).get(0) == (4, ""), what="a commit past the poison")
    assert {n for _, n in ear.handled()} == {0, 1, 3}
    discards = bed.lines("batch_discarded")
    assert [(row["first"], row["last"], row["invocations"]) for row in discards] == [(2, 2, 2)]


def test_lanes_inside_a_partition_keep_the_order_of_each_key(run, ear, kafka):
    """ParallelizationFactor, beyond AWS: one partition, eight lanes, one of them stuck (D3, D6)."""
    topic = Topic(kafka.bootstrap)
    keys = [f"k{number}" for number in range(16)]
    topic.send(keys, 25)
    is_stuck = [True]
    ear.answer = lambda facts: "fail" if is_stuck[0] and facts.get("key") == "k3" else "ok"
    bed = run(topic, ParallelizationFactor=8, BatchSize=5)
    until(lambda: len({key for key, n in ear.handled() if n == 24}) >= 8, what="other lanes")
    assert topic.committed(topic.name).get(0, (0, ""))[0] <= 3
    assert bed.stop() == 0
    offset, metadata = topic.committed(topic.name)[0]
    assert offset <= 3
    assert metadata.startswith("router1:")
    seen = len(ear.records())
    is_stuck[0] = False
    bed.start()
    until(lambda: topic.committed(topic.name)[0][0] == 400, what="a commit of all")
    for key in keys:
        firsts = list(dict.fromkeys(n for _, n in ear.records(key)))
        assert firsts == list(range(25))
    # Nothing of the finished lanes came again (D12).
    again = {key for key, _ in ear.records()[seen:]}
    assert len(again) < len(keys)


def test_partitions_that_come_later_are_read_from_their_beginning(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["a"], 5)
    bed = run(topic, start="LATEST")
    until(lambda: bed.lines("partitions_assigned"))
    topic.grow(3)
    keys = [f"k{number}" for number in range(9)]
    topic.send(keys, 4)
    until(lambda: len(ear.handled()) == 36, what="records of new partitions")
    for key in keys:
        assert [n for _, n in ear.records(key)] == [0, 1, 2, 3]


def test_records_that_are_trimmed_meanwhile_are_skipped(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 10)
    topic.commit(topic.name, {0: 3})
    topic.trim({0: 8})
    run(topic)
    until(lambda: len(ear.handled()) == 2)
    assert [n for _, n in ear.records()] == [8, 9]


def test_a_topic_made_anew_is_read_from_its_beginning(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 10)
    run(topic)
    until(lambda: topic.committed(topic.name).get(0, (0, ""))[0] == 10)
    topic.make_anew()
    topic.send(["k"], 2, start=100)
    until(lambda: len(ear.handled()) == 12, what="records of the new topic")
    assert [n for _, n in ear.records()[10:]] == [100, 101]


def test_d7_what_is_given_up_is_told_to_a_queue_with_its_offsets(bed, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.produce([("k", {"key": "k", "n": n, "poison": "error"}) for n in range(3)])
    bed.code(TELLING)
    feed = kafka_mapping(
        topic, **group_of(topic.name), **to_queue(), **PROVISIONED, MaximumRetryAttempts=1
    )
    bed.write(template(function(), queue(), feed))
    bed.start()
    until(lambda: topic.committed(topic.name).get(0) == (3, ""), what="a commit past them")
    (failed,) = bed.told("queues", "peek")
    (message,) = bed.told("queues", "peek", failed["Name"])
    told = json.loads(message["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 2
    info = told["KafkaBatchInfo"]
    assert info["bootstrapServers"] == kafka.bootstrap
    assert "eventSourceArn" not in info
    (place,) = info["recordsInfo"].values()
    assert (place["firstRecordOffset"], place["lastRecordOffset"]) == ("0", "2")
    assert bed.stop() == 0
    bed.start()
    assert len(ear.records()) == 2  # the first record of the batch, twice; nothing after a restart


def test_a_header_whose_name_is_no_utf_8_stops_nothing(run, ear, kafka):
    """D1: its batch's records come in order, and what is behind them."""
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 2)
    bodies = [json.dumps({"key": "k", "n": n}).encode() for n in (2, 3, 4)]
    names = ["fine", Raw(b"\xff\xfe"), "fine"]
    records = [(1, b"k", body, [(it, b"1")]) for it, body in zip(names, bodies, strict=True)]
    data = batch(records, first=0)
    topic.produce_batch(data, 3)
    topic.send(["k"], 2, start=5)
    run(topic)
    until(lambda: topic.committed(topic.name).get(0) == (7, ""), what="a commit of all")
    assert [n for _, n in ear.records()] == list(range(7))


def test_transactions_aborted_records_never_come_and_no_lag_is_left(run, ear, kafka):
    """The end of a transaction takes an offset: the commit passes it without waiting for more."""
    topic = Topic(kafka.bootstrap)
    one, two, three = ([{"key": "k", "n": n} for n in range(at, at + 3)] for at in (0, 3, 6))
    topic.transact(one, [*two, None], three)
    run(topic)
    until(lambda: len(ear.handled()) == 6)
    until(lambda: topic.committed(topic.name).get(0) == (12, ""), what="a commit past the end")
    assert [n for _, n in ear.records()] == [0, 1, 2, 6, 7, 8]


def test_d1_a_topic_made_anew_while_a_batch_of_it_runs(run, ear, kafka):
    """What ends then is of records that are gone: it moves nothing in the new topic."""
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 20)
    is_held = threading.Event()

    def answer(facts):
        if facts["what"] == "record" and facts["n"] == 10:
            is_held.wait(WAIT_S)
        return "ok"

    ear.answer = answer
    bed = run(topic, BatchSize=10)
    until(lambda: ("k", 10) in ear.records(), what="a batch that runs")
    topic.make_anew()
    topic.send(["k"], 5, start=100)
    # A router that looks while there is none of that name is assigned the new one afresh.
    until(
        lambda: bed.lines("topic_made_anew") or bed.lines("partitions_assigned")[1:],
        what="the new topic to be seen",
    )
    is_held.set()
    until(lambda: topic.committed(topic.name).get(0) == (5, ""), what="a commit of the new one")
    assert bed.lines("topic_made_anew")[1:] == []
    assert [n for _, n in ear.records() if n >= 100] == [100, 101, 102, 103, 104]


def test_d1_offsets_that_were_set_back_are_read_again(run, ear, kafka):
    """Also after records were given up, which the router's own store knew of."""
    topic = Topic(kafka.bootstrap)
    topic.produce([("k", {"key": "k", "n": n, "poison": "error"}) for n in range(4)])
    bed = run(topic, MaximumRetryAttempts=0, BatchSize=2, **PROVISIONED)
    until(lambda: topic.committed(topic.name).get(0) == (4, ""), what="a commit past them")
    assert bed.stop() == 0
    topic.commit(topic.name, {0: 1})
    seen = len(ear.records())
    bed.start()
    until(lambda: topic.committed(topic.name).get(0) == (4, ""), what="a commit of all again")
    assert [n for _, n in ear.records()[seen:]] == [1, 3]


def test_a_topic_that_is_deleted_is_told(run, ear, kafka):
    topic = Topic(kafka.bootstrap)
    topic.send(["k"], 1)
    bed = run(topic)
    until(lambda: len(ear.handled()) == 1)
    topic.delete()
    (name,) = (row["Name"] for row in bed.told("mappings", "list"))
    until(
        lambda: "has no topic" in bed.told("mappings", "describe", name)["LastProcessingResult"],
        what="a status that says so",
    )
