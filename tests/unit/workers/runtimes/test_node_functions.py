"""Functions for Node.js, run by the pool with our own runtime (`functions-and-invocation.md` 8)."""

import json
import os
import shutil
from pathlib import Path

import pytest

from router.model.function import FunctionVersion, InvokeReply
from router.model.hosting import Hosting
from router.model.limits import MIB
from router.workers.pool import PoolSettings
from router.workers.runtimes import host
from tests.servers.base import REQUIRED
from tests.unit.workers.conftest import Bed

NODE = shutil.which("node")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


CASES = """
const cases = {
  callback: (event, context, done) => done(null, "called back"),
  late: (event, context, done) => {
    setTimeout(() => console.log("still here"), 30);
    done(null, "when all is done");
  },
  now: (event, context, done) => {
    context.callbackWaitsForEmptyEventLoop = false;
    setTimeout(() => {}, 60000);
    done(null, "at once");
  },
  twice: (event, context, done) => { done(null, 1); done(null, 2); context.succeed(3); },
  silent: () => "nobody reads what a handler without a promise returns",
  unsettled: () => new Promise(() => {}),
  succeed: (event, context) => context.succeed("so"),
  done: (event, context) => context.done(null, "done"),
  promise: async (event) => ({ event }),
  nothing: async () => undefined,
  thrown: () => { throw new RangeError("out of range"); },
  rejected: async () => { throw new TypeError("wrong type"); },
  text: async () => { throw "only text"; },
  failed: (event, context) => context.fail(),
  called: (event, context, done) => done(new Error("handed over")),
  circular: async () => { const ring = {}; ring.ring = ring; return ring; },
  custom: async () => {
    throw Object.assign(new Error("mine"), { name: "Mine\\u00e9", code: 7 });
  },
  deep: async () => { const dig = () => dig(); dig(); },
  context: async (event, context) => ({
    ...context,
    isInTime: context.getRemainingTimeInMillis() > 0 && context.getRemainingTimeInMillis() <= 9000,
    trace: process.env._X_AMZN_TRACE_ID,
    folder: process.cwd(),
    modules: module.paths.length > 0,
    environment: process.env.AWS_EXECUTION_ENV,
  }),
  large: async () => "x".repeat(6 * 1024 * 1024 - 2),
  console: async () => {
    console.log("one %d", 1, { a: [1] });
    console.warn("two\\nlines");
    console.error(new Error("seen"));
    process.stdout.write("raw\\n");
  },
  uncaught: async () => {
    setTimeout(() => { throw new Error("too late"); }, 1);
    await new Promise((resolve) => setTimeout(resolve, 60000));
  },
  unhandled: async () => {
    Promise.reject(new Error("forgotten"));
    await new Promise((resolve) => setTimeout(resolve, 60000));
  },
  exit: async () => process.exit(3),
};
exports.handler = (event, ...others) => cases[event.case](event, ...others);
"""


@pytest.fixture
async def node(data, facts):
    if NODE is None:  # where it is required, as in CI, no skip hides that
        tell = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        tell("no node on PATH: apt-get install nodejs")
    bed = Bed(data, facts)
    bed.hosting = Hosting(found=host.find())
    await bed.open(PoolSettings())
    yield bed
    await bed.pool.close(0)


