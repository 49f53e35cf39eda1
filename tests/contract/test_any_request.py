"""Whatever a request holds, the answer is a documented refusal or a success, never a crash.

Requests are drawn from the service models: sound ones, and sound ones with something wrong.
"""

import asyncio
import base64
import json
import re
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.control.auth import Authenticator
from router.control.dispatch import Dispatcher
from router.control.protocol.wire import Request
from router.control.service import ModelledService
from router.model.resources import Function, Queue
from router.store.base import Delete
from router.store.catalog import put
from tests.patience import PATIENCE_S

HOOK = "arn:aws:router:us-east-1:000000000000:webhook/hook"
SPECIAL = st.sampled_from(
    [
        "",
        "q",
        "q.fifo",
        "$LATEST",
        HOOK,
        "arn:aws:sqs:us-east-1:000000000000:q",
        "arn:aws:sqs:us-east-1:000000000000:",
        "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        "arn:aws:lambda:us-east-1:000000000000:function:f:1",
        "arn:aws:iam::000000000000:role/r",
        "http://h/000000000000/q",
        "{}",
        '{"a": [1]}',
        '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":1}',
        "python3.12",
        "a.b",
        "-1",
        "0",
        "é\u0000\ufffe",
        "x" * 300,
    ]
)
ARNS = "arn:aws:lambda:us-east-1:000000000000:function:f"
NAMED = {
    "QueueUrl": st.sampled_from(["http://h/000000000000/q", "q", "none", "http://q]"]),
    "QueueName": st.sampled_from(["q", "r", "s.fifo"]),
    "FunctionName": st.sampled_from(["f", "f", "f:$LATEST", ARNS, "none"]),
    "EventSourceArn": st.sampled_from([HOOK, HOOK, "arn:aws:sqs:us-east-1:000000000000:q"]),
    "Role": st.just("arn:aws:iam::000000000000:role/r"),
    "Runtime": st.sampled_from(["python3.12", "python3.12", "nodejs22.x", "nope"]),
    "Qualifier": st.sampled_from(["$LATEST", "$LATEST", "1", "live"]),
    "Body": st.just("m"),
    "StartingPosition": st.sampled_from(["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"]),
    "ReceiptHandle": st.just(base64.urlsafe_b64encode(b"m:1:1").decode()) | st.just("x"),
}
"""Members whose random values would never get past the first check."""

WORD = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=8)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | SPECIAL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3),
    max_leaves=5,
)


def value(model, shape, depth=0):
    """Values of a shape, mostly within its constraints."""
    match shape.type:
        case "structure":
            return structure(model, shape, depth)
        case "list":
            inner = value(model, model.shapes[shape.member.shape], depth + 1)
            return st.lists(inner, max_size=3)
        case "map":
            inner = value(model, model.shapes[shape.value.shape], depth + 1)
            keys = value(model, model.shapes[shape.key.shape], depth + 1)
            return st.dictionaries(keys, inner, max_size=2)
        case "boolean":
            return st.booleans()
        case "integer" | "long":
            low = int(shape.min if shape.min is not None else -3)
            high = int(shape.max if shape.max is not None else 50_000)
            return st.integers(low, high) | st.sampled_from([low - 1, high + 1, 0, 1])
        case "double" | "float" | "timestamp":
            return st.floats(0, 1e12)
        case "blob":
            return st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
        case _:
            words = WORD | SPECIAL
            return st.sampled_from(shape.enum) | words if shape.enum else words


def structure(model, shape, depth):
    members = {
        member.wire or name: NAMED[name]
        if name in NAMED
        else value(model, model.shapes[member.shape], depth + 1)
        for name, member in shape.members.items()
    }
    needed = {
        key: members[key]
        for name, member in shape.members.items()
        if (key := member.wire or name) and name in shape.required
    }
    optional = {key: strategy for key, strategy in members.items() if key not in needed}
    if depth > 3:
        return st.fixed_dictionaries(needed)
    return st.fixed_dictionaries(needed, optional=optional)


@pytest.fixture(scope="module")
def dispatcher(harness):
    """The harness's services behind a dispatcher of our own."""
    dispatcher = Dispatcher(Authenticator(None), "us-east-1", "000000000000")
    services = harness.services
    for name, parts in (
        ("lambda", services.lambda_parts),
        ("sqs", services.sqs),
        ("sts", (services.sts,)),
    ):
        dispatcher.add(ModelledService(name, services.models[name], parts))
    return dispatcher


