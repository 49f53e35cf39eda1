"""Bad input: what is refused says why and changes nothing (issue: "Bad input"; C3)."""

import json
import socket
import sqlite3

import pytest

from tests.integration.bed import (
    Bed,
    call,
    fingerprint,
    function,
    holds,
    mapping,
    queue,
    signed,
    template,
    to_queue,
    until,
    webhook,
)

WHOLE = template(webhook(), function(), mapping(**to_queue(), MaximumRetryAttempts=1), queue())


def whole(bed: Bed) -> Bed:
    bed.write(WHOLE)
    bed.code()
    return bed


# At the door


def test_what_the_door_refuses_is_counted_by_reason_and_not_stored(bed):
    whole(bed).start()
    ingress = bed.addresses["ingress"]
    body = b'{"key": "a", "n": 0}'
    assert call(ingress, "/in", body).status == 401
    assert call(ingress, "/in", body, signed(body, "another secret")).status == 401
    assert call(ingress, "/in", body + b" ", signed(body)).status == 401
    assert call(ingress, "/nowhere", body, signed(body)).status == 404
    assert call(ingress, "/in", method="GET").status == 405
    large = b'{"key": "' + b"a" * (7 << 20) + b'"}'
    assert call(ingress, "/in", large, signed(large)).status == 413

    def is_counted():
        refused = {
            labels["result"]: value
            for labels, value in bed.metrics()["router_webhook_requests_total"]
            if labels["webhook"].endswith("Hook")
        }
        assert refused.get("accepted", 0) == 0
        unsigned = sum(value for reason, value in refused.items() if "signature" in reason)
        assert unsigned == 3, refused

    holds(is_counted)
    assert bed.metric("router_mapping_lag_records") == 0
    assert bed.told("mappings", "list")[0]["LastProcessingResult"] == "No records processed"
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])


# Templates


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (("BatchSize: 5", "BatchSize: five"), ("Feed", "BatchSize")),
        (("BatchSize: 5", "BatchSise: 5"), ("Feed", "BatchSise")),
        (("!GetAtt Hook.Arn", "!GetAtt Hoook.Arn"), ("Feed", "EventSourceArn", "Hoook")),
        (("Type: AWS::SQS::Queue", "Type: AWS::S3::Bucket"), ("Failed", "AWS::S3::Bucket")),
        (("CodeUri: code", "CodeUri: nowhere"), ("Worker", "Code", "nowhere")),
    ],
)
def test_a_broken_template_names_resource_property_and_line_and_changes_nothing(bed, broken, named):
    bed.code()
    parts = (webhook(), function(is_sam=True), mapping(BatchSize=5, **to_queue()), queue())
    good = template(*parts)
    bed.write(good)
    bed.start()
    assert bed.stop() == 0
    before = catalog(bed)
    text = good.replace(*broken)
    assert text != good
    bed.write(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if broken[1] in row)

    done = bed.fail_to_start()

    assert done.returncode == 2
    for word in named:
        assert word in done.stderr, done.stderr
    assert str(line) in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert catalog(bed) == before


def catalog(bed: Bed) -> list[tuple]:
    database = sqlite3.connect(bed.data / "router.db")
    try:
        return sorted(database.execute("SELECT * FROM resources").fetchall())
    finally:
        database.close()


def test_a_broken_template_on_a_fresh_folder_leaves_it_as_it_was(bed):
    bed.code()
    bed.write(WHOLE.replace("MaximumRetryAttempts: 1", "MaximumRetryAttempts: -7"))
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert "MaximumRetryAttempts" in done.stderr
    assert not bed.data.exists() or fingerprint(bed.data).keys() <= {"identity.json"}


def test_a_template_that_is_not_there(bed):
    bed.write("x")
    bed.template.unlink()
    command = [*bed.command()[:2], str(bed.template), *bed.command()[2:]]
    import subprocess

    done = subprocess.run(
        command, capture_output=True, text=True, env=bed.environ(), timeout=60, check=False
    )
    assert done.returncode == 2
    assert "template.yaml" in done.stderr
    assert "Traceback" not in done.stderr


# Functions that cannot run


