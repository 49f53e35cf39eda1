"""Error documents, context and encoding (`functions-and-invocation.md` 6.3, 8.6), end to end."""

import json
import re

import pytest

pytestmark = pytest.mark.slow

GOOD = "def handler(event, context):\n    return event\n"

INIT_TABLE = {
    "missing_module": (
        GOOD,
        "nope.handler",
        "Runtime.ImportModuleError",
        "Unable to import module 'nope': No module named 'nope'",
    ),
    "missing_import": (
        "import absent\n",
        "app.handler",
        "Runtime.ImportModuleError",
        "Unable to import module 'app': No module named 'absent'",
    ),
    "missing_handler": (
        GOOD,
        "app.f",
        "Runtime.HandlerNotFound",
        "Handler 'f' missing on module 'app'",
    ),
    "no_dot": (
        GOOD,
        "good",
        "Runtime.MalformedHandlerName",
        "Bad handler 'good': not enough values to unpack (expected 2, got 1)",
    ),
    "built_in": (
        GOOD,
        "sys.exit",
        "Runtime.BuiltInModuleConflict",
        "Cannot use built-in module sys as a handler module",
    ),
}


@pytest.mark.parametrize("name", INIT_TABLE)
async def test_a_handler_that_cannot_be_loaded(bed, name):
    source, handler, error_type, text = INIT_TABLE[name]
    reply = await bed.run(source, handler=handler)
    assert reply.error_type == error_type
    assert json.loads(reply.payload) == {
        "errorMessage": text,
        "errorType": error_type,
        "requestId": "",
        "stackTrace": [],
    }
    assert f"[ERROR] {error_type}: {text}".encode() in reply.log_tail
    assert b"Phase: invoke\tStatus: error\tError Type: " + error_type.encode() in reply.log_tail
    assert reply.init_ms is None


async def test_a_syntax_error(bed):
    reply = await bed.run("def handler(:\n    pass\n")
    document = json.loads(reply.payload)
    assert document["errorType"] == "Runtime.UserCodeSyntaxError"
    assert (
        document["errorMessage"] == "Syntax error in module 'app': invalid syntax (app.py, line 1)"
    )
    assert re.fullmatch(
        r'  File ".*/app.py" Line 1\n    def handler\(:\n', document["stackTrace"][0]
    )


async def test_an_init_exception_shows_the_import_frames(bed):
    document = json.loads((await bed.run("x = 1\nraise ValueError('at import')\n")).payload)
    assert document["errorType"] == "ValueError"
    assert document["errorMessage"] == "at import"
    assert document["requestId"] == ""
    assert "importlib" in document["stackTrace"][0]
    assert document["stackTrace"][-1].endswith(
        "/app.py\", line 2, in <module>\n    raise ValueError('at import')\n"
    )


async def test_init_is_repeated_once_and_may_then_work(bed):
    source = """
import os
note = (os.environ.get("TMPDIR") or "/tmp") + "/tried"
if not os.path.exists(note):
    open(note, "w").close()
    raise RuntimeError("first time")
def handler(event, context):
    return "worked"
"""
    reply = await bed.run(source)
    assert reply.error_type is None
    assert reply.payload == b'"worked"'


async def test_init_that_hangs_ends_under_the_functions_timeout(bed, monkeypatch):
    monkeypatch.setattr("router.workers.cold_start.INIT_TIMEOUT_MS", 300)
    reply = await bed.run("import time\ntime.sleep(60)\n", timeout_ms=400)
    assert reply.error_type == "Sandbox.Timedout"
    assert b"timed out after 0.40 seconds" in reply.payload


async def test_init_that_exits(bed):
    reply = await bed.run("import sys\nsys.exit(0)\n")
    assert reply.error_type == "Runtime.ExitError"
    assert b"exited without providing a reason" in reply.payload


async def test_an_exception_of_the_handler(bed):
    source = (
        "def handler(event, context):\n    return inner()\ndef inner():\n    raise KeyError('k')\n"
    )
    reply = await bed.run(source)
    document = json.loads(reply.payload)
    assert list(document) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert document["errorMessage"] == "'k'"
    assert document["errorType"] == reply.error_type == "KeyError"
    assert len(document["stackTrace"]) == 2
    assert re.fullmatch(
        r'  File ".*app\.py", line 2, in handler\n    return inner\(\)\n',
        document["stackTrace"][0],
    )
    assert "\n\u00a0\u00a0File ".encode() in reply.log_tail
    assert b"Status:" not in reply.log_tail


async def test_an_event_that_is_not_json(bed):
    reply = await bed.run(GOOD, b"{nope")
    assert reply.error_type == "Runtime.UnmarshalError"
    assert json.loads(reply.payload)["errorMessage"].startswith("Unable to unmarshal input: ")


async def test_a_client_context_that_is_not_json(bed):
    reply = await bed.invoke(bed.function(GOOD), client_context=b"{nope")
    assert reply.error_type == "Runtime.LambdaContextUnmarshalError"
    assert json.loads(reply.payload)["errorMessage"].startswith(
        "Unable to parse Client Context JSON: "
    )


@pytest.mark.parametrize(
    ("runtime", "payload"), [("python3.11", b'"\\u00e4"'), ("python3.13", '"ä"'.encode())]
)
async def test_results_are_utf8_from_python_3_12_on(bed, runtime, payload):
    reply = await bed.run("def handler(event, context):\n    return 'ä'\n", runtime=runtime)
    assert reply.payload == payload


