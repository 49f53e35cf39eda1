"""`router trace` on a real router: what was recorded is decided again, and holds nothing secret."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.bed import (
    SECRET,
    assert_in_order,
    function,
    mapping,
    template,
    until,
    webhook,
)
from tests.integration.kafka_bed import TELLING as KAFKA_TELLING
from tests.integration.kafka_bed import Topic, kafka_mapping
from tests.integration.queue_bed import SEEING
from tests.integration.test_queues import Queue, events, jobs, reads


def test_a_running_mapping_is_recorded_and_replays(bed):
    settings = {"BatchSize": 5, "ParallelizationFactor": 2}
    bed.write(template(webhook(shards=2), function(), mapping(**settings)))
    bed.code()
    bed.start()
    name = bed.told("mappings", "list")[0]["Name"]
    with bed.traffic(keys=6, pause_s=0.02) as traffic:
        until(lambda: len(bed.ear.handled()) > 20)
        found = bed.cli("trace", "--mapping", name, "--seconds", "2")
    assert found.returncode == 0, found.stderr
    assert '"is":"Invoke"' in found.stdout
    for secret in ("/in", "arn:aws", SECRET, '"k1"', "partitionKey", "body"):
        assert secret not in found.stdout

    assert_replays(bed, found)
    until(lambda: set(traffic.accepted) <= set(bed.ear.handled()))
    assert len(bed.ear.handled()) == len(set(bed.ear.handled()))
    assert_in_order(bed.ear.handled())


def assert_replays(bed, found):
    assert found.returncode == 0, found.stderr
    path = bed.folder / "trace.jsonl"
    path.write_text(found.stdout)
    again = bed.cli("trace", "--replay", str(path), has_data=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the same decisions" in again.stdout


@pytest.mark.parametrize("is_fifo", [False, True])
def test_a_queues_mapping_is_recorded_and_replays(bed, is_fifo):
    fifo = {"FifoQueue": True, "ContentBasedDeduplication": True} if is_fifo else {}
    bed.write(template(function(timeout=20), jobs(**fifo), reads(BatchSize=4)))
    bed.code(SEEING)
    bed.ear.answer = lambda _facts: "{}"
    bed.start()
    queue = Queue(bed, "")
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(bed.cli, "trace", "--mapping", "Feed", "--seconds", "3")
        group = {"MessageGroupId": "confidential-group"} if is_fifo else {}
        number = 0
        while not tracing.done():
            queue.send([{"confidential": number + more} for more in range(3)], **group)
            number += 3
        found = tracing.result()
    assert_replays(bed, found)
    steps = [json.loads(line) for line in found.stdout.splitlines()]
    for said in ("Invoke", "Delete"):
        assert any(it["is"] == said for step in steps[1:] for it in step["commands"]), said
    for secret in ("confidential", "arn:aws", "body", "Jobs"):
        assert secret not in found.stdout
    until(queue.is_empty, what="an empty queue")
    assert sum(map(len, events(bed))) == number


def test_a_kafka_mapping_is_recorded_and_replays(bed, ear, kafka):
    """With more lanes than AWS has; commits, and the rebalance that a new engine makes."""
    topic = Topic(kafka.bootstrap, partitions=2)
    bed.code(KAFKA_TELLING)
    bed.write(template(function(), kafka_mapping(topic, ParallelizationFactor=40, BatchSize=5)))
    bed.start()
    name = bed.told("mappings", "list")[0]["Name"]
    keys = [f"confidential-{number}" for number in range(30)]
    rounds = 0
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(bed.cli, "trace", "--mapping", name, "--seconds", "4")
        while not tracing.done():
            topic.send(keys, 1, start=rounds)
            rounds += 1
        found = tracing.result()
    assert_replays(bed, found)
    assert '"is":"Invoke"' in found.stdout
    for secret in ("confidential", "arn:aws", kafka.bootstrap, "body"):
        assert secret not in found.stdout
    until(lambda: len(set(ear.records())) == 30 * rounds)


def test_a_mapping_that_does_not_run_cannot_be_recorded(bed):
    bed.write(template(webhook(), function(), mapping(Enabled=False)))
    bed.code()
    bed.start()
    name = bed.told("mappings", "list")[0]["Name"]
    refused = bed.cli("trace", "--mapping", name, "--seconds", "1")
    assert refused.returncode == 1
    assert "only a mapping that is enabled can be traced" in refused.stderr
    neither = bed.cli("trace")
    assert neither.returncode == 2
    assert "--mapping" in neither.stderr
