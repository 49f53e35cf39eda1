"""Extensions beside real functions: processes, calls, ends, as Lambda has them (8.3, 8.5)."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S, until
from tests.unit.workers.conftest import Bed

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
    assert lines.index("watcher registered") < lines.index("loaded")
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