@pytest.mark.parametrize(
    ("expression", "payload"),
    [
        ("float('nan')", b"NaN"),
        ("[float('inf'), 2**80]", b"[Infinity, 1208925819614629174706176]"),
        ("{'a': Decimal('1.10'), 'b': [Decimal('NaN')]}", b'{"a": 1.10, "b": [NaN]}'),
        ("None", b"null"),
        ("(1, 2)", b"[1, 2]"),
        ("b'raw bytes'", b"raw bytes"),
    ],
)
async def test_what_results_look_like(bed, expression, payload):
    source = f"from decimal import Decimal\ndef handler(event, context):\n    return {expression}\n"
    assert (await bed.run(source)).payload == payload


async def test_the_context_object(bed):
    source = """
def handler(event, context):
    left = context.get_remaining_time_in_millis()
    context.log("without newline")
    c = context.client_context
    return {
        "name": context.function_name, "version": context.function_version,
        "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
        "id": context.aws_request_id, "group": context.log_group_name,
        "stream": context.log_stream_name, "tenant": context.tenant_id,
        "identity": [
            context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id
        ],
        "client": [c.client.installation_id, c.client.app_title, c.custom, c.env],
        "w3c": context.w3c(), "left": left,
    }
"""
    function = bed.function(source, name="ctx", memory_mb=256)
    client = {
        "client": {"installation_id": "i", "app_title": "t"},
        "custom": {"k": 1},
        "env": {},
        "w3c": {"traceparent": "00-1"},
    }
    reply = await bed.invoke(
        function, client_context=json.dumps(client).encode(), request_id="id-1", invoked_arn="arn:q"
    )
    found = json.loads(reply.payload)
    assert 30_000 < found.pop("left") <= 60_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found.pop("stream"))
    assert found == {
        "name": "ctx",
        "version": "$LATEST",
        "arn": "arn:q",
        "memory": "256",
        "id": "id-1",
        "group": "/aws/lambda/ctx",
        "tenant": None,
        "identity": [None, None],
        "client": ["i", "t", {"k": 1}, {}],
        "w3c": {"traceparent": "00-1"},
    }
    assert b"without newline\nEND RequestId: id-1" in reply.log_tail


async def test_the_environment_variables(bed):
    bed.extra = {
        "AWS_ACCESS_KEY_ID": "ours",
        "AWS_ENDPOINT_URL": "http://ours",
        "AWS_ENDPOINT_URL_SQS": "x",
    }
    source = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    user = {
        "MINE": "1",
        "TZ": "Europe/Vienna",
        "AWS_REGION": "elsewhere",
        "AWS_ENDPOINT_URL": "http://mine",
        "AWS_ACCESS_KEY_ID": "mine",
    }
    reply = await bed.invoke(
        bed.function(source, name="vars", environment=user), trace_id="Root=1-abc"
    )
    found = json.loads(reply.payload)
    expected = {
        "MINE": "1",
        "TZ": "Europe/Vienna",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://mine",
        "AWS_ENDPOINT_URL_SQS": "x",
        "AWS_ACCESS_KEY_ID": "ours",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_NAME": "vars",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "_HANDLER": "app.handler",
        "_X_AMZN_TRACE_ID": "Root=1-abc",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "HOSTNAME" not in found
    assert "AWS_LAMBDA_RUNTIME_API" not in found


@pytest.mark.parametrize(
    "environment", [{"TZ": "Asia/Tokyo"}, {"PYTHONHASHSEED": "0", "TZ": "Asia/Tokyo"}]
)
async def test_the_time_zone_is_in_force_forked_or_fresh(bed, environment):
    source = (
        "import time\n"
        "def handler(event, context):\n"
        "    return time.strftime('%H', time.localtime(0))\n"
    )
    assert (await bed.run(source, environment=environment)).payload == b'"09"'


async def test_variables_read_at_exec_get_a_fresh_interpreter(bed):
    source = (
        "import sys\n"
        "def handler(event, context):\n"
        "    return [sys.flags.hash_randomization, hash('a')]\n"
    )
    replies = [
        await bed.run(source, environment={"PYTHONHASHSEED": "0"}, name=name) for name in ("a", "b")
    ]
    assert json.loads(replies[0].payload)[0] == 0
    assert replies[0].payload == replies[1].payload


async def test_nothing_of_ours_can_be_imported(bed):
    source = """
import importlib.util
def handler(event, context):
    names = ("router", "wire", "bootstrap", "context", "environment", "msgspec", "orjson", "uvloop")
    return [name for name in names if importlib.util.find_spec(name)]
"""
    assert (await bed.run(source)).payload == b"[]"


async def test_python_logging_and_prints_share_one_order(bed):
    source = """
import logging, sys
def handler(event, context):
    print("one"); logging.getLogger().setLevel("INFO"); logging.info("two")
    print("three", file=sys.stderr)
"""
    reply = await bed.invoke(bed.function(source), request_id="id-7")
    lines = reply.log_tail.decode().split("\n")
    assert lines[0] == "START RequestId: id-7 Version: $LATEST"
    assert lines[1] == "one"
    assert re.fullmatch(r"\[INFO\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tid-7\ttwo", lines[2])
    assert lines[3] == "three"
    assert lines[4] == "END RequestId: id-7"
    assert re.fullmatch(
        r"REPORT RequestId: id-7\tDuration: [\d.]+ ms\t"
        r"Billed Duration: \d+ ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t",
        lines[5],
    )
