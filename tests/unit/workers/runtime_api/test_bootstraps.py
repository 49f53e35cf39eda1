"""Functions that bring their own program, run by the real pool in real processes."""

import asyncio
import json
import os
import sys

import msgspec
import pytest

from router.workers.isolation.plan import IsolationSettings, Planner
from router.workers.launcher import own_interpreter
from tests.patience import PATIENCE_S, until
from tests.unit.workers.conftest import Bed

pytestmark = pytest.mark.slow

SHELL = r"""#!/bin/bash
set -u
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
    event=$(curl -sS -D /tmp/head "$api/invocation/next")
    id=$(grep -i '^lambda-runtime-aws-request-id' /tmp/head | tr -d '\r' | cut -d' ' -f2)
    echo "got $event"
    answer="{\"event\":$event,\"handler\":\"$_HANDLER\"}"
    curl -sS -o /dev/null "$api/invocation/$id/response" -d "$answer"
done
"""


PYTHON = f"""#!{os.path.realpath(sys.executable)} -IS
import http.client, json, os, signal, socket, sys, time
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
PATH = "/2018-06-01/runtime/"

def call(method, path, body=None, headers={{}}, api=API):
    connection = http.client.HTTPConnection(api, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()

def take():
    status, headers, event = call("GET", PATH + "invocation/next")
    return headers["Lambda-Runtime-Aws-Request-Id"], json.loads(event)

def give(id, result, kind="response"):
    return call("POST", PATH + "invocation/" + id + "/" + kind, json.dumps(result))[::2]

"""
"""A program that brings its own client, written for the standard library alone."""


def program(bed: Bed, body: str, **fields: object):
    return shell(bed, PYTHON + body, **fields)


def shell(bed: Bed, source: str = SHELL, **fields: object):
    facts = {"runtime": "provided.al2023", "handler": "x.y", "timeout_ms": int(PATIENCE_S * 1_000)}
    function = bed.function("", **(facts | fields))
    path = f"{function.code_path}/bootstrap"
    with open(path, "w") as file:
        file.write(source)
    os.chmod(path, 0o755)
    return function


async def test_a_shell_bootstrap_answers_one_event_after_another(bed: Bed):
    function = shell(bed)
    for number in range(3):
        reply = await bed.invoke(function, b'{"n":%d}' % number)
        assert reply.error_type is None, reply
        assert json.loads(reply.payload) == {"event": {"n": number}, "handler": "x.y"}
        assert f'got {{"n":{number}}}' in reply.log_tail.decode()
        (env,) = bed.pool._living
        assert await env.settle(PATIENCE_S)
    assert len(bed.pids) == 1


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (os.remove, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        (lambda path: os.chmod(path, 0o644), "fork/exec /var/task/bootstrap: permission denied"),
    ],
)
async def test_no_program_to_run(bed: Bed, prepare, text: str):
    function = shell(bed)
    prepare(f"{function.code_path}/bootstrap")
    reply = await bed.invoke(function)
    document = json.loads(reply.payload)
    assert document["errorType"] == reply.error_type == "Runtime.InvalidEntrypoint"
    request_id, _, shown = document["errorMessage"].partition(" Error: ")
    assert request_id.startswith("RequestId: ")
    assert shown.replace(function.code_path, "/var/task") == text
    log = reply.log_tail.decode()
    assert "Phase: invoke\tStatus: error\tError Type: Runtime.InvalidEntrypoint" in log


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("#!/nowhere/sh\n", "no such file or directory"),
        ("just text\n", "exec format error"),
    ],
)
async def test_a_program_the_kernel_refuses(bed: Bed, source: str, reason: str):
    reply = await bed.invoke(shell(bed, source))
    assert reply.error_type == "Runtime.InvalidEntrypoint"
    assert json.loads(reply.payload)["errorMessage"].endswith(f"bootstrap: {reason}")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("sys.exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(7)", "Runtime exited with error: exit status 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "Runtime exited with error: signal: terminated"),
    ],
)
@pytest.mark.parametrize("is_started", [False, True])
async def test_a_program_that_ends(bed: Bed, end: str, text: str, is_started: bool):
    reply = await bed.invoke(program(bed, ("take()\n" if is_started else "") + end))
    assert reply.error_type == "Runtime.ExitError"
    assert json.loads(reply.payload)["errorMessage"].endswith(f" Error: {text}")


async def test_an_environment_is_reset_after_a_timeout_and_keeps_its_tmp(bed: Bed):
    function = program(
        bed,
        """
made = open("/tmp/made", "a+")
made.write("x")
made.flush()
while True:
    id, event = take()
    if event == "late": time.sleep(60)
    give(id, os.path.getsize("/tmp/made"))
""",
        timeout_ms=3_000,
    )
    assert (await bed.invoke(function)).payload == b"1"
    reply = await bed.invoke(function, b'"late"')
    assert reply.error_type == "Sandbox.Timedout"
    assert b"Task timed out after 3.00 seconds" in reply.payload
    assert (await bed.invoke(function)).payload == b"2"


async def test_a_failed_start_is_repeated_once_and_told(bed: Bed):
    function = program(
        bed,
        """
document = json.dumps({"errorMessage": "no", "errorType": "Odd"})
kind = {"Lambda-Runtime-Function-Error-Type": "Runtime.Odd"}
print("tried", flush=True)
sys.exit(call("POST", PATH + "init/error", document, kind)[0])
""",
    )
    reply = await bed.invoke(function)
    assert (reply.error_type, reply.payload) == (
        "Runtime.Odd",
        b'{"errorMessage": "no", "errorType": "Odd"}',
    )
    assert "tried" in reply.log_tail.decode()


