"""`router run --watch`: what is saved runs at once, and no record is lost by it."""

import contextlib
import json
import shutil
import threading
import time

import pytest

from tests.integration.bed import (
    TELLING,
    assert_in_order,
    function,
    mapping,
    queue,
    template,
    to_queue,
    until,
    webhook,
)

APPLY_S = 0.3
"""From a save to the new code or template."""

SLACK_S = 59.0
"""What a loaded machine may add to it."""


def watching(bed, *parts: str):
    bed.write(template(*(parts or (webhook(), function(is_sam=True), mapping(BatchSize=5)))))
    bed.code()
    bed.start("--watch")
    return bed


@contextlib.contextmanager
def applying(bed):
    """What is saved in the block has been applied at its end."""
    before = len(bed.lines("template_applied"))
    yield
    until(lambda: len(bed.lines("template_applied")) > before, APPLY_S + SLACK_S, "what was saved")


def versions(bed) -> set[int]:
    return {facts["version"] for facts in bed.ear.heard if facts["what"] == "record"}


def test_saved_code_runs_at_once_and_no_record_is_lost(bed):
    watching(bed)
    with bed.traffic(keys=3) as traffic:
        until(lambda: len(bed.ear.handled()) > 30)
        for version in (2, 3, 4):
            bed.code(TELLING.replace("VERSION = 1", f"VERSION = {version}"))
            saved = time.monotonic()
            until(lambda version=version: version in versions(bed), APPLY_S + SLACK_S, "new code")
            first = min(f["at"] for f in bed.ear.heard if f.get("version") == version)
            assert first - saved < APPLY_S + SLACK_S
            time.sleep(0.2)
    until(lambda: set(traffic.accepted) == set(bed.ear.handled()), what="every record handled")
    seen = bed.ear.records()
    assert len(seen) == len(set(seen)), "a reload repeated a record"
    assert_in_order(seen)
    assert bed.stop() == 0


def test_an_invocation_under_way_ends_on_the_code_it_began_with(bed):
    watching(bed)
    gate = threading.Event()
    bed.ear.answer = lambda _facts: "ok" if gate.wait(SLACK_S) else "fail"
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.heard, what="the handler at work")
    with applying(bed):
        bed.code(TELLING.replace("VERSION = 1", "VERSION = 2"))
    gate.set()
    until(lambda: ("a", 0) in bed.ear.handled())
    assert bed.post("a", 1).status == 202
    until(lambda: ("a", 1) in bed.ear.handled())
    told = {facts["n"]: facts["version"] for facts in bed.ear.heard if facts["what"] == "record"}
    ended = [facts["version"] for facts in bed.ear.heard if facts["what"] == "end"]
    assert (told, ended) == ({0: 1, 1: 2}, [1, 2])


def test_an_idle_router_applies_nothing_by_itself(bed):
    """Not even when code, data folder and template share a folder, as in a first try."""
    bed.write(template(webhook(), function(code="."), mapping()))
    bed.code(folder=".")
    bed.log = bed.folder.parent / f"{bed.folder.name}.log"
    bed.start("--watch")
    for n in range(3):
        assert bed.post("a", n).status == 202
        until(lambda n=n: ("a", n) in bed.ear.handled())
        time.sleep(0.5)
    assert len(bed.lines("template_applied")) == 1, bed.lines("template_applied")
    assert {facts["pid"] for facts in bed.ear.heard if facts["what"] == "end"}.__len__() == 1


def test_a_broken_template_changes_nothing_until_it_is_whole_again(bed):
    watching(bed)
    good = bed.template.read_text()
    bed.write(good.replace("BatchSize: 5", "BatchSize: many"))
    problem = until(lambda: bed.lines("template_not_applied"), what="a log line")[0]
    assert "BatchSize" in problem["error"]
    assert problem["level"] == "error"
    assert bed.post("a", 0).status == 202
    until(lambda: ("a", 0) in bed.ear.handled())
    bed.write("{not yaml: [")
    until(lambda: len(bed.lines("template_not_applied")) > 1, what="a second log line")
    assert bed.post("a", 1).status == 202
    until(lambda: ("a", 1) in bed.ear.handled())
    bed.write(good.replace("BatchSize: 5", "BatchSize: 7"))
    until(lambda: bed.told("mappings", "describe", "Feed")["BatchSize"] == 7, APPLY_S + SLACK_S)


