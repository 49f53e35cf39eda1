"""Invoke in its commonest form goes a shorter way: nobody can tell by the answer."""

import pytest

from router.control.auth import Authenticator
from router.control.dispatch import Dispatcher
from router.control.lambda_service.invoke import OUT_OF_THE_ORDINARY, TYPE_HEADER
from router.control.protocol.rest_json import bind
from router.control.protocol.wire import Request
from router.control.service import ModelledService
from tests.contract.test_functions import create, package

FAILS = "def handler(event, context):\n    raise ValueError('no')\n"
INVOKE = "/2015-03-31/functions/%s/invocations"


def dispatcher(harness, *, is_direct):
    services = harness.services
    service = ModelledService("lambda", services.models["lambda"], services.lambda_parts)
    assert set(service.direct) == {"Invoke"}
    if not is_direct:
        service.direct.clear()
    made = Dispatcher(Authenticator(None), "us-east-1", "000000000000")
    made.add(service)
    return made


def test_every_header_of_an_invocation_is_known_to_the_shorter_way(harness):
    model = harness.services.models["lambda"]
    binding = bind(model, model.operations["Invoke"])
    assert {key for _, key, _ in binding.headers} <= {TYPE_HEADER, *OUT_OF_THE_ORDINARY}
    assert [name for name, _, _ in binding.labels] == ["FunctionName"]
    assert binding.payload == "Payload"


@pytest.fixture(scope="module")
def functions(aws):
    create(aws, "direct-fine")
    create(aws, "direct-fails", Code={"ZipFile": package(FAILS)})
    for name in ("direct-fine", "direct-fails"):
        aws("lambda", "wait:function_active_v2", FunctionName=name)


@pytest.mark.parametrize("headers", [{}, {TYPE_HEADER: "RequestResponse"}])
@pytest.mark.parametrize("body", [b'{"a": "\xc3\xa9"}', b"", b" ", b"[1", b"\xff"])
@pytest.mark.parametrize(
    "name", ["direct-fine", "direct-fails", "direct-none", "direct%2Dfine", "x" * 64, "x" * 65]
)
def test_the_answer_is_the_same(harness, functions, name, body, headers):
    request = Request("POST", INVOKE % name, [], headers, body)
    replies = []
    for is_direct in (True, False):
        site = dispatcher(harness, is_direct=is_direct)
        call = site.locate(request, "")
        answer = site.answer(call, request, "", "http://h", "id")
        reply = harness.run(answer)
        replies.append((reply.status, reply.headers, reply.body))
    assert replies[0] == replies[1]
    assert list(replies[0][1]) == list(replies[1][1])


@pytest.mark.parametrize(
    ("name", "query", "headers"),
    [
        ("f", [("Qualifier", "1")], {}),
        ("f", [], {TYPE_HEADER: "Event"}),
        ("f", [], {"x-amz-log-type": "Tail"}),
        ("f:1", [], {}),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", [], {}),
        ("no name", [], {}),
    ],
)
def test_every_other_form_goes_the_general_way(harness, name, query, headers):
    service = ModelledService(
        "lambda", harness.services.models["lambda"], harness.services.lambda_parts
    )
    request = Request("POST", INVOKE % "f", query, headers, b"{}")
    assert service.direct["Invoke"](None, request, {"FunctionName": name}) is None