def function(bed: Bed, source: str = CASES, file: str = "app.js", **fields: object):
    made = bed.function("", **({"runtime": "nodejs22.x", "timeout_ms": 9_000} | fields))
    path = Path(made.code_path, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return made


async def ask(bed: Bed, made: FunctionVersion, case: str, **fields: object) -> InvokeReply:
    return await bed.invoke(made, json.dumps({"case": case}).encode(), **fields)


async def test_every_way_to_answer(node):
    made = function(node)
    wanted = {
        "callback": "called back",
        "late": "when all is done",
        "twice": 1,
        "silent": None,
        "unsettled": None,
        "succeed": "so",
        "done": "done",
        "promise": {"event": {"case": "promise"}},
        "nothing": None,
        "now": "at once",  # last: its timer keeps the event loop from running empty
    }
    answers = {}
    for case in wanted:
        reply = await ask(node, made, case)
        assert reply.error_type is None, reply
        answers[case] = json.loads(reply.payload)
        assert ("still here" in reply.log_tail.decode()) == (case == "late")
    assert answers == wanted
    assert len(node.pids) == 1


async def test_every_way_to_fail_and_the_environment_goes_on(node):
    made = function(node)
    wanted = {
        "thrown": ("RangeError", "out of range"),
        "rejected": ("TypeError", "wrong type"),
        "text": ("string", "only text"),
        "failed": ("string", "handled"),
        "called": ("Error", "handed over"),
        "circular": ("Error", "Unable to stringify response body"),
        "custom": ("Mine\u00e9", "mine"),
        "deep": ("RangeError", "Maximum call stack size exceeded"),
    }
    for case, (error_type, text) in wanted.items():
        reply = await ask(node, made, case)
        document = json.loads(reply.payload)
        trace = document.pop("trace")
        assert document == {"errorType": error_type, "errorMessage": text}
        assert reply.error_type == error_type
        assert trace == [] or trace[0] == f"{error_type}: {text}"
        assert "\tERROR\tInvoke Error \t{" in reply.log_tail.decode()
    where = json.loads((await ask(node, made, "thrown")).payload)["trace"][1]
    assert where.startswith("    at Object.thrown")
    assert "app.js:2" in where
    assert len(node.pids) == 1


async def test_context_and_surroundings(node):
    made = function(node, memory_mb=256)
    reply = await ask(
        node,
        made,
        "context",
        request_id="11111111-2222-4333-8444-555555555555",
        trace_id="Root=1-2-3",
        client_context=b'{"custom":{"a":1}}',
    )
    seen = json.loads(reply.payload)
    stream = seen.pop("logStreamName")
    assert "[$LATEST]" in stream
    folder = seen.pop("folder")
    assert folder in ("/var/task", made.code_path)
    assert seen == {
        "functionName": "f",
        "functionVersion": "$LATEST",
        "invokedFunctionArn": made.arn,
        "memoryLimitInMB": "256",
        "awsRequestId": "11111111-2222-4333-8444-555555555555",
        "logGroupName": "/aws/lambda/f",
        "clientContext": {"custom": {"a": 1}},
        "callbackWaitsForEmptyEventLoop": True,
        "isInTime": True,
        "trace": "Root=1-2-3",
        "modules": True,
        "environment": "AWS_Lambda_nodejs22.x",
    }


async def test_a_result_of_6_mb(node):
    reply = await ask(node, function(node, memory_mb=512), "large")
    assert (reply.error_type, len(reply.payload)) == (None, 6 * MIB)


async def test_console_lines(node):
    request_id = "11111111-2222-4333-8444-555555555555"
    reply = await ask(node, function(node), "console", request_id=request_id)
    log = reply.log_tail.decode()
    assert f"Z\t{request_id}\tINFO\tone 1 {{ a: [ 1 ] }}\n" in log
    assert f"Z\t{request_id}\tWARN\ttwo\nlines\n" in log
    assert f"Z\t{request_id}\tERROR\tError: seen\n    at " in log
    assert "\nraw\n" in log


ENDINGS = [
    ("uncaught", "Error", "too late", "Uncaught Exception"),
    (
        "unhandled",
        "Runtime.UnhandledPromiseRejection",
        "Error: forgotten",
        "Unhandled Promise Rejection",
    ),
    ("exit", "Runtime.ExitError", "Runtime exited with error: exit status 3", ""),
]


async def test_errors_that_end_the_environment(node):
    made = function(node)
    for case, error_type, text, title in ENDINGS:
        reply = await ask(node, made, case)
        assert reply.error_type
        document = json.loads(reply.payload)
        assert document["errorType"] == error_type
        assert document["errorMessage"].endswith(text)
        assert title in reply.log_tail.decode()
    assert (await ask(node, made, "callback")).payload == b'"called back"'


FOUND = [
    ("app.mjs", "export const handler = async () => 'yes'", "app.handler"),
    ("app.cjs", "exports.handler = async () => 'yes'", "app.handler"),
    ("src/deep/app.js", "exports.a = {b: async () => 'yes'}", "src/deep/app.a.b"),
    ("node_modules/app/index.js", "exports.handler = async () => 'yes'", "app.handler"),
]


async def test_where_handlers_are_found(node):
    for file, source, handler in FOUND:
        reply = await node.invoke(function(node, source, file, handler=handler))
        assert reply.payload == b'"yes"', file


async def test_a_package_of_es_modules(node):
    made = function(node, "export const handler = async () => import.meta.url")
    Path(made.code_path, "package.json").write_text('{"type": "module"}')
    assert json.loads((await node.invoke(made)).payload).endswith("/app.js")


async def test_features_that_lambda_has_off_are_off_unless_they_are_asked_for(node):
    """`require` of an ES module, and ES modules by their look, as in nodejs22.x on AWS."""
    sources = (
        "exports.handler = async () => require('./other.mjs').word",
        "export const handler = async () => 'guessed'",
    )

    async def replies(**environment: str) -> list[object]:
        found = []
        for source in sources:
            made = function(node, source, environment=environment, timeout_ms=60_000)
            Path(made.code_path, "other.mjs").write_text("export const word = 'required'")
            found.append(json.loads((await node.invoke(made)).payload))
        return found

    required, guessed = await replies()
    assert "require() of ES Module" in required["errorMessage"]
    assert guessed["errorType"] == "Runtime.UserCodeSyntaxError"
    options = "--experimental-require-module --experimental-detect-module"
    assert await replies(NODE_OPTIONS=options) == ["required", "guessed"]


NO_MODULE = "Error: Cannot find module 'none'\nRequire stack:\n- "
UNLOADABLE = [
    ("exports.a = 1", "app.b", "Runtime.HandlerNotFound", "app.b is undefined or not exported"),
    ("exports.a = 1", "app.a", "Runtime.HandlerNotFound", "app.a is not a function"),
    ("", "none.a", "Runtime.ImportModuleError", NO_MODULE),
    ("require('none')", "app.a", "Runtime.ImportModuleError", NO_MODULE),
    ("a = ", "app.a", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
    ("", "handler", "Runtime.MalformedHandlerName", "Bad handler"),
    ("", "../app.a", "Runtime.MalformedHandlerName", "'../app.a' is not a valid handler name."),
    ("throw new Error('at load')", "app.a", "Error", "at load"),
    ("process.exit(4)", "app.a", "Runtime.ExitError", "exited with error: exit status 4"),
]


async def test_functions_that_do_not_load(node):
    for source, handler, error_type, text in UNLOADABLE:
        reply = await node.invoke(function(node, source, handler=handler))
        assert reply.error_type
        document = json.loads(reply.payload)
        assert document["errorType"] == error_type
        assert text in document["errorMessage"]


async def test_from_24_on_there_are_no_callbacks(node):
    made = function(node, "exports.handler = (a, b, c) => c(null, 1)", runtime="nodejs24.x")
    reply = await node.invoke(made)
    assert reply.error_type == "Runtime.CallbackHandlerDeprecated"
    source = "export default {handler: (event, context) => Object.keys(context).length}"
    reply = await node.invoke(function(node, source, "app.mjs", runtime="nodejs24.x"))
    assert (reply.error_type, reply.payload) == (None, b"11")


STREAMED = """
exports.text = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType("text/plain");
  stream.write("a"); stream.write({ b: 1 }); stream.end("c");
});
exports.http = awslambda.streamifyResponse(async (event, stream) => {
  const body = awslambda.HttpResponseStream.from(stream, { statusCode: 201, cookies: ["a=b"] });
  body.write("made"); body.end();
});
exports.large = awslambda.streamifyResponse(async (event, stream) => {
  const { pipeline } = require("node:stream/promises");
  await pipeline([Buffer.alloc(3e6, "x"), Buffer.alloc(1e6, "y")], stream);
});
exports.broken = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("part"); throw new RangeError("in the middle");
});
exports.late = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("part");
  setTimeout(() => { throw new RangeError("too late"); }, 1);
  await new Promise((resolve) => setTimeout(resolve, 60000));
});
exports.plain = awslambda.streamifyResponse((event, stream) => { stream.end("x"); });
"""


async def test_streamed_results_arrive_whole(node):
    async def run(name):
        return await node.invoke(function(node, STREAMED, handler=f"app.{name}"))

    assert (await run("text")).payload == b'a{"b":1}c'
    assert (
        await run("http")
    ).payload == b'{"statusCode":201,"cookies":["a=b"]}' + b"\0" * 8 + b"made"
    assert (await run("large")).payload == b"x" * 3_000_000 + b"y" * 1_000_000


async def test_an_error_in_the_middle_of_a_stream_is_an_error(node):
    for name, text in (
        ("broken", "in the middle"),
        ("plain", "does not support non-async"),
        ("late", "too late"),
    ):
        reply = await node.invoke(function(node, STREAMED, handler=f"app.{name}"))
        assert reply.error_type not in (None, "Sandbox.Timedout")
        assert text in reply.log_tail.decode()
