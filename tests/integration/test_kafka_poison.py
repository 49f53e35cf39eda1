"""Records that fail, and what they may cost: a lane, for as long as the retry rules say (D8, D10).

Also the worst of them, which takes the router with it.
"""

import signal
import time
from collections import defaultdict

import pytest

from tests.integration.bed import until
from tests.integration.kafka_bed import TELLING, Topic, prepare
from tests.sizes import size, sized

PROVISIONED = {"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 1}}
WAITS_MS = (500, 1_000, 2_000, 4_000)
"""What a failed batch waits before its next attempt, at least; a quarter more at most."""

SLACK_S = 30.0
"""On a machine that does much else; who is not given up at all is waited for in vain."""


def at(ear, key, n):
    """When a record was first seen."""
    return next(
        facts["at"] for facts in list(ear.heard) if facts.get("key") == key and facts["n"] == n
    )


@pytest.mark.parametrize("factor", [1, 4])
def test_poison_stops_its_lane_for_as_long_as_its_retries_take(bed, ear, kafka, factor):
    """Two retries after 0.5 and 1 s: what is behind it waits so long, other lanes do not."""
    topic = Topic(kafka.bootstrap, partitions=2 if factor == 1 else 1)
    lanes = {"ParallelizationFactor": factor} if factor > 1 else {}
    prepare(bed, topic, BatchSize=1, MaximumRetryAttempts=2, **PROVISIONED, **lanes)
    bed.environment["ROUTER_BACKOFF_MS_MAX"] = "60000"
    bed.start()
    keys = [f"k{number}" for number in range(12)]
    topic.send(keys, 1)
    until(lambda: len(ear.handled()) == 12)
    topic.produce([("k3", {"key": "k3", "n": 1, "poison": "error"})])
    topic.send(keys, 6, start=2)
    until(lambda: len(ear.handled()) == 12 * 7, what="everything but the poison")
    assert [n for _, n in ear.records("k3")] == [0, 1, 1, 1, 2, 3, 4, 5, 6, 7]
    stopped_s = at(ear, "k3", 2) - at(ear, "k3", 1)
    due_s = sum(WAITS_MS[:2]) / 1000
    others = {key: at(ear, key, 2) - at(ear, "k3", 1) for key in keys}
    free = sorted(key for key, waited_s in others.items() if waited_s < due_s)
    print(f"the lane stood {stopped_s:.2f} s; {len(free)} of 12 keys did not wait")
    assert due_s <= stopped_s <= 1.25 * due_s + SLACK_S
    # Half of the partitions, or three of four lanes: keys spread unevenly over so few.
    assert free


@sized(300, 300)
def test_poison_stops_its_lane_for_as_long_as_its_age_allows(bed, ear, kafka):
    """Records may be tried for a minute; those behind it are as old and have had no chance."""
    topic = Topic(kafka.bootstrap, **{"retention.ms": "-1"})
    prepare(bed, topic, BatchSize=1, MaximumRecordAgeInSeconds=60, **PROVISIONED)
    bed.start()
    topic.send(["warm"], 1)
    until(ear.handled, what="a mapping at work")
    left_s = size(6, 55)
    made_ms = int(time.time() * 1000) - (60 - left_s) * 1000
    topic.produce([("k", {"key": "k", "n": 0, "poison": "error"})], timestamp_ms=made_ms)
    topic.send(["k"], 3, start=1)
    until(lambda: len(ear.handled()) == 4, wait_s=120, what="what is behind the poison")
    ended_s = at(ear, "k", 1) - at(ear, "k", 0)
    tries = ear.records("k").count(("k", 0))
    print(f"given up after {ended_s:.1f} s and {tries} tries, {left_s} s were left")
    (row,) = bed.lines("batch_discarded")
    assert row["condition"] == "RecordAgeExceeded"
    assert ended_s <= left_s + SLACK_S
    assert tries > 1


KILLING = TELLING.replace(
    '            if order == "fail"',
    '            if order.startswith("kill "):\n'
    '                os.kill(int(order.split()[1]), 9)\n'
    '                os.kill(os.getpid(), 9)\n'
    '            if order == "fail"',
)  # fmt: skip


def test_d10_a_record_that_kills_the_router_does_not_win_attempts_by_it(bed, ear, kafka):
    """At rung 0 a function may: every other attempt takes the router with it.

    The attempts that failed are in the group's commits; those the router died of are not counted.
    """
    topic = Topic(kafka.bootstrap, partitions=2)
    prepare(bed, topic, code=KILLING, BatchSize=1, MaximumRetryAttempts=2, **PROVISIONED)
    bed.environment["ROUTER_ISOLATION_RUNG"] = "0"
    tries = defaultdict(int)

    def answer(facts):
        if (facts.get("key"), facts.get("n")) != ("k1", 2):
            return "ok"
        tries["k1"] += 1
        return "fail" if tries["k1"] % 2 else f"kill {bed.process.pid}"

    ear.answer = answer
    keys = [f"k{number}" for number in range(6)]
    topic.send(keys, 5)
    bed.start()
    for _ in range(2):
        assert bed.wait() == -signal.SIGKILL
        bed.start()
    until(lambda: len(set(ear.handled())) == 29, what="everything but the poison")
    # Failed, killed, failed, killed, failed: three attempts that count, and then it is given up.
    assert tries["k1"] == 5
    (row,) = bed.lines("batch_discarded")
    assert (row["invocations"], row["first"]) == (3, row["last"])
    for key in keys:
        firsts = list(dict.fromkeys(n for _, n in ear.records(key)))
        assert firsts == [0, 1, 2, 3, 4]
