"""Invocation records and dead letters in real queues, topics and buses (7.3, 7.4)."""

import json
import time
from uuid import uuid4

import msgspec
import pytest

from router.destinations.aws import AwsBus, AwsQueue, AwsTopic
from router.outcomes.invocation_record import Ended, Response, invocation_record
from router.store.base import OutboxRow
from tests.integration.test_aws_destinations import (
    client,
    fails,
    keys,
    make_queue,
    session,
)
from tests.servers.moto import ACCOUNT

__all__ = ["keys", "session"]

REGION = "us-east-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:$LATEST"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
ATTRIBUTES = {
    "RequestID": {"DataType": "String", "StringValue": "r-1"},
    "ErrorCode": {"DataType": "Number", "StringValue": "200"},
    "ErrorMessage": {"DataType": "String", "StringValue": "told to fail"},
}


def letter(destination):
    return OutboxRow(
        function="f", destination=destination, letter_id=str(uuid4()), body=b'{"a": 1}',
        attributes=json.dumps(ATTRIBUTES).encode(), trace_header=TRACE, records=1,
    )  # fmt: skip


def record(condition):
    response = Response(executed_version="$LATEST", is_error=False, payload=b"{}")
    ended = Ended(
        request_id="r-1", function="f", function_arn=ARN, condition=condition, invoke_count=1,
        payload=b'{"a":"x"}', response=response, wall_ms=int(time.time() * 1000),
    )  # fmt: skip
    return invocation_record(ended)


def received(server, url):
    answer = client("sqs", server).receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"], WaitTimeSeconds=5
    )
    (message,) = answer["Messages"]
    return message


async def test_a_dead_letter_in_a_queue_has_three_attributes(elasticmq, session, keys):
    keys.setenv("AWS_ENDPOINT_URL_SQS", elasticmq.url)
    url, arn = make_queue(elasticmq, f"q-{uuid4()}")
    assert await AwsQueue(session).deliver(letter(arn)) is None
    message = received(elasticmq, url)
    assert message["Body"] == '{"a": 1}'
    assert message["MessageAttributes"] == ATTRIBUTES
    assert message["Attributes"]["AWSTraceHeader"] == TRACE


async def test_a_dead_letter_of_a_topic_has_them_too(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    sns = client("sns", moto)
    topic = sns.create_topic(Name=f"t-{uuid4()}")["TopicArn"]
    url, queue = make_queue(moto, f"q-{uuid4()}")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    assert await AwsTopic(session).deliver(letter(topic)) is None
    notification = json.loads(received(moto, url)["Body"])
    assert notification["Message"] == '{"a": 1}'
    assert notification["MessageAttributes"] == {
        name: {"Type": one["DataType"], "Value": one["StringValue"]}
        for name, one in ATTRIBUTES.items()
    }


async def test_a_bus_takes_an_event_of_lambda(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    bus = client("events", moto).create_event_bus(Name=f"b-{uuid4()}")["EventBusArn"]
    row = OutboxRow(function="f", destination=bus, body=record("Success"), records=1)
    assert await AwsBus(session).deliver(row) is None
    missing = msgspec.structs.replace(row, destination=f"{bus}-none")
    failure = await fails(AwsBus(session), missing)
    assert (failure.reason, failure.is_of_destination) == ("missing", True)


class Refusing:
    """A bus that takes the call and refuses the entry."""

    def __init__(self, code):
        self.code = code

    async def client(self, service, region=""):
        assert (service, region) == ("events", REGION)
        return self

    async def put_events(self, Entries):  # noqa: N803  the SDK's own name
        (sent,) = Entries
        assert sent["DetailType"] == "Lambda Function Invocation Result - Success"
        assert json.loads(sent["Detail"])["requestPayload"] == {"a": "x"}
        entry = {"ErrorCode": self.code, "ErrorMessage": "no"}
        return {"FailedEntryCount": 1, "Entries": [entry]}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InternalFailure", "server_error"),
        ("ThrottlingException", "throttled"),
        ("NotAuthorizedForSourceException", "refused"),
    ],
)
async def test_an_entry_that_is_refused_is_no_delivery(code, reason):
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
    row = OutboxRow(function="f", destination=bus, body=record("Success"), records=1)
    assert (await fails(AwsBus(Refusing(code)), row)).reason == reason