async def test_a_runtime_busy_with_its_own_after_an_answer_gets_no_event(bed: Bed):
    """AWS gives such an environment nothing before it asks; nor is the event lost on it."""
    function = program(
        bed,
        """
while True:
    id, event = take()
    give(id, os.getpid())
    time.sleep(3)
""",
        timeout_ms=10_000,
    )
    first = await bed.invoke(function)
    second = await bed.invoke(function)
    assert first.error_type is second.error_type is None
    assert first.payload != second.payload
    assert len(bed.pids) == 2


async def test_a_runtime_that_never_asks_again_is_ended(bed: Bed):
    function = program(bed, "give(take()[0], 1)\ntime.sleep(60)\n", timeout_ms=3_000)
    assert (await bed.invoke(function)).payload == b"1"
    await until(lambda: not bed.pids)
    assert (await bed.invoke(function)).payload == b"1"


async def test_a_runtime_that_ends_after_its_answer_costs_no_invocation(bed: Bed):
    function = program(bed, "give(take()[0], 1)\nos._exit(1)\n")
    for _ in range(5):
        assert (await bed.invoke(function)).payload == b"1"


async def test_an_invocation_is_not_answered_twice_or_for_another(bed: Bed):
    function = program(
        bed,
        """
last = None
while True:
    id, event = take()
    wrong = [give("00000000-0000-0000-0000-000000000000", 0)[0]]
    if last: wrong.append(give(last, 0)[0])
    result = wrong + [json.loads(give(id, event)[1])["status"], give(id, "again")[0]]
    last = id
    print(result, flush=True)
""",
    )
    for number in (1, 2):
        reply = await bed.invoke(function, b"%d" % number)
        assert json.loads(reply.payload) == number
        (env,) = bed.pool._living
        assert await env.settle(PATIENCE_S)
    path = bed.data / "logs" / "f.log"
    await until(lambda: "[400, 400, 'OK', 403]" in path.read_text())
    assert "[400, 'OK', 403]" in path.read_text()


SPY = """
NEXT = f"GET {PATH}invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode()

def tries(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(NEXT)
            connection.settimeout(5)
            return connection.recv(100).decode()
    except ConnectionError as error:
        return type(error).__name__

while True:
    id, event = take()
    give(id, tries(event["port"]) if "port" in event else int(API.split(":")[1]))
"""


@pytest.mark.parametrize("is_same_function", [False, True])
async def test_one_environment_is_refused_at_the_listener_of_another(
    bed: Bed, is_same_function: bool
):
    """It could read another's event, or answer in its place."""
    victim = program(bed, SPY, name="victim", timeout_ms=20_000)
    spy = program(bed, SPY, name="victim" if is_same_function else "spy", timeout_ms=20_000)
    if is_same_function:
        spy = msgspec.structs.replace(spy, version="2")
    port = json.loads((await bed.invoke(victim)).payload)
    reply = await bed.invoke(spy, json.dumps({"port": port}).encode())
    assert json.loads(reply.payload) in {"", "ConnectionResetError"}
    own = json.loads((await bed.invoke(spy)).payload)
    reply = await bed.invoke(spy, json.dumps({"port": own}).encode())
    assert json.loads(reply.payload).startswith("HTTP/1.1 200 OK")  # at its own it is let in


async def test_a_process_of_the_host_is_refused_too(bed: Bed):
    function = program(bed, SPY)
    port = json.loads((await bed.invoke(function)).payload)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_a_child_of_the_program_is_let_in(bed: Bed):
    function = program(
        bed,
        """
while True:
    if os.fork() == 0:
        id, event = take()
        give(id, [event, os.getppid() > 1])
        os._exit(0)
    os.wait()
""",
    )
    assert json.loads((await bed.invoke(function, b"5")).payload) == [5, True]


async def test_signals_are_as_other_programs_expect_them(bed: Bed):
    function = shell(bed, SHELL.replace('echo "got $event"', "yes | head -1"))
    reply = await bed.invoke(function, b"1")
    assert reply.error_type is None
    assert "Broken pipe" not in reply.log_tail.decode()


async def test_a_program_inherits_no_descriptor_but_the_standard_ones(bed: Bed):
    function = program(
        bed,
        """
listed = os.listdir("/proc/self/fd")
found = sorted(int(fd) for fd in listed if os.path.exists("/proc/self/fd/" + fd))
while True: give(take()[0], found)
""",
    )
    assert json.loads((await bed.invoke(function)).payload) == [0, 1, 2]


async def test_the_runtime_api_is_reached_where_the_network_is_closed(bed: Bed):
    facts = bed._facts
    if not {"landlock", "seccomp"} <= set(facts.mechanisms) or facts.landlock_abi < 4:
        pytest.fail("this host cannot close the network of functions")
    settings = IsolationSettings(network="none")
    bed.launcher._planner = Planner(facts, settings, own_interpreter())
    function = program(
        bed,
        """
id, event = take()
try:
    socket.create_connection(("127.0.0.1", event), 5)
except OSError as error:
    give(id, error.errno)
""",
    )
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assert (await bed.invoke(function, b"%d" % port)).payload == b"13"  # EACCES
    listener.close()


CALM = "while True: give(take()[0], 1)\n"
