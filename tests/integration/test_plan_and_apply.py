"""`router plan` and `router apply`, on a running router and on a stopped one's folder."""

import json

from tests.integration.bed import (
    fingerprint,
    function,
    mapping,
    queue,
    template,
    to_queue,
    until,
    webhook,
)

ONE = template(webhook(), function(is_sam=True), mapping(BatchSize=5))
TWO = template(
    webhook(),
    function(is_sam=True),
    mapping(BatchSize=9, **to_queue()),
    queue(),
    webhook("Other", "/other"),
    function("Second"),
    mapping("Also", "Other", "Second"),
)


def ready(bed, text: str = ONE):
    bed.write(text)
    bed.code()
    return bed


def changes(done) -> dict[str, str]:
    return {change["logical_id"]: change["action"] for change in json.loads(done.stdout)["changes"]}


def test_plan_on_nothing_shows_everything_and_makes_nothing(bed):
    ready(bed)
    done = bed.plan("--json")
    assert done.returncode == 2, done.stderr
    assert changes(done) == {"Hook": "create", "Worker": "create", "Feed": "create"}
    assert not bed.data.exists()


def test_apply_on_a_folder_then_run_without_a_template(bed):
    ready(bed)
    assert bed.apply().returncode == 0
    done = bed.plan("--json")
    assert done.returncode == 0, done.stdout
    assert set(changes(done).values()) <= {"keep"}
    bed.start(with_template=False)
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])


def test_plan_on_a_stopped_folder_leaves_what_is_stored_alone(bed):
    ready(bed).start()
    assert bed.stop() == 0
    bed.write(TWO)
    before = fingerprint(bed.data)
    done = bed.plan("--json")
    assert done.returncode == 2
    assert changes(done)["Second"] == "create"
    after = fingerprint(bed.data)
    assert after["router.db"] == before["router.db"]
    assert after["identity.json"] == before["identity.json"]
    assert "inline" not in {name.split("/")[0] for name in after.keys() - before.keys()}


def test_apply_on_a_running_router_adds_and_keeps_what_is_there(bed):
    ready(bed).start()
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])
    before = bed.told("mappings", "describe", "Feed")
    bed.write(TWO)

    done = bed.plan("--json")
    assert done.returncode == 2
    planned = changes(done)
    assert planned.pop("Hook", "keep") == "keep"
    assert planned["Feed"] == "update"
    assert planned["Also"] == planned["Other"] == planned["Second"] == "create"
    done = bed.apply()
    assert done.returncode == 0, done.stderr
    assert "Second" in done.stdout

    assert bed.post("b", 0, "/other").status == 202
    until(lambda: ("b", 0) in bed.ear.handled())
    after = bed.told("mappings", "describe", "Feed")
    assert after["UUID"] == before["UUID"]
    assert after["BatchSize"] == 9
    assert bed.post("a", 1).status == 202
    until(lambda: ("a", 1) in bed.ear.handled())
    assert bed.ear.records("a") == [("a", 0), ("a", 1)], "the mapping lost its place"
    assert bed.plan().returncode == 0
    assert len(bed.told("mappings", "list")) == 2


def test_a_webhook_that_holds_records_is_not_removed_unless_told(bed):
    ready(bed, template(webhook(), queue())).start()
    for n in range(3):
        assert bed.post("a", n).status == 202
    bed.write(template(queue()))
    done = bed.plan("--json")
    assert done.returncode == 1
    refused = [c for c in json.loads(done.stdout)["changes"] if c["refusal"]]
    assert [c["logical_id"] for c in refused] == ["Hook"]
    assert "3" in refused[0]["refusal"]
    done = bed.apply()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--allow-data-loss" in done.stderr + done.stdout
    assert bed.post("a", 3).status == 202
    assert bed.apply("--allow-data-loss").returncode == 0
    assert bed.post("a", 4).status == 404


def test_what_was_made_through_the_api_is_left_alone(bed):
    ready(bed).start()
    made = bed.json_call("AmazonSQS.CreateQueue", QueueName="by-hand")
    assert made.status == 200, made.body
    bed.write(TWO)
    assert bed.apply().returncode == 0
    names = [row["Name"] for row in bed.told("queues", "peek")]
    assert "by-hand" in names
    assert len(names) == 2


def test_a_broken_template_is_refused_by_both(bed):
    ready(bed).start()
    bed.write(ONE.replace("BatchSize: 5", "BatchSize: 0"))
    for done in (bed.plan(), bed.apply()):
        assert done.returncode == 1
        assert "BatchSize" in done.stderr
        assert "Traceback" not in done.stderr
    assert bed.told("mappings", "describe", "Feed")["BatchSize"] == 5


def test_a_parameter_reaches_the_resources(bed):
    text = ONE.replace(
        "Parameters:\n", "Parameters:\n  Size: {Type: Number, Default: 3, MaxValue: 50}\n"
    ).replace("BatchSize: 5", "BatchSize: !Ref Size")
    ready(bed, text).start("--parameter", "Size=7")
    assert bed.told("mappings", "describe", "Feed")["BatchSize"] == 7
    assert bed.apply("--parameter", "Size=8").returncode == 0
    assert bed.told("mappings", "describe", "Feed")["BatchSize"] == 8
    done = bed.apply("--parameter", "Size=51")
    assert done.returncode == 1
    assert "Size" in done.stderr


def test_a_stack_of_another_name_stands_beside(bed):
    ready(bed).start()
    bed.write(template(webhook("Beside", "/beside"), function(), mapping("B", "Beside")))
    done = bed.apply("--stack-name", "beside")
    assert done.returncode == 0, done.stderr
    assert {row["Name"] for row in bed.told("mappings", "list")} == {"Feed", "B"}
    done = bed.apply("--stack-name", "third")
    assert done.returncode == 1
    assert "/beside" in done.stderr + done.stdout, done.stderr + done.stdout
