"""Shards and ParallelizationFactor change while records flow; the router is killed (P28)."""

import signal
from collections import Counter

import pytest

from tests.integration.bed import (
    assert_in_order,
    first_sights,
    function,
    mapping,
    template,
    until,
    webhook,
)

KEYS = 40
BATCH = 5
FACTOR = 3


def text(shards: int, factor: int = FACTOR) -> str:
    feed = mapping(BatchSize=BATCH, ParallelizationFactor=factor)
    return template(webhook(shards=shards), function(), feed)


def applied(bed, shards: int, factor: int = FACTOR) -> str:
    bed.write(text(shards, factor))
    done = bed.apply()
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def is_handled(bed, accepted) -> bool:
    return set(accepted) <= set(bed.ear.handled())


def has_moved(bed, traffic, count: int) -> None:
    """Wait for so many more records to be handled."""
    goal = len(bed.ear.handled()) + count
    until(lambda: len(bed.ear.handled()) >= goal, what="more handled records")
    assert traffic.accepted


@pytest.mark.timeout(300)
def test_d1_d5_shards_change_under_load_without_a_loss_a_repeat_or_a_swap(bed):
    bed.code()
    bed.write(text(4))
    bed.start()
    with bed.traffic(KEYS, pause_s=0.02) as traffic:
        has_moved(bed, traffic, 200)
        bed.write(text(7))
        planned = bed.plan()
        assert "Shards 4 → 7: closes 4, opens 7" in planned.stdout
        assert "Shards 4 → 7: closes 4, opens 7" in applied(bed, 7)
        has_moved(bed, traffic, 200)
        applied(bed, 2, factor=1)
        has_moved(bed, traffic, 200)
        applied(bed, 3, factor=4)
        has_moved(bed, traffic, 200)
    until(lambda: is_handled(bed, traffic.accepted))
    assert Counter(bed.ear.records()) == Counter(traffic.accepted)
    assert_in_order(bed.ear.records())
    assert bed.plan().returncode == 0, "nothing is left to change"
    shards = {row["shard"] for row in bed.lines("batch_handled")}
    assert len(shards) > 10
    assert bed.lines("mapping_broken") == []
    # Nobody was told to come again for it.
    assert bed.metric("router_webhook_requests_total", result="changed") == 0

    def is_level() -> bool:
        return bed.metric("router_mapping_lag_records") == 0

    until(is_level)
    described = bed.told("mappings", "describe", "Feed")
    assert described["Lag"] == 0
    assert {row["Lag"] for row in described["Shards"]} == {0}
    states = Counter(row["State"] for row in described["Shards"])
    assert states == {"closed": 4 + 7 + 2, "open": 3}


def test_describe_says_what_a_shard_waits_for(bed):
    bed.code()
    bed.write(text(1, factor=1))
    bed.start()
    is_held = True
    bed.ear.answer = lambda _facts: "fail" if is_held else "ok"
    assert bed.post("a", 0).status == 202
    until(bed.ear.records)
    applied(bed, 2, factor=1)
    assert bed.post("a", 1).status == 202
    shown = bed.cli("mappings", "describe", "Feed").stdout
    assert "waits for" in shown
    rows = bed.told("mappings", "describe", "Feed")["Shards"]
    parent = rows[0]["ShardId"]
    assert [(row["State"], row["Lag"], row["WaitsFor"]) for row in rows[:1]] == [("closed", 1, [])]
    assert [row["WaitsFor"] for row in rows[1:]] == [[parent], [parent]]
    assert sum(row["Lag"] for row in rows[1:]) == 1
    assert len(bed.ear.handled()) == 0
    is_held = False
    until(lambda: bed.ear.handled() == [("a", 0), ("a", 1)])
    until(
        lambda: (
            not any(row["WaitsFor"] for row in bed.told("mappings", "describe", "Feed")["Shards"])
        )
    )


@pytest.mark.timeout(300)
def test_d1_d5_killed_in_the_middle_of_two_changes(bed):
    """Every accepted record is handled, in its key's order; only what ran may run again."""
    bed.code()
    bed.write(text(4))
    bed.start()
    with bed.traffic(KEYS, pause_s=0.02) as traffic:
        has_moved(bed, traffic, 200)
        applied(bed, 7)
        killed(bed)
        bed.start()
        has_moved(bed, traffic, 100)
        bed.write(text(2))  # made so by the start that follows
        killed(bed)
        bed.start()
        has_moved(bed, traffic, 100)
    until(lambda: is_handled(bed, traffic.accepted))
    seen = bed.ear.records()
    assert_in_order(seen)
    for key, numbers in first_sights(seen).items():
        assert numbers == list(range(len(numbers))), f"{key}: {numbers}"
    repeated = len(seen) - len(set(seen))
    assert repeated <= 2 * 7 * FACTOR * BATCH, "more than was in flight"
    # One more than was answered may be stored per key and kill: its sender comes again with it.
    assert len(set(seen)) <= len(traffic.accepted) + KEYS


def killed(bed) -> None:
    bed.signal(signal.SIGKILL)
    bed.wait()


def test_shards_of_a_stopped_folder_are_changed_too(bed):
    """What waits in the old shards is read first by a mapping that is made with the change."""
    bed.code()
    bed.write(template(webhook(shards=2), function()))
    bed.start()
    bed.send("a", 3)
    assert bed.stop() == 0
    assert "Shards 2 → 5: closes 2, opens 5" in applied(bed, 5)
    bed.start(with_template=False)
    bed.send("a", 3, start=3)
    until(lambda: len(bed.ear.handled()) == 6)
    assert bed.ear.handled() == [("a", n) for n in range(6)]
