"""Extensions beside real functions: processes, calls, ends, as Lambda has them (8.3, 8.5)."""

import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from router.workers.extensions import found
from tests.patience import PATIENCE_S, until
from tests.unit.workers.conftest import Bed

pytestmark = pytest.mark.slow

CLIENT = f"""#!{os.path.realpath(sys.executable)} -IS
import http.client, json, os, signal, socket, sys, time
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
NAME = os.path.basename(sys.argv[0])

def call(method, path, body=None, headers={{}}):
    connection = http.client.HTTPConnection(API, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()

def register(*events, name=NAME, **headers):
    headers = {{"Lambda-Extension-Name": name, **headers}}
    status, got, body = call(
        "POST", "/2020-01-01/extension/register", json.dumps({{"events": events}}), headers
    )
    return got["Lambda-Extension-Identifier"], status, json.loads(body)

def ask(me):
    headers = {{"Lambda-Extension-Identifier": me}}
    status, got, body = call("GET", "/2020-01-01/extension/event/next", None, headers)
    return json.loads(body)

def fail(me, kind, error="My.Error"):
    headers = {{
        "Lambda-Extension-Identifier": me, "Lambda-Extension-Function-Error-Type": error
    }}
    return call("POST", "/2020-01-01/extension/" + kind + "/error", "", headers)[0]

def tell(*what):
    print(NAME, *what, flush=True)

"""
"""An extension written for the standard library alone."""

DUTIFUL = """
tell("begins")
me, status, facts = register("INVOKE", "SHUTDOWN")
tell("registered", status, json.dumps(facts))
while True:
    event = ask(me)
    tell("event", json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        tell("left in ms", event["deadlineMs"] - int(time.time() * 1000))
        sys.exit(0)
"""

PROGRAM = """
def take():
    status, headers, event = call("GET", "/2018-06-01/runtime/invocation/next")
    return headers["Lambda-Runtime-Aws-Request-Id"], json.loads(event)

def give(id, result):
    path = "/2018-06-01/runtime/invocation/" + id + "/response"
    return call("POST", path, json.dumps(result))[0]

"""
"""A runtime that brings its own client."""

HANDLER = """
import os, time
print("loaded")
def handler(event, context):
    if event.get("sleep"): time.sleep(event["sleep"])
    if event.get("exit"): os._exit(event["exit"])
    if event.get("raise"): raise ValueError("no")
    return {"event": event, "api": "AWS_LAMBDA_RUNTIME_API" in os.environ}
"""


def layer(bed: Bed, **extensions: str) -> str:
    """A folder of layers with these extensions, by name and source."""
    folder = bed.data / "layers" / os.urandom(4).hex() / "extensions"
    folder.mkdir(parents=True)
    for name, source in extensions.items():
        place(folder / name, source if source.startswith("#!") else CLIENT + source)
    return str(folder.parent)


def place(path: Path, source: str) -> None:
    path.write_text(source)
    path.chmod(0o755)


def program(bed: Bed, source: str, **fields: object):
    function = bed.function("", runtime="provided.al2023", handler="x.y", **fields)
    place(Path(function.code_path) / "bootstrap", CLIENT + PROGRAM + source)
    return function


def log_of(bed: Bed, name: str = "f") -> str:
    path = bed.data / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


async def free(bed: Bed) -> None:
    """Everything in the one environment waits for the next event."""
    await until(lambda: bool(bed.pool._living))
    (env,) = bed.pool._living
    assert await env.settle(PATIENCE_S)


async def end(bed: Bed) -> None:
    """End the environments as idle ones are ended, and wait for it."""
    bed.pool.retire("f")
    await until(lambda: not bed.pids)


