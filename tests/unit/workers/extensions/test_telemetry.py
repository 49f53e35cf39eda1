"""Telemetry to real extensions over real sockets (8.3)."""

import asyncio
import json
from typing import Any

import pytest

from router.workers.extensions.states import Registry
from router.workers.extensions.telemetry import Telemetry
from router.workers.isolation.plan import IsolationSettings, Planner
from router.workers.launcher import own_interpreter
from tests.patience import until
from tests.unit.workers.conftest import Bed

from .test_environment import HANDLER, end, free, layer, log_of

pytestmark = pytest.mark.slow

LISTENER = """
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

KINDS = []

class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            if event["type"] != "extension": tell("took", json.dumps(event))
            KINDS.append(event["type"])
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass

def subscribe(me, api="2022-07-01/telemetry", **body):
    headers = {"Lambda-Extension-Identifier": me}
    status, _, answer = call("PUT", "/" + api, json.dumps(body), headers)
    return status, json.loads(answer)

def listen():
    server = HTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
"""

SUBSCRIBED = (
    LISTENER
    + """
port = listen()
me, *_ = register("INVOKE", "SHUTDOWN")
wish = dict(
    schemaVersion="2022-12-13", types=["platform", "function", "extension"],
    buffering={"timeoutMs": 25},
    destination={"protocol": "HTTP", "URI": f"http://HOST:{port}/x"},
)
tell("subscribed", subscribe(me, **wish))
tell("hello")
while True:
    event = ask(me)
    if event["eventType"] == "SHUTDOWN":
        tell("late", subscribe(me, **wish))
        while "platform.runtimeDone" not in KINDS: time.sleep(0.01)
        sys.exit(0)
""".replace("HOST", "sandbox.localdomain")
)


def taken(bed: Bed) -> list[dict[str, Any]]:
    lines = [line.partition(" took ")[2] for line in log_of(bed).splitlines() if " took " in line]
    return [json.loads(line) for line in lines]


def kinds(bed: Bed) -> list[str]:
    return [event["type"] for event in taken(bed)]


@pytest.mark.usefixtures("patient")
async def test_an_extension_hears_what_happens_in_its_environment(bed: Bed):
    function = bed.function(
        HANDLER.replace(
            "def handler(event, context):", "def handler(event, context):\n    print('at work')"
        ),
        layers_path=layer(bed, watcher=SUBSCRIBED),
    )
    reply = await bed.invoke(function)
    assert reply.error_type is None, reply
    await until(lambda: "platform.report" in kinds(bed))
    await free(bed)
    assert "watcher subscribed (200, 'OK')" in log_of(bed)
    found = {event["type"]: event["record"] for event in taken(bed)}
    begun = found["platform.initStart"]
    assert begun["functionName"] == "f"
    assert len(begun["instanceId"]) == 32
    assert ":runtime:" in begun["runtimeVersionArn"]
    assert found["platform.initRuntimeDone"]["status"] == "success"
    assert found["platform.initReport"]["metrics"]["durationMs"] > 0
    assert found["platform.telemetrySubscription"] == {
        "name": "watcher",
        "state": "Subscribed",
        "types": ["platform", "function", "extension"],
    }
    assert found["platform.extension"] == {
        "name": "watcher",
        "state": "Ready",
        "events": ["INVOKE", "SHUTDOWN"],
    }
    request_id = found["platform.start"]["requestId"]
    assert found["platform.runtimeDone"]["requestId"] == request_id
    assert found["platform.runtimeDone"]["metrics"]["producedBytes"] == len(reply.payload)
    assert found["platform.runtimeDone"]["spans"][0]["name"] == "responseLatency"
    assert found["platform.report"]["metrics"]["memorySizeMB"] == 128
    assert found["function"] == "at work"
    wanted = ["platform.initStart", "platform.start", "platform.runtimeDone", "platform.report"]
    assert [kind for kind in kinds(bed) if kind in wanted] == wanted
    await end(bed)
    assert "watcher late (403, {'errorMessage': 'Telemetry API subscription is closed'" in log_of(
        bed
    )
    assert (
        "TELEMETRY\tName: watcher\tState: Subscribed\tTypes: [platform, function, extension]"
        in log_of(bed)
    )


@pytest.mark.usefixtures("patient")
async def test_a_timeout_is_told_before_the_end(bed: Bed):
    function = bed.function(HANDLER, layers_path=layer(bed, watcher=SUBSCRIBED), timeout_ms=2_000)
    assert (await bed.invoke(function, b'{"sleep":60}')).error_type == "Sandbox.Timedout"
    (done,) = [event["record"] for event in taken(bed) if event["type"] == "platform.runtimeDone"]
    assert done["status"] == "timeout"