@pytest.mark.parametrize(
    ("code", "handler", "error"),
    [
        ("def handler(event, context) return 1\n", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("import not_there\n", "app.handler", "Runtime.ImportModuleError"),
        ("def other(event, context): pass\n", "app.handler", "Runtime.HandlerNotFound"),
        ("1 / 0\n", "app.handler", "ZeroDivisionError"),
        ("def handler(event, context): pass\n", "nowhere.handler", "Runtime.ImportModuleError"),
    ],
)
def test_a_function_that_does_not_load_is_its_own_problem(bed, code, handler, error):
    bed.write(
        template(
            webhook(),
            function(handler=handler),
            mapping(MaximumRetryAttempts=1, BatchSize=10, **to_queue()),
            queue(),
        )
    )
    bed.code(code)
    bed.start()
    name = bed.told("mappings", "list")[0]["FunctionName"]

    done = bed.cli("invoke", name, "--payload", "{}", "--json")
    assert done.returncode == 1
    reply = json.loads(done.stdout)
    assert reply["FunctionError"] == "Unhandled"
    payload = json.loads(reply["Payload"])
    assert payload["errorType"] == error
    assert payload.keys() == {"errorMessage", "errorType", "requestId", "stackTrace"}

    assert bed.post("a", 0).status == 202
    failed = until(lambda: failures(bed), what="the record in the failure queue")
    assert failed[0]["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert failed[0]["requestContext"]["approximateInvokeCount"] == 2
    assert failed[0]["responseContext"]["functionError"] == "Unhandled"

    row = bed.told("mappings", "list")[0]
    assert row["State"] == "Enabled"
    assert "PROBLEM" in row["LastProcessingResult"]
    assert error in bed.cli("logs", name).stdout
    doctor = bed.cli("doctor", "--json")
    assert doctor.returncode == 1
    found = [row for row in json.loads(doctor.stdout) if not row["ok"]]
    assert any(name in row["check"] and error in row["text"] for row in found), found
    assert call(bed.addresses["ops"], "/ready").status == 200


def failures(bed: Bed) -> list[dict]:
    queues = bed.json_call("Router.ListQueues").json["Queues"]
    rows = bed.json_call("Router.PeekQueue", QueueName=queues[0]["Name"], MaxMessages=1000).json
    return [json.loads(row["Body"]) for row in rows["Messages"]]


# The data folder


def test_a_folder_held_by_another_router_is_refused(bed):
    whole(bed).start()
    before = set(fingerprint(bed.data))
    addresses, bed.addresses = bed.addresses, {}
    done = bed.fail_to_start()
    bed.addresses = addresses
    assert done.returncode == 2
    assert str(addresses["pid"]) in done.stderr, done.stderr
    assert set(fingerprint(bed.data)) == before
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])
    assert bed.told("mappings", "list")


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00 no"])
def test_an_unreadable_store_is_refused_and_kept(bed, content):
    whole(bed)
    bed.data.mkdir()
    (bed.data / "identity.json").write_text('{"region": "us-east-1", "account": "000000000000"}')
    (bed.data / "router.db").write_bytes(content)
    before = fingerprint(bed.data)
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert "router.db" in done.stderr
    assert "Traceback" not in done.stderr
    after = fingerprint(bed.data)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() <= {"lock"}


def test_a_store_from_a_newer_router_is_refused_and_kept(bed):
    whole(bed).start()
    assert bed.stop() == 0
    database = sqlite3.connect(bed.data / "router.db")
    database.execute("INSERT INTO schema_version VALUES (999)")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    before = fingerprint(bed.data)
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert "newer" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    after = fingerprint(bed.data)
    for name in ("router.db-shm", "router.db-wal"):  # SQLite's, empty, of looking at it
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


def test_a_folder_of_another_region_is_refused(bed):
    whole(bed).start()
    assert bed.stop() == 0
    before = fingerprint(bed.data)
    bed.environment["ROUTER_REGION"] = "eu-central-1"
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert "us-east-1" in done.stderr
    assert "eu-central-1" in done.stderr
    for command in ("plan", "apply"):
        refused = bed.cli(command, str(bed.template), "--parameter", "Ear=127.0.0.1:1")
        assert refused.returncode == 1, command
        assert "eu-central-1" in refused.stderr
    assert fingerprint(bed.data) == before


# Settings


@pytest.mark.parametrize("listener", ["api", "ingress", "ops"])
def test_a_taken_port_names_the_listener(bed, listener):
    whole(bed)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = bed.fail_to_start(f"--{listener}", where)
    assert done.returncode == 2
    assert listener in done.stderr
    assert where in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("where", ["0.0.0.0:0", ":0", "[::]:0"])
def test_an_api_others_can_reach_needs_keys(bed, where):
    whole(bed)
    done = bed.fail_to_start("--api", where)
    assert done.returncode == 2
    assert "access keys" in done.stderr
    assert not bed.data.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUTER_INGRES", "127.0.0.1:0"),
        ("ROUTER_DRAIN_S", "soon"),
        ("ROUTER_ISOLATION_RUNG", "9"),
        ("ROUTER_ISOLATION_REQUIRE", "moat"),
        ("ROUTER_CHAOS", "point:often"),
    ],
)
def test_an_unknown_setting_or_value_is_refused(bed, name, value):
    whole(bed)
    bed.environment[name] = value
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert name in done.stderr or name.removeprefix("ROUTER_ISOLATION_").lower() in done.stderr
    assert "Traceback" not in done.stderr