@pytest.mark.usefixtures("patient")
async def test_a_python_function_with_an_extension_from_its_layer(bed: Bed):
    """8.3, 8.5: registered first, told of each invocation and of the end."""
    function = bed.function(HANDLER, layers_path=layer(bed, watcher=DUTIFUL))
    for number in (1, 2):
        reply = await bed.invoke(function, b'{"n":%d}' % number, trace_id="Root=1-2-3")
        assert reply.error_type is None, reply
        assert json.loads(reply.payload) == {"event": {"n": number}, "api": True}
        await free(bed)
    assert len(bed.pids) == 1
    await end(bed)
    lines = log_of(bed)
    facts = '{"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler"}'
    assert f"watcher registered 200 {facts}" in lines
    assert lines.index("watcher begins") < lines.index("loaded")
    assert "EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in lines
    events = [
        json.loads(line.partition("watcher event ")[2])
        for line in lines.splitlines()
        if "watcher event" in line
    ]
    assert [event["eventType"] for event in events] == ["INVOKE", "INVOKE", "SHUTDOWN"]
    first, _, last = events
    assert first["invokedFunctionArn"] == function.arn
    assert first["tracing"] == {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"}
    assert set(first) == {
        *("eventType", "deadlineMs", "requestId", "invokedFunctionArn", "tracing"),
    }
    assert last["shutdownReason"] == "spindown"
    assert "watcher left in ms" in lines


@pytest.mark.parametrize(
    ("source", "error_type", "text"),
    [
        ("sys.exit(0)", "Extension.Crash", "exit code 0"),
        ("register()\nsys.exit(3)", "Extension.Crash", "exit status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Extension.Crash", "signal: killed"),
        (
            "me, *_ = register()\nassert fail(me, 'init') == 202\nsys.exit(1)",
            *("Extension.InitError", "exit status 1"),
        ),
        (
            "me, *_ = register('INVOKE')\nask(me)\nassert fail(me, 'exit') == 202\nsys.exit(0)",
            *("Extension.ExitError", "exit code 0"),
        ),
        (
            "#!/nowhere/python\n",
            *("Extension.LaunchError", "fork/exec {}: no such file or directory"),
        ),
    ],
)
async def test_an_extension_that_ends_or_cannot_start_fails_the_invocation(
    bed: Bed, source: str, error_type: str, text: str
):
    layers = layer(bed, broken=source)
    slow = bed.function(HANDLER, layers_path=layers)
    reply = await bed.invoke(slow, b'{"sleep":50}')
    document = json.loads(reply.payload)
    assert document["errorType"] == reply.error_type == error_type
    request_id, _, shown = document["errorMessage"].partition(" Error: ")
    assert request_id.startswith("RequestId: ")
    # `/opt` is where the function sees it; without a private view, where it is.
    seen = {text.format(f"{folder}/extensions/broken") for folder in ("/opt", layers)}
    assert shown in seen
    assert f"Status: error\tError Type: {error_type}" in reply.log_tail.decode()


async def test_a_file_without_the_right_to_be_run(bed: Bed):
    layers = layer(bed, broken="")
    (Path(layers) / "extensions" / "broken").chmod(0o644)
    reply = await bed.invoke(bed.function(HANDLER, layers_path=layers))
    assert reply.error_type == "Extension.LaunchError"
    assert reply.payload.endswith(b'/extensions/broken: permission denied"}')
    shown = "EXTENSION\tName: broken\tState: LaunchError\tEvents: []\tError Type: PermissionDenied"
    assert shown in log_of(bed)


async def test_eleven_are_too_many(bed: Bed):
    layers = layer(bed, **{f"e{number}": "register()\ntime.sleep(60)" for number in range(11)})
    reply = await bed.invoke(bed.function(HANDLER, layers_path=layers))
    assert reply.error_type == "Extension.LaunchError"
    assert json.loads(reply.payload)["errorMessage"].endswith(" Error: ErrTooManyExtensions")


@pytest.mark.usefixtures("patient")
async def test_the_runtime_that_ends_takes_all_along(bed: Bed):
    """A crash is told as without extensions; they hear `failure`, and a new one is made."""
    function = bed.function(HANDLER, layers_path=layer(bed, watcher=DUTIFUL))
    reply = await bed.invoke(function, b'{"exit":7}')
    assert reply.error_type == "Runtime.ExitError"
    assert json.loads(reply.payload)["errorMessage"].endswith("exited with error: exit status 7")
    assert '"shutdownReason": "failure"' in log_of(bed)
    assert (await bed.invoke(function)).error_type is None
    reply = await bed.invoke(function, b'{"raise":1}')
    assert reply.error_type == "ValueError"
    await free(bed)
    assert (await bed.invoke(function)).error_type is None
    assert log_of(bed).count("watcher registered") == 2


@pytest.mark.usefixtures("patient")
async def test_a_failed_initialisation_is_told_as_without_extensions(bed: Bed):
    reply = await bed.run("raise ValueError('no')", layers_path=layer(bed, watcher=DUTIFUL))
    document = json.loads(reply.payload)
    assert (reply.error_type, document["errorType"]) == ("Runtime.Unknown", "ValueError")
    assert document["stackTrace"][-1].endswith(
        "app.py\", line 1, in <module>\n    raise ValueError('no')\n"
    )
    assert '"shutdownReason": "failure"' in log_of(bed)


@pytest.mark.usefixtures("patient")
async def test_a_timeout_resets_all_and_keeps_tmp(bed: Bed):
    source = HANDLER.replace('print("loaded")', 'open("/tmp/made", "a").write("x")')
    source = source.replace("return {", 'return {"made": os.path.getsize("/tmp/made"), ')
    function = bed.function(source, layers_path=layer(bed, watcher=DUTIFUL), timeout_ms=3_000)
    reply = await bed.invoke(function, b'{"sleep":60}')
    assert reply.error_type == "Sandbox.Timedout"
    assert b"Task timed out after 3.00 seconds" in reply.payload
    assert '"shutdownReason": "timeout"' in log_of(bed)
    ample = msgspec.structs.replace(function, timeout_ms=60_000)
    assert json.loads((await bed.invoke(ample)).payload)["made"] == 2


async def test_an_extension_at_work_after_the_answer_holds_the_next_event_only(bed: Bed):
    """8.5: the answer goes out at once; nothing is given before everybody has asked."""
    slow = DUTIFUL.replace('if event["eventType"]', 'time.sleep(1.5)\n    if event["eventType"]')
    function = bed.function(HANDLER, layers_path=layer(bed, slow=slow))
    for _ in range(2):
        reply = await bed.invoke(function)
        assert reply.error_type is None
        (env,) = bed.pool._living
        assert not env.is_ready
        await free(bed)
    assert len(bed.pids) == 1


async def test_an_extension_that_never_asks_again_ends_with_the_timeout(bed: Bed):
    stuck = "me, *_ = register('INVOKE', 'SHUTDOWN')\nask(me)\ntime.sleep(60)"
    function = bed.function(HANDLER, layers_path=layer(bed, stuck=stuck), timeout_ms=2_000)
    assert (await bed.invoke(function)).error_type is None
    await until(lambda: not bed.pids)
    ample = msgspec.structs.replace(function, timeout_ms=60_000)
    assert (await bed.invoke(ample)).error_type is None


async def test_an_extension_that_never_registers_holds_up_the_start(bed: Bed, monkeypatch):
    monkeypatch.setattr("router.workers.cold_start.INIT_TIMEOUT_MS", 1_000)
    function = bed.function(
        HANDLER, layers_path=layer(bed, idle="time.sleep(60)"), timeout_ms=1_000
    )
    reply = await bed.invoke(function)
    assert reply.error_type == "Sandbox.Timedout"
    assert "loaded" not in log_of(bed)


TERMINATED = """
def heard(*_):
    print("runtime heard SIGTERM", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, heard)
while True:
    id, event = take()
    give(id, event)
"""


@pytest.mark.usefixtures("patient")
async def test_the_runtime_ends_before_the_extensions_and_who_does_not_listen_is_killed(bed: Bed):
    deaf = "me, *_ = register()\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nask(me)"
    layers = layer(bed, watcher=DUTIFUL, deaf=deaf)
    function = program(bed, TERMINATED, layers_path=layers)
    assert (await bed.invoke(function, b"5")).payload == b"5"
    await free(bed)
    await end(bed)
    lines = log_of(bed)
    assert lines.index("runtime heard SIGTERM") < lines.index('"eventType": "SHUTDOWN"')


async def test_a_runtime_and_extensions_that_will_not_end_are_killed(bed: Bed):
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    layers = layer(
        bed, stubborn=f"{stubborn}me, *_ = register('SHUTDOWN')\nask(me)\ntime.sleep(60)"
    )
    function = program(
        bed,
        f"{stubborn}while True:\n    id, event = take()\n    give(id, event)",
        layers_path=layers,
    )
    assert (await bed.invoke(function, b"5")).payload == b"5"
    await free(bed)
    await end(bed)


async def test_a_runtime_without_extensions_is_killed_at_once(bed: Bed):
    function = program(bed, TERMINATED)
    assert (await bed.invoke(function, b"5")).payload == b"5"
    await end(bed)
    assert "SIGTERM" not in log_of(bed)


INTERNAL = """
import http.client, json, os, signal, threading
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
SEEN = []

def call(method, path, body, headers):
    connection = http.client.HTTPConnection(API)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.headers, json.loads(answer.read())

def run(identifier):
    while True:
        me = {"Lambda-Extension-Identifier": identifier}
        _, event = call("GET", "/2020-01-01/extension/event/next", None, me)
        SEEN.append(event["requestId"])

headers, _ = call(
    "POST", "/2020-01-01/extension/register", '{"events": ["INVOKE"]}',
    {"Lambda-Extension-Name": "inside"},
)
threading.Thread(
    target=run, args=(headers["Lambda-Extension-Identifier"],), daemon=True
).start()

def heard(*_):
    print("heard SIGTERM", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, heard)

def handler(event, context):
    while not SEEN or SEEN[-1] != context.aws_request_id: pass
    return len(SEEN)
"""


@pytest.mark.usefixtures("patient")
async def test_an_extension_within_a_python_function(bed: Bed):
    """It is told of invocations; its process gets SIGTERM before it is killed."""
    function = bed.function(INTERNAL)
    for number in (1, 2):
        reply = await bed.invoke(function)
        assert reply.payload == b"%d" % number, reply
        await free(bed)
    await end(bed)
    assert "heard SIGTERM" in log_of(bed)


async def test_what_extensions_see_of_the_variables(bed: Bed):
    """8.4: the user's and the platform's, nothing that begins with `_`."""
    source = "tell(json.dumps(dict(os.environ)), os.getcwd())\nsys.exit(0)"
    function = bed.function(
        HANDLER,
        layers_path=layer(bed, looker=source),
        environment={"MINE": "1", "_OTHER": "2"},
    )
    await bed.invoke(function)
    line = next(line for line in log_of(bed).splitlines() if "looker {" in line)
    seen = json.loads(line[line.index("{") : line.rindex("}") + 1])
    assert seen["MINE"] == "1"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "f"
    assert seen["AWS_LAMBDA_RUNTIME_API"]
    assert not [name for name in seen if name.startswith("_") or name == "AWS_XRAY_CONTEXT_MISSING"]


async def test_names_are_those_the_host_has_now_and_the_ones_to_listen_by(
    bed: Bed, facts, tmp_path, monkeypatch
):
    assert "mounts" in facts.mechanisms, facts.text
    names = tmp_path / "hosts"
    monkeypatch.setattr(found, "HOSTS_FILE", str(names))
    function = program(
        bed, "while True:\n    id, _ = take()\n    give(id, open('/etc/hosts').read())\n"
    )
    for second, name in enumerate(("before", "after")):
        names.write_text(f"192.0.2.1 {name}\n")
        os.utime(names, (second, second))
        reply = await bed.invoke(function)
        lines = json.loads(reply.payload).splitlines()
        assert lines[0] == f"192.0.2.1 {name}"
        assert "sandbox.localdomain" in lines[1].split()
        await end(bed)