def test_a_function_and_a_mapping_added_to_the_template_run(bed):
    watching(bed)
    bed.code(TELLING.replace("VERSION = 1", "VERSION = 'second'"), folder="second")
    bed.write(
        template(
            webhook(),
            function(),
            mapping(BatchSize=5),
            webhook("Other", "/other"),
            function("Second", code="second"),
            mapping("Also", "Other", "Second"),
        )
    )
    until(lambda: bed.post("b", 0, "/other").status == 202, APPLY_S + SLACK_S, "the new webhook")
    until(lambda: ("b", 0) in bed.ear.handled())
    assert "second" in versions(bed)
    # The new folder is watched too.
    with applying(bed):
        bed.code(TELLING.replace("VERSION = 1", "VERSION = 'third'"), folder="second")
    assert bed.post("b", 1, "/other").status == 202
    until(lambda: ("b", 1) in bed.ear.handled())
    assert "third" in versions(bed)


def test_a_syntax_error_is_the_functions_own_and_saved_right_it_goes_on(bed):
    watching(bed)
    assert bed.post("a", 0).status == 202
    until(lambda: ("a", 0) in bed.ear.handled())
    name = bed.told("mappings", "list")[0]["FunctionName"]
    bed.code("def handler(event, context) nonsense")

    def breaks() -> bool:
        done = bed.cli("invoke", name, "--json")
        return "UserCodeSyntaxError" in json.loads(done.stdout)["Payload"]

    until(breaks, what="the new code's error")
    assert bed.post("a", 1).status == 202
    until(lambda: "PROBLEM" in bed.told("mappings", "list")[0]["LastProcessingResult"])
    bed.code()
    until(lambda: ("a", 1) in bed.ear.handled(), what="the record handled by the mended code")
    assert bed.ear.records() == [("a", 0), ("a", 1)]
    assert bed.stop() == 0


@pytest.mark.parametrize("what", ["folder", "template"])
def test_what_vanishes_for_a_moment_is_found_again(bed, what):
    """As some editors and `git checkout` do."""
    watching(bed)
    saved = bed.template.read_text()
    if what == "folder":
        shutil.rmtree(bed.folder / "code")
    else:
        bed.template.unlink()
    time.sleep(0.8)
    bed.code(TELLING.replace("VERSION = 1", "VERSION = 2"))
    bed.write(saved.replace("BatchSize: 5", "BatchSize: 6"))
    until(lambda: bed.told("mappings", "describe", "Feed")["BatchSize"] == 6, what="the template")
    assert bed.post("a", 0).status == 202
    until(lambda: ("a", 0) in bed.ear.handled())
    assert versions(bed) == {2}
    with applying(bed):
        bed.code(TELLING.replace("VERSION = 1", "VERSION = 3"))
    assert bed.post("a", 1).status == 202
    until(lambda: ("a", 1) in bed.ear.handled())
    assert versions(bed) == {2, 3}


def test_a_save_that_would_lose_records_is_refused(bed):
    watching(bed, webhook(), queue(), function(), mapping(BatchSize=5, **to_queue()))
    bed.ear.answer = lambda facts: time.sleep(30) or "ok"
    assert bed.post("a", 0).status == 202
    bed.write(template(queue(), function()))
    problem = until(lambda: bed.lines("template_not_applied"), what="a refusal")[0]
    assert "Hook" in problem["error"]
    assert "record" in problem["error"]
    assert bed.post("a", 1).status == 202
