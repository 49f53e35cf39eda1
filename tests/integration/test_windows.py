"""Tumbling windows as a user has them: sums per window that add up, whatever happens (P30)."""

import itertools
import signal
import time
from datetime import datetime

from tests.integration.bed import function, holds, template, until, webhook
from tests.integration.window_bed import closed, feed, heard, numbers, running, wait_for_all

ESM = "/2015-03-31/event-source-mappings/"


def test_sums_add_up_through_kill_9(bed):
    running(bed, BatchSize=7, ParallelizationFactor=3)
    with bed.traffic(keys=6, pause_s=0.005) as traffic:
        time.sleep(2)
        bed.signal(signal.SIGKILL)
        bed.wait()
        bed.start()
        until(lambda: heard(bed, "final"))
        time.sleep(1.5)
        bed.signal(signal.SIGKILL)
        bed.wait()
        bed.start()
        time.sleep(1)
    wait_for_all(bed, traffic.accepted, unanswered=2 * 6)
    assert len(closed(bed)) >= 4
    repeated = len(heard(bed, "final")) - len(closed(bed))
    assert repeated <= 2 * 2, "again only where a kill hit it: once a shard and kill"
    for shard, windows in itertools.groupby(sorted(closed(bed)), key=lambda found: found[0]):
        starts = [datetime.fromisoformat(start) for _, start in windows]
        assert starts == sorted(set(starts)), shard
        assert all(start.second % 2 == 0 for start in starts)
    for facts in bed.ear.heard:
        start, end = (datetime.fromisoformat(facts[name]) for name in ("start", "end"))
        assert (end - start).total_seconds() == 2
        assert facts["source"].endswith("Hook")
    assert bed.stop() == 0


def test_sums_add_up_through_changes_of_shards_and_a_kill(bed):
    """A closing shard ends its window first, its children begin with fresh state (P28)."""
    running(bed, BatchSize=7)
    with bed.traffic(keys=6, pause_s=0.005) as traffic:
        for shards in (3, 1):
            time.sleep(1)
            bed.write(template(webhook(shards=shards), function(), feed()))
            assert bed.apply().returncode == 0
            bed.signal(signal.SIGKILL)
            bed.wait()
            bed.start()
        time.sleep(1)
    wait_for_all(bed, traffic.accepted, unanswered=2 * 6)
    finals = heard(bed, "final")
    assert len({facts["shard"] for facts in finals}) == 6
    repeated = len(finals) - len(closed(bed))
    assert repeated <= 3 + 3, "again only where a kill hit it: once a shard and kill"


def test_without_a_fault_each_window_ends_once_and_soon(bed):
    running(bed, shards=1)
    accepted = [("a", n) for n in range(20)]
    for key, n in accepted:
        assert bed.post(key, n).status == 202
        time.sleep(0.05)
    wait_for_all(bed, accepted)
    finals = heard(bed, "final")
    assert len(finals) == len(closed(bed))
    assert all(facts["size"] == 0 for facts in finals)
    # A quiet stream: not later than the grace and the shortest poll after the window's end.
    ends = {facts["start"]: facts["at"] for facts in finals}
    calls = heard(bed, "records")
    assert max(ends.values()) - calls[-1]["at"] < 10 * (2 + 1 + 1)

    def is_counted():
        for event in ("opened", "final"):
            assert windows(bed, event) == len(finals)
        assert len(bed.lines("window_called")) == len(finals)

    holds(is_counted)