async def exist(harness):
    """One function, one queue and one mapping, whatever the example before has deleted."""
    catalog = harness.catalog
    changes = []
    if "f" not in catalog.functions:
        function = Function(
            name="f", runtime="python3.12", handler="a.b", role="r", code_path="/nonexistent",
            code_hash="0", last_modified_ms=0, revision_id="r",
        )  # fmt: skip
        changes.append(put("function", "f", function))
    if "q" not in catalog.queues:
        arn = "arn:aws:sqs:us-east-1:000000000000:q"
        changes.append(put("queue", "q", Queue(name="q", arn=arn, created_s=0, modified_s=0)))
    for name in catalog.mappings:
        changes.append(Delete("mapping", name))
    await catalog.commit(changes)


def ask(harness, dispatcher, request, query=""):
    call = dispatcher.locate(request, query)

    async def answer():
        await exist(harness)
        async with asyncio.timeout(PATIENCE_S):
            return await dispatcher.answer(call, request, query, "http://h", "id")

    return harness.run(answer())


def check(reply):
    assert reply.status < 500 or reply.status == 501, reply.body
    assert b"Traceback" not in reply.body


RULES = settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RULES
@given(data=st.data())
def test_sqs(harness, dispatcher, data):
    model = harness.services.models["sqs"]
    name = data.draw(st.sampled_from(sorted(model.operations)))
    document = data.draw(structure(model, model.shape(model.operations[name].input), 0))
    if data.draw(st.booleans()):
        document[data.draw(st.sampled_from(sorted(document) or ["x"]))] = data.draw(ANYTHING)
    if "WaitTimeSeconds" in document:
        document["WaitTimeSeconds"] = 0
    headers = {"x-amz-target": f"AmazonSQS.{name}"}
    body = json.dumps(document).encode()
    check(ask(harness, dispatcher, Request("POST", "/", [], headers, body)))


@RULES
@given(data=st.data())
def test_lambda(harness, dispatcher, data):
    model = harness.services.models["lambda"]
    served = [
        "CreateFunction",
        "UpdateFunctionCode",
        "DeleteFunction",
        "GetFunction",
        "GetFunctionConfiguration",
        "ListFunctions",
        "Invoke",
        "CreateEventSourceMapping",
        "GetEventSourceMapping",
        "ListEventSourceMappings",
        "UpdateEventSourceMapping",
        "DeleteEventSourceMapping",
    ]
    name = data.draw(st.sampled_from(served) | st.sampled_from(sorted(model.operations)))
    operation = model.operations[name]
    shape = model.shape(operation.input)
    document = data.draw(structure(model, shape, 0))
    if data.draw(st.booleans()):
        document[data.draw(st.sampled_from(sorted(document) or ["x"]))] = data.draw(ANYTHING)
    labels, query, headers = {}, [], {}
    for member_name, member in shape.members.items():
        key = member.wire or member_name
        if key not in document or member.location is None:
            continue
        given_value = document.pop(key)
        if member.location == "uri":
            labels[key] = given_value
        elif member.location == "querystring":
            query.append((key, str(given_value)))
        elif member.location == "header":
            headers[key.lower()] = str(given_value).encode("utf-8", "replace").decode("latin-1")

    def fill(match):
        text = str(labels.get(match[1].rstrip("+"), "f"))
        return "".join(f"%{byte:02X}" for byte in text.encode()) or "%20"

    path = re.sub(r"\{([^}]+)\}", fill, operation.uri.partition("?")[0])
    body = json.dumps(document).encode()
    check(ask(harness, dispatcher, Request(operation.method, path, query, headers, body)))


@RULES
@given(body=st.binary(max_size=100), target=st.sampled_from(["AmazonSQS.SendMessage", "x", ""]))
def test_any_bytes(harness, dispatcher, body, target):
    check(ask(harness, dispatcher, Request("POST", "/", [], {"x-amz-target": target}, body)))
    path = "/2015-03-31/functions"
    check(ask(harness, dispatcher, Request("POST", path, [], {}, body)))
    path = "/2015-03-31/functions/f/invocations"
    check(ask(harness, dispatcher, Request("POST", path, [], {}, body)))
