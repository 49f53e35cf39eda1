"""Filters of a mapping in a running router (`event-source-mappings.md` 10)."""

import json
import signal
import time

from tests.integration.bed import TELLING, function, mapping, template, until, webhook

ESM = "/2015-03-31/event-source-mappings/"


def criteria(*patterns):
    return {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]}


def running(bed, *patterns, **settings):
    wanted = {"FilterCriteria": criteria(*patterns)} if patterns else {}
    bed.write(template(webhook(), function(), mapping(**wanted, **settings)))
    bed.code(TELLING)
    bed.start()
    bed.uuid = bed.told("mappings", "list")[0]["UUID"]


def lag(bed):
    return bed.told("mappings", "list")[0]["Lag"]


def test_p26_records_left_out_take_no_place_in_a_batch(bed):
    """100 records, every tenth matching, BatchSize 10, a long window: one invocation of 10."""
    tens = {"body": {"n": list(range(0, 100, 10))}}
    running(bed, tens, BatchSize=10, MaximumBatchingWindowInSeconds=30)
    bed.send("a", 100)
    until(lambda: len(bed.ear.handled()) == 10)
    assert bed.ear.records() == [("a", number) for number in range(0, 100, 10)]
    assert bed.ear.sizes() == [10]
    # Those behind the last that matches are read yet.
    until(lambda: bed.metric("router_mapping_records_polled_total", mapping="Feed") == 100)
    until(lambda: bed.metric("router_mapping_records_filtered_total", mapping="Feed") == 90)
    assert bed.metric("router_mapping_records_invoked_total", mapping="Feed") == 10


def test_p20_what_is_left_out_is_finished_through_kill_and_restart(bed):
    """The checkpoint passes it without an invocation; later filters do not bring it back."""
    running(bed, {"body": {"n": [{"numeric": [">=", 50]}]}})
    bed.send("a", 20)
    until(lambda: lag(bed) == 0, what="everything read")
    assert bed.ear.heard == []
    bed.signal(signal.SIGKILL)
    bed.wait()
    bed.start()
    reply = bed.rest("PUT", ESM + bed.uuid, {"FilterCriteria": {}})
    assert reply.status == 202, reply.body
    until(lambda: bed.rest("GET", ESM + bed.uuid).json["State"] == "Enabled")
    bed.send("a", 3, start=20)
    until(lambda: len(bed.ear.handled()) == 3)
    time.sleep(0.3)
    assert bed.ear.records() == [("a", n) for n in (20, 21, 22)]


def test_filters_changed_while_it_runs_hold_for_what_comes_after(bed):
    running(
        bed,
        {"body": {"key": ["a"]}},
        {"body": {"key": [{"prefix": "b"}]}, "isBase64Encoded": [False]},
    )
    for key in ("a", "b1", "c"):
        assert bed.post(key, 1).status == 202
    until(lambda: len(bed.ear.handled()) == 2)
    described = bed.told("mappings", "describe", "Feed")
    assert len(described["FilterCriteria"]["Filters"]) == 2
    words = bed.cli("mappings", "describe", "Feed").stdout
    assert '{"body": {"key": ["a"]}}' in words, "patterns as they were given"
    assert '"isBase64Encoded": [false]' in words
    only_c = criteria({"body": {"key": ["c"]}})
    answer = bed.rest("PUT", ESM + bed.uuid, {"FilterCriteria": only_c})
    assert answer.json["FilterCriteria"] == only_c
    until(lambda: bed.rest("GET", ESM + bed.uuid).json["State"] == "Enabled")
    for key in ("a", "b1", "c"):
        assert bed.post(key, 2).status == 202
    until(lambda: ("c", 2) in bed.ear.handled())
    assert sorted(bed.ear.records()) == [("a", 1), ("b1", 1), ("c", 2)]
    assert bed.metric("router_mapping_records_unjudged_total", mapping="Feed") == 0


def test_plan_says_what_changes_in_a_filter_and_apply_does_it(bed):
    running(bed, {"body": {"key": ["a"]}})
    wanted = {"FilterCriteria": criteria({"body": {"key": ["b"]}})}
    bed.write(template(webhook(), function(), mapping(**wanted)))
    plan = bed.plan()
    assert "FilterCriteria.Filters.1" in plan.stdout, plan.stdout + plan.stderr
    assert bed.apply().returncode == 0
    until(lambda: bed.rest("GET", ESM + bed.uuid).json["State"] == "Enabled")
    for key in ("a", "b"):
        assert bed.post(key, 1).status == 202
    until(lambda: bed.ear.handled() == [("b", 1)])
    assert bed.stop() == 0