def test_p30_a_reply_without_state_is_a_failure_that_says_so_and_final_calls_go_on(
    bed,
):
    running(bed, shards=1, MaximumRetryAttempts=1)
    orders = iter(["forget"])
    bed.ear.answer = lambda _facts: next(orders, "ok")
    assert bed.post("a", 0).status == 202
    until(lambda: len(heard(bed, "records")) == 2, what="a retry")
    (failure,) = bed.lines("batch_failed")
    assert '"state"' in failure["error"]
    bed.ear.answer = lambda facts: "forget" if facts["what"] == "final" else "ok"
    until(lambda: len(heard(bed, "final")) >= 4, what="more than the attempts of a batch")
    (row,) = bed.told("mappings", "list")
    assert '"state"' in row["LastProcessingResult"]
    assert row["LastProcessingResult"].startswith("PROBLEM: Function call failed")
    assert bed.post("a", 1).status == 202
    time.sleep(0.5)
    assert len(heard(bed, "records")) == 2, "the shard waits for the final call"
    bed.ear.answer = lambda _facts: "ok"
    wait_for_all(bed, [("a", 0), ("a", 1)])


def test_a_state_over_1_mib_ends_its_window_early(bed):
    running(bed, shards=1, TumblingWindowInSeconds=4)
    bed.ear.answer = lambda facts: "grow" if facts["what"] == "records" else "ok"
    assert bed.post("a", 0).status == 202
    until(lambda: heard(bed, "early"))
    bed.ear.answer = lambda _facts: "ok"
    assert bed.post("a", 1).status == 202
    until(
        lambda: any(numbers(facts) == [1] and facts["start"] for facts in heard(bed, "records")),
        what="a window that goes on with a fresh state",
    )
    until(lambda: heard(bed, "final"), what="the end of the window")
    (early,) = heard(bed, "early")
    assert numbers(early) == [0]
    assert len(early["state"]["filler"]) == 1_100_000
    until(lambda: windows(bed, "terminated_early") == 1)


def test_switched_off_the_window_ends_at_once_and_switched_on_again_none_is_opened_twice(bed):
    running(bed, shards=1, TumblingWindowInSeconds=900)
    assert bed.post("a", 0).status == 202
    until(lambda: heard(bed, "records"))
    change(bed, TumblingWindowInSeconds=0, ParallelizationFactor=4)
    until(lambda: heard(bed, "final"), what="a final call without waiting")
    change(bed, TumblingWindowInSeconds=900)
    assert bed.post("a", 1).status == 202
    until(lambda: len(heard(bed, "records")) == 2)
    change(bed, TumblingWindowInSeconds=0)
    until(lambda: len(heard(bed, "final")) == 2, what="a final call without waiting")
    first, second = heard(bed, "final")
    assert second["start"] == first["end"]
    assert (numbers(first), numbers(second)) == ([0], [1])


def test_disabled_in_the_middle_of_a_window_it_goes_on_when_enabled(bed):
    running(bed, shards=1, TumblingWindowInSeconds=3)
    assert bed.post("a", 0).status == 202
    until(lambda: heard(bed, "records"))
    change(bed, Enabled=False)
    until(lambda: state(bed) == "Disabled")
    assert bed.post("a", 1).status == 202
    time.sleep(0.3)
    assert len(heard(bed, "records")) == 1
    change(bed, Enabled=True)
    wait_for_all(bed, [("a", 0), ("a", 1)])


def test_deleted_in_the_middle_of_a_window_nothing_is_left_of_it(bed):
    running(bed, shards=1)
    assert bed.post("a", 0).status == 202
    until(lambda: heard(bed, "records"))
    assert bed.rest("DELETE", ESM + bed.uuid).json["State"] == "Deleting"
    until(lambda: bed.rest("GET", ESM + bed.uuid).status == 404)
    ended = heard(bed, "final")  # of a window that was over before it was deleted
    time.sleep(4)
    assert heard(bed, "final") == ended


def windows(bed, event: str) -> float:
    return bed.metric("router_mapping_windows_total", mapping="Feed", event=event)


def change(bed, **settings) -> None:
    assert bed.rest("PUT", ESM + bed.uuid, settings).status == 202
    until(lambda: state(bed) in {"Enabled", "Disabled"})


def state(bed) -> str:
    return bed.rest("GET", ESM + bed.uuid).json["State"]