@pytest.mark.parametrize(
    ("line", "is_document"),
    [
        ('{"level":"INFO", "n":1.50}', True),
        ('{"a":' * 300 + "1" + "}" * 300, True),
        ('{"a":' * 2_000 + "1" + "}" * 2_000, False),
        ('{"a":', False),
        ("[1]", False),
    ],
)
async def test_a_line_that_is_a_json_object_is_one_however_deep_it_nests(line, is_document):
    telemetry = Telemetry(lambda _port: False, lambda _name, _types: None)
    wish = {
        "schemaVersion": "2022-12-13",
        "types": ["function"],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9"},
    }
    listener = Registry().register("listener", [], "1")
    telemetry.subscribe("Telemetry", listener, json.dumps(wish).encode())
    telemetry.lines("function", [(0, line)], is_json=True)
    (event,) = telemetry._couriers["listener"]._events
    shown = line if is_document else json.dumps(line)
    assert event.decode().endswith(f',"type":"function","record":{shown}}}')
    telemetry.close()


OVER_TCP = (
    LISTENER
    + """
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    connection, _ = listener.accept()
    for line in connection.makefile(): tell("took", line.strip())
threading.Thread(target=serve, daemon=True).start()
me, *_ = register("INVOKE")
destination = {"protocol": "TCP", "port": listener.getsockname()[1]}
tell("subscribed", subscribe(
    me, "2020-08-15/logs", types=["function"], destination=destination, buffering={"timeoutMs": 25}
))
while True: ask(me)
"""
)


async def test_the_logs_api_over_tcp(bed: Bed):
    function = bed.function(HANDLER, layers_path=layer(bed, watcher=OVER_TCP))
    assert (await bed.invoke(function)).error_type is None
    await until(lambda: "function" in kinds(bed))
    assert taken(bed)[0]["record"] == "loaded"


FOREIGN = (
    LISTENER
    + """
me, *_ = register("INVOKE")
tell("subscribed", subscribe(
    me, schemaVersion="2022-12-13", types=["platform", "function"],
    buffering={"timeoutMs": 25},
    destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain:" + os.environ["PORT"]},
))
while True: ask(me)
"""
)


async def test_telemetry_reaches_no_port_of_anybody_else(bed: Bed):
    """An extension must not have the router post to what listens on this host."""
    heard: list[bytes] = []
    tries = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        heard.append(await reader.read())
        tries += 1
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    function = bed.function(
        HANDLER, layers_path=layer(bed, watcher=FOREIGN), environment={"PORT": str(port)}
    )
    assert (await bed.invoke(function)).error_type is None
    await until(lambda: tries >= 2)
    assert "watcher subscribed (200, 'OK')" in log_of(bed)
    assert not any(heard)
    server.close()


async def test_where_nothing_can_listen_there_is_no_telemetry(bed: Bed):
    facts = bed._facts
    settings = IsolationSettings(network="none")
    bed.launcher._planner = Planner(facts, settings, own_interpreter())
    source = FOREIGN.replace("os.environ", "{'PORT': '1'}")
    function = bed.function(HANDLER, layers_path=layer(bed, watcher=source))
    assert (await bed.invoke(function)).error_type is None
    assert "watcher subscribed (202, {" in log_of(bed)
    assert "Telemetry.NotSupported" in log_of(bed)


HOSTILE = {
    "registers without end": 'while True: call("POST", "/2020-01-01/extension/register", "{}", '
    '{"Lambda-Extension-Name": "x" * 60})',
    "asks without end": """
me, *_ = register("INVOKE")
def flood():
    while True: call("GET", "/2020-01-01/extension/event/next", None,
                     {"Lambda-Extension-Identifier": me})
for _ in range(8): threading.Thread(target=flood, daemon=True).start()
time.sleep(60)
""",
    "subscribes without end, with large bodies": """
me, *_ = register("INVOKE")
while True: subscribe(me, types=["x" * 50_000])
""",
    "takes telemetry and never answers": """
held = socket.create_server(("127.0.0.1", 0))
me, *_ = register("INVOKE")
wish = {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{held.getsockname()[1]}"}
subscribe(me, schemaVersion="2022-12-13", types=["extension"], destination=wish)
while True: print("x" * 500, flush=True)
""",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_extension_hurts_nobody_but_its_function(bed: Bed, name: str):
    """Reliability 5: invocations of another function go on, and the environment ends in time."""
    bad = bed.function(
        HANDLER, name="bad", layers_path=layer(bed, bad=LISTENER + HOSTILE[name]), timeout_ms=2_000
    )
    attack = asyncio.ensure_future(bed.invoke(bad, b'{"sleep":1}'))
    good = bed.function(HANDLER, name="good")
    for _ in range(10):
        assert (await bed.invoke(good)).error_type is None
        await asyncio.sleep(0.05)
    attack.cancel()
    await asyncio.gather(attack, return_exceptions=True)
    bed.pool.retire("bad")
    bed.pool.retire("good")
    await until(lambda: not bed.pids)
