"""The commands, as people and as programs use them."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.integration.bed import (
    ROUTER,
    WAIT_S,
    function,
    mapping,
    queue,
    template,
    to_queue,
    until,
    webhook,
)

CODE = """
import json

def handler(event, context):
    print("handling", json.dumps(event))
    if event.get("fails"):
        raise ValueError("as told")
    return {"given": event, "left_ms": context.get_remaining_time_in_millis() > 0}
"""


@pytest.fixture
def shop(bed):
    """A router with a function that answers and a mapping that gives up at once."""
    bed.write(
        template(
            webhook(),
            function(handler="plain.handler"),
            function("Teller"),
            mapping(function="Teller", MaximumRetryAttempts=0, BatchSize=1, **to_queue()),
            queue(),
        )
    )
    bed.code(CODE, name="plain.py")
    bed.code()
    bed.start()
    bed.name = next(
        item["FunctionName"]
        for item in bed.rest("GET", "/2015-03-31/functions/").json["Functions"]
        if "Worker" in item["FunctionName"]
    )
    return bed


def test_invoke_under_a_debugger_stops_in_the_handler(shop, tmp_path):
    """With the event, context and variables of an environment, and loudly without isolation."""
    event = tmp_path / "event.json"
    event.write_text('{"from": "file"}')
    words = ("invoke", shop.name, "--debug", "--event", str(event))
    look = "p sorted(event), context.function_name\np __import__('os').environ['_HANDLER']\nc\n"
    done = shop.cli(*words, stdin=look)
    assert done.returncode == 0, done.stderr
    assert "WITHOUT ISOLATION" in done.stderr
    assert f"(['from'], '{shop.name}')" in done.stdout
    assert "'plain.handler'" in done.stdout
    reply = done.stdout.splitlines()[-1]
    assert json.loads(reply) == {"given": {"from": "file"}, "left_ms": True}
    failed = shop.cli("invoke", shop.name, "--debug", "--payload", '{"fails": 1}', stdin="c\n")
    assert failed.returncode == 1
    document = json.loads(failed.stdout.splitlines()[-1])
    assert document["errorMessage"] == "as told"
    assert len(document["stackTrace"]) == 1, "only the handler's own frame"
    assert shop.cli("invoke", shop.name, "--debug", stdin="q\n").returncode == 3
    for value, text in (("gdb", "pdb or debugpy:PORT"), ("debugpy:0", "pdb or debugpy:PORT")):
        refused = shop.cli("invoke", shop.name, f"--debug={value}")
        assert refused.returncode == 2
        assert text in refused.stderr
    missing = shop.cli("invoke", "nobody", "--debug")
    assert missing.returncode == 1
    assert "nobody does not exist" in missing.stderr
    both = shop.cli("invoke", shop.name, "--payload", "{}", "--event", str(event))
    assert both.returncode == 2


def test_logs_since_filter_and_several_functions(shop):
    for n in range(2):
        assert shop.cli("invoke", shop.name, "--payload", json.dumps({"n": n})).returncode == 0
    shown = shop.cli("logs", shop.name, "--filter", "handling -1", "--since", "1h")
    (line,) = shown.stdout.splitlines()
    assert line.endswith('handling {"n": 0}')
    assert shop.cli("logs", shop.name, "--since", "2100-01-01T00:00:00Z").stdout == ""
    for words in (("--filter", "[a]"), ("--since", "soon")):
        assert shop.cli("logs", shop.name, *words).returncode == 2
    unknown = shop.cli("logs", shop.name, "nobody")
    assert unknown.returncode == 1
    assert "nobody has written nothing" in unknown.stderr
    named = shop.cli("logs", "Worker")
    assert named.returncode == 0, named.stderr
    assert named.stdout == shop.cli("logs", shop.name).stdout


def test_invoke_takes_text_a_file_and_standard_input(shop, tmp_path):
    (tmp_path / "event.json").write_text('{"from": "file"}')
    for words, stdin, given in (
        (["--payload", '{"from": "text"}'], None, {"from": "text"}),
        (["--payload", f"@{tmp_path}/event.json"], None, {"from": "file"}),
        (["--payload", "-"], '{"from": "stdin"}', {"from": "stdin"}),
        ([], None, {}),
    ):
        name = shop.name if stdin or words else "Worker"  # the template's own name for it
        done = shop.cli("invoke", name, *words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"given": given, "left_ms": True}
        assert "REPORT RequestId" in done.stderr


def test_invoke_says_by_its_status_that_the_function_failed(shop):
    done = shop.cli("invoke", shop.name, "--payload", '{"fails": true}')
    assert done.returncode == 1
    error = json.loads(done.stdout)
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "as told"
    said = shop.cli("invoke", shop.name, "--payload", '{"fails": true}', "--json")
    assert said.returncode == 1
    assert json.loads(said.stdout)["FunctionError"] == "Unhandled"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["invoke", "nobody"], "nobody"),
        (["invoke", "nobody", "--payload", "@nowhere.json"], "nowhere.json"),
        (["invoke", "{name}", "--payload", "{not json"], "json"),
        (["mappings", "describe", "nobody"], "nobody"),
        (["mappings", "disable", "nobody"], "Feed"),
        (["queues", "peek", "nobody"], "nobody"),
        (["logs", "nobody"], "nobody"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(shop, words, part):
    done = shop.cli(*(word.format(name=shop.name) if "name" in word else word for word in words))
    assert done.returncode == 1, done.stdout
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_without_a_router_commands_say_how_to_start_one(bed):
    for words in (["mappings", "list"], ["invoke", "f"], ["queues", "peek"]):
        done = bed.cli(*words)
        assert done.returncode == 1
        assert "router run" in done.stderr
    done = bed.cli("logs")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_disable_keeps_the_place_and_enable_goes_on(shop):
    """P29."""
    assert shop.post("a", 0).status == 202
    until(lambda: shop.ear.handled() == [("a", 0)])
    assert shop.told("mappings", "disable", "Feed")["State"] == "Disabling"
    until(lambda: shop.told("mappings", "list")[0]["State"] == "Disabled")
    for n in (1, 2):
        assert shop.post("a", n).status == 202
    time.sleep(0.3)
    assert shop.ear.records() == [("a", 0)]
    assert shop.cli("mappings", "enable", "Feed").stdout.startswith("Feed: Enabling")
    until(lambda: len(shop.ear.handled()) == 3)
    assert shop.ear.records() == [("a", 0), ("a", 1), ("a", 2)]
    assert shop.told("mappings", "list")[0]["State"] == "Enabled"


def test_peek_shows_messages_and_receives_none(shop):
    assert shop.post("a", 0, poison=True).status == 202
    until(lambda: shop.told("queues", "peek")[0]["Visible"] == 1)
    name = shop.told("queues", "peek")[0]["Name"]
    for _ in range(2):
        messages = shop.told("queues", "peek", name)
        assert len(messages) == 1
        assert messages[0]["ReceiveCount"] == 0
        body = json.loads(messages[0]["Body"])
        assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert messages[0]["MessageId"] in shop.cli("queues", "peek", name).stdout
    assert "1 waiting" in shop.cli("queues", "peek").stdout


def test_logs_show_a_function_and_follow_it(shop):
    shop.cli("invoke", shop.name, "--payload", '{"nth": 1}')
    shown = shop.cli("logs", shop.name).stdout
    assert 'handling {"nth": 1}' in shown
    assert re.search(r"START RequestId: \S+ Version: \$LATEST", shown)
    rows = [json.loads(line) for line in shop.cli("logs", "--json").stdout.splitlines()]
    assert any(row["function"] == shop.name and "handling" in row["text"] for row in rows)
    assert shop.cli("logs", shop.name, "--lines", "1").stdout.count("\n") == 1

    with subprocess.Popen(
        # Where SIGINT was ignored (a background job of a shell) Ctrl-C would do nothing.
        ["env", "--default-signal=INT", ROUTER, "logs", shop.name, "--follow", "--lines", "0",
         "--data", shop.data],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(follower.stdout), daemon=True)
        reader.start()

        def is_heard() -> bool:
            """Invoked again: what came before it listens is not shown."""
            shop.cli("invoke", shop.name, "--payload", '{"nth": 2}')
            return any('handling {"nth": 2}' in line for line in lines)

        try:
            until(is_heard, what="a followed line")
            assert 'nth": 1' not in "".join(lines)
            follower.send_signal(signal.SIGINT)
            assert follower.wait(WAIT_S) in {0, 130}
            assert "Traceback" not in follower.stderr.read()
        finally:
            follower.kill()


def test_every_command_speaks_json(shop):
    assert isinstance(shop.told("mappings", "list"), list)
    described = shop.told("mappings", "describe", "Feed")
    assert described["Name"] == "Feed"
    assert (described["Held"], described["InFlight"], described["BusyLanes"]) == (0, 0, 0)
    assert (described["OldestRecordAgeSeconds"], described["LastError"]) == (None, None)
    assert "Lanes" not in described
    assert shop.told("mappings", "describe", "Feed", "--lanes")["Lanes"] == []
    assert shop.told("mappings", "disable", "Feed")["UUID"]
    assert shop.told("mappings", "enable", "Feed")["UUID"]
    assert isinstance(shop.told("queues", "peek"), list)
    assert shop.told("invoke", shop.name)["StatusCode"] == 200
    checks = {row["check"]: row["ok"] for row in shop.told("doctor")}
    assert checks["router"] is checks["isolation"] is checks["fsync"] is checks["memory"] is True
    assert json.loads(shop.plan("--json").stdout)["empty"] is True
    assert json.loads(shop.apply("--json").stdout)["empty"] is True
    done = shop.cli("settings", "--json", has_data=False)
    names = {row["variable"] for row in json.loads(done.stdout)}
    assert {"ROUTER_DATA", "ROUTER_ISOLATION_RUNG"} <= names


def test_plain_output_into_a_pipe_is_whole(shop):
    """No colours, no cut words, whatever width the terminal of the user had."""
    for words in (["mappings", "list"], ["mappings", "describe", "Feed"], ["doctor"]):
        done = shop.cli(*words)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "…" not in done.stdout
    assert shop.name.replace("Worker", "Teller")[:8] in shop.cli("mappings", "list").stdout


def test_doctor_works_before_anything_exists(bed):
    done = bed.cli("doctor", "--json")
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert found["router"]["ok"]
    assert "rung" in found["isolation"]["text"]
    assert not bed.data.exists()


def test_doctor_names_a_wrong_setting(bed):
    bed.environment["ROUTER_STORE_SYNCHRONOUS"] = "sometimes"
    done = bed.cli("doctor", "--json")
    assert done.returncode == 1
    row = next(row for row in json.loads(done.stdout) if row["check"] == "settings")
    assert "synchronous" in row["text"]


HEAVY = {"aiohttp", "botocore", "boto3", "samtranslator", "rich", "asyncio", "structlog", "msgspec"}


@pytest.mark.parametrize(
    ("words", "may_load"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["run", "--help"], {"asyncio"}),
        (["mappings", "--help"], {"msgspec"}),
        (["logs", "--help"], {"msgspec"}),
    ],
)
def test_help_loads_next_to_nothing(words, may_load):
    """So that the command answers at once."""
    probe = (
        "import sys\n"
        f"sys.argv = ['router', *{words!r}]\n"
        "from router.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted(name for name in sys.modules if '.' not in name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    loaded = set(done.stdout.rpartition("LOADED ")[2].split())
    assert not (loaded & HEAVY) - may_load


def test_a_router_that_reads_no_kafka_and_no_aws_loads_no_client_of_theirs():
    """Its idle memory is a budget of the project."""
    probe = "import sys, router.app.router\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"aiokafka", "aioboto3", "aiobotocore", "boto3", "botocore"}
