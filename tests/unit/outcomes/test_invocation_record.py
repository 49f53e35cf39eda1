"""Invocation records and dead letters, byte for byte (`functions-and-invocation.md` 7.2 to 7.4)."""

import json

import pytest

from router.outcomes.invocation_record import (
    Ended,
    HoldUp,
    Response,
    bus_entry,
    dead_letter_attributes,
    invocation_record,
    object_key,
)

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"
ERROR = b'{"errorMessage":"no","errorType":"ValueError"}'


def ended(**members):
    given = {
        "request_id": "r-1", "function": "f", "function_arn": ARN, "condition": "RetriesExhausted",
        "invoke_count": 3, "payload": b'{"a": 1}', "wall_ms": 1_782_900_000_123,
    }  # fmt: skip
    return Ended(**given | members)


def failed(payload=ERROR):
    return Response(executed_version="$LATEST", is_error=True, payload=payload)


def test_a_failure_in_the_order_of_aws():
    assert invocation_record(ended(response=failed())) == (
        b'{"version":"1.0","timestamp":"2026-07-01T10:00:00.123Z","requestContext":{"requestId":'
        b'"r-1","functionArn":"' + ARN.encode() + b'","condition":"RetriesExhausted",'
        b'"approximateInvokeCount":3},"requestPayload":{"a":1},"responseContext":{"statusCode":200,'
        b'"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":'
        + ERROR
        + b"}"
    )


def test_a_success_has_no_function_error():
    response = Response(executed_version="7", is_error=False, payload=b"null")
    record = json.loads(invocation_record(ended(condition="Success", response=response)))
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "7"}
    assert record["responsePayload"] is None


def test_what_never_ran_has_no_response():
    given = ended(condition="ZeroReservedConcurrency", invoke_count=0)
    assert invocation_record(given).endswith(b'"requestPayload":{"a":1}}')


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b'{ "n" : 12345678901234567.10, "m" : 1e400 }', b'{"n":12345678901234567.10,"m":1e400}'),
        (b'"\\ud800"', b'"\\ud800"'),
        (b"no JSON", b'"no JSON"'),
        (b"[NaN]", b'"[NaN]"'),
        (b'"\xff"', '"\N{REPLACEMENT CHARACTER}"'.encode()),
        (b"[" * 5000, b'"' + b"[" * 5000 + b'"'),
    ],
)  # fmt: skip
def test_what_was_said_is_told_as_it_was(payload, told):
    record = invocation_record(ended(payload=b"1", response=failed(payload)))
    assert record.endswith(b'"responsePayload":' + told + b"}")
    record.decode()


def test_a_buckets_key():
    assert object_key(ended(), "u-1") == "aws/lambda/async/f/2026/07/01/2026-07-01T10.00.00-u-1"


def attributes(**members):
    hold_up = members.pop("hold_up", None)
    found = json.loads(dead_letter_attributes(ended(**members), hold_up))
    assert {name: one["DataType"] for name, one in found.items()} == {
        "RequestID": "String", "ErrorCode": "Number", "ErrorMessage": "String",
    }  # fmt: skip
    return {name: one["StringValue"] for name, one in found.items()}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (ERROR, "no"),
        (b'{"errorMessage":"","errorType":"ValueError"}', "ValueError"),
        (b'{"errorMessage":{"a":1}}', '{"a":1}'),
        (b"[]", "Unknown"),
        (b"plain", "plain"),
        (json.dumps({"errorMessage": "\x00\ud800 bad"}).encode(), "?? bad"),
        (json.dumps({"errorMessage": "é" * 1000}).encode(), "é" * 512),
        (b'{"errorMessage":"' + b"x" * 2000 + b'"}', "x" * 1024),
    ],
)
def test_a_dead_letter_says_what_the_function_said(payload, message):
    assert attributes(response=failed(payload)) == {
        "RequestID": "r-1", "ErrorCode": "200", "ErrorMessage": message,
    }  # fmt: skip


def test_a_dead_letter_of_what_never_ran():
    found = attributes(hold_up=HoldUp("429", "Rate Exceeded."))
    assert (found["ErrorCode"], found["ErrorMessage"]) == ("429", "Rate Exceeded.")


@pytest.mark.parametrize(
    ("condition", "result"), [("Success", "Success"), ("EventAgeExceeded", "Failure")]
)
def test_an_entry_of_a_bus(condition, result):
    record = invocation_record(ended(condition=condition))
    bus = "arn:aws:events:us-east-1:000000000000:event-bus/b"
    assert bus_entry(record, bus) == {
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {result}",
        "Detail": record.decode(),
        "Resources": [bus, ARN],
        "EventBusName": bus,
    }