def test_a_parameter_the_template_does_not_have(bed):
    whole(bed)
    done = bed.fail_to_start("--parameter", "Year=2024")
    assert done.returncode == 2
    assert "Year" in done.stderr
    done = bed.fail_to_start("--parameter", "Ear")
    assert done.returncode == 2
    assert "KEY=VALUE" in done.stderr


# Secrets


def late_webhook() -> str:
    text = webhook("Other", "/other").replace("secretsmanager:hook", "secretsmanager:late")
    return template(webhook(), text, function(), mapping())


def late_function() -> str:
    return template(webhook(), function(), mapping(MaximumRetryAttempts=0)).replace(
        "EAR: !Ref Ear", 'EAR: !Ref Ear, TOKEN: "{{resolve:secretsmanager:late}}"'
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (late_webhook(), "Other.Signature.Secret"),
        (late_function(), "Worker.Environment.Variables.TOKEN"),
    ],
)
def test_a_template_with_a_secret_that_is_nowhere_is_refused(bed, text, place):
    """With its line; nothing is started."""
    bed.write(text)
    bed.code()
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "secretsmanager:late" in row)
    done = bed.fail_to_start()
    assert done.returncode == 2
    assert f"template.yaml:{line}:" in done.stderr, done.stderr
    for word in (place, "'late' is nowhere", "ROUTER_SECRET_LATE"):
        assert word in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not bed.data.exists()


def test_a_webhook_whose_secret_is_nowhere_takes_nothing_until_it_is_there(bed, tmp_path):
    """It went after the webhook was made. Said at start and in doctor; other webhooks go on."""
    bed.write(late_webhook())
    bed.code()
    secret = tmp_path / "late"
    secret.write_text("integration-secret\n")
    bed.environment["ROUTER_SECRETS_DIR"] = str(tmp_path)
    bed.start()
    assert bed.stop() == 0
    secret.unlink()
    bed.start(with_template=False)
    assert "late" in bed.lines("webhook_refuses_all")[0]["error"]
    assert bed.post("a", 0, "/other").status >= 500
    body = b'{"key": "a"}'
    assert call(bed.addresses["ingress"], "/other", body, signed(body, "")).status >= 500
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])
    doctor = bed.cli("doctor", "--json")
    assert doctor.returncode == 1
    assert any("late" in check["text"] for check in json.loads(doctor.stdout)), doctor.stdout
    secret.write_text("integration-secret\n")
    until(lambda: bed.post("a", 1, "/other").status == 202, what="the secret's use")
    until(lambda: "late" not in bed.cli("doctor", "--json").stdout, what="doctor's silence")


def test_a_secret_that_is_none_of_its_scheme_is_told(bed):
    """There, but malformed: the text says so and does not show it."""
    text = webhook().replace("Scheme: github", "Scheme: svix")
    bed.write(template(text, function(), mapping()))
    bed.code()
    bed.environment["ROUTER_SECRET_HOOK"] = "whsec_?canary?"
    bed.start()
    (line,) = bed.lines("webhook_refuses_all")
    assert "base64" in line["error"]
    doctor = bed.cli("doctor", "--json")
    assert doctor.returncode == 1
    assert "base64" in doctor.stdout
    assert "canary" not in doctor.stdout + bed.log.read_text()


def test_a_function_whose_secret_is_nowhere_waits_for_it(bed, tmp_path):
    """It went after the function was made."""
    bed.write(late_function())
    bed.code()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("hook", "late"):
        (secrets / name).write_text("integration-secret\n")
    bed.environment["ROUTER_SECRETS_DIR"] = str(secrets)
    bed.start()
    assert bed.stop() == 0
    (secrets / "late").unlink()
    bed.start(with_template=False)
    assert bed.post("a", 0).status == 202
    row = until(
        lambda: (
            (row := bed.told("mappings", "list")[0])["LastProcessingResult"]
            != "No records processed"
            and row
        )
    )
    assert "PROBLEM" in row["LastProcessingResult"]
    assert row["State"] == "Enabled"
    assert any("late" in line["reason"] for line in bed.lines("batch_not_invoked"))
    doctor = bed.cli("doctor", "--json")
    assert doctor.returncode == 1
    assert any("late" in check["text"] for check in json.loads(doctor.stdout)), doctor.stdout
    (secrets / "late").write_text("found")
    until(lambda: bed.ear.handled() == [("a", 0)], what="the record, once the secret is there")
