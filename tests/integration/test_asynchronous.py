"""Events that nobody waits for: boto3, a router as its user has it, real functions and kills.

Lines 5 and 14 of the acceptance list (`functions-and-invocation.md` 7, 16).
"""

import http.client
import json
import signal
import threading
from collections import Counter

import pytest

from tests.contract.support import Agent
from tests.integration.bed import WAIT_S, Bed, Ear, function, queue, template, until

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
QUEUES = "arn:aws:sqs:us-east-1:000000000000:"
EVENTS = 1_000

CODE = """
import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def handler(event, context):
    about = {"what": "call", "id": context.aws_request_id, "event": event}
    wire.write(json.dumps({**about, "function": context.function_name}).encode() + b"\\n")
    wire.flush()
    if wire.readline().strip() == b"fail":
        raise ValueError("told to fail")
    return {"did": event}
"""


@pytest.fixture
def bed(tmp_path):
    ear = Ear()
    bed = Bed(tmp_path, ear)
    bed.environment = {
        "ROUTER_ASYNC_FIRST_WAIT_MS": "200", "ROUTER_ASYNC_SECOND_WAIT_MS": "300",
        "ROUTER_CONCURRENCY_MAX": "4",
    }  # fmt: skip
    bed.code(CODE)
    names = ["worker", "dead", "other"]
    functions = "".join(
        function(name.title(), timeout=120).replace(
            "    Properties:\n", f"    Properties:\n      FunctionName: {name}\n"
        )
        for name in names
    )
    dead = f"      DeadLetterConfig: {{TargetArn: '{QUEUES}letters'}}\n"
    functions = functions.replace("      FunctionName: dead\n", f"      FunctionName: dead\n{dead}")
    queues = "".join(
        queue(name.title()) + f"    Properties: {{QueueName: {name}}}\n"
        for name in ("good", "bad", "letters")
    )
    bed.write(template(functions, queues))
    yield bed
    bed.close()
    ear.close()


@pytest.fixture
def aws(bed):
    bed.start()
    agent = Agent(bed.addresses["api"])
    yield agent
    agent.close()


def configure(aws, name, **settings):
    destinations = {
        "OnSuccess": {"Destination": QUEUES + "good"}, "OnFailure": {"Destination": QUEUES + "bad"},
    }  # fmt: skip
    aws(
        "lambda", "put_function_event_invoke_config", FunctionName=name,
        DestinationConfig=destinations, **settings,
    )  # fmt: skip


def send(aws, name, event):
    """The request's id."""
    answer = aws(
        "lambda", "invoke", FunctionName=name, InvocationType="Event",
        Payload=json.dumps(event).encode(),
    )  # fmt: skip
    assert answer["StatusCode"] == 202
    return answer["ResponseMetadata"]["RequestId"]


def receive(aws, name):
    """The only message of a queue."""
    url = aws("sqs", "get_queue_url", QueueName=name)["QueueUrl"]

    def look():
        answer = aws(
            "sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10,
            MessageAttributeNames=["All"], VisibilityTimeout=0,
        )  # fmt: skip
        return answer.get("Messages")

    (message,) = until(look, what=f"a message in {name}")
    aws("sqs", "delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return message


def calls(bed, request_id):
    return [facts for facts in list(bed.ear.heard) if facts["id"] == request_id]


def obey(failing):
    """An answer that has the first so many calls of each event fail."""
    seen = Counter()

    def answer(facts):
        seen[facts["id"]] += 1
        return "fail" if seen[facts["id"]] <= facts["event"].get("fails", failing) else "ok"

    return answer


def test_line_5_what_fails_and_what_succeeds_is_told(bed, aws):
    bed.ear.answer = obey(0)
    for name in ("worker", "dead"):
        configure(aws, name)
    request_id = send(aws, "worker", {"fails": 2})
    record = json.loads(receive(aws, "good")["Body"])
    assert record["requestContext"] == {
        "requestId": request_id, "functionArn": f"{ARN}worker:$LATEST", "condition": "Success",
        "approximateInvokeCount": 3,
    }  # fmt: skip
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"did": {"fails": 2}}
    assert len(calls(bed, request_id)) == 3

    request_id = send(aws, "dead", {"fails": 9})
    record = json.loads(receive(aws, "bad")["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "told to fail"
    letter = receive(aws, "letters")
    assert letter["Body"] == json.dumps({"fails": 9}), "the event as it was"
    attributes = {
        name: (one["DataType"], one["StringValue"])
        for name, one in letter["MessageAttributes"].items()
    }
    assert attributes == {
        "RequestID": ("String", request_id), "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "told to fail"),
    }  # fmt: skip
    assert len(calls(bed, request_id)) == 3

    # A record for a function is an event of it.
    destinations = {"OnSuccess": {"Destination": f"{ARN}other"}}
    aws(
        "lambda", "put_function_event_invoke_config", FunctionName="worker",
        DestinationConfig=destinations,
    )  # fmt: skip
    request_id = send(aws, "worker", {"n": 1})
    (told,) = until(
        lambda: [facts for facts in list(bed.ear.heard) if facts["function"] == "other"]
    )
    assert told["event"]["requestContext"]["requestId"] == request_id
    assert bed.stop() == 0


def test_line_5_an_age_is_looked_ahead_at_and_zero_concurrency_ends_at_once(bed):
    bed.environment["ROUTER_ASYNC_SECOND_WAIT_MS"] = "120000"
    bed.ear.answer = obey(9)
    bed.start()
    aws = Agent(bed.addresses["api"])
    configure(aws, "worker", MaximumEventAgeInSeconds=60)
    request_id = send(aws, "worker", {})
    record = json.loads(receive(aws, "bad")["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"]["errorMessage"] == "told to fail"
    assert len(calls(bed, request_id)) == 2
    aws("lambda", "put_function_concurrency", FunctionName="worker", ReservedConcurrentExecutions=0)
    request_id = send(aws, "worker", {})
    record = json.loads(receive(aws, "bad")["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert not {"responseContext", "responsePayload"} & record.keys()
    assert calls(bed, request_id) == []
    aws.close()
    assert bed.stop() == 0


def test_line_14_a_killed_router_runs_what_was_queued(bed, aws):
    """D1: 1,000 events are queued and some run when it is killed, twice; each is seen."""
    is_open = threading.Event()
    bed.ear.answer = lambda _facts: "ok" if is_open.wait(WAIT_S) else "fail"
    sent = {send(aws, "worker", {"n": n}) for n in range(20)}
    sent |= send_many(bed, "worker", EVENTS - len(sent))
    until(lambda: len(bed.ear.heard) >= 3, what="functions at work")
    bed.signal(signal.SIGKILL)
    bed.wait()
    is_open.set()
    bed.start()
    until(lambda: len(bed.ear.heard) > EVENTS // 3, what="events after the first kill")
    bed.signal(signal.SIGKILL)
    bed.wait()
    bed.start()
    until(lambda: {facts["id"] for facts in list(bed.ear.heard)} >= sent, what="all events")
    times = Counter(facts["id"] for facts in list(bed.ear.heard))
    assert times.keys() == sent
    again = [request_id for request_id, count in times.items() if count > 1]
    assert len(again) <= 4 + 4 + 100, "only what ran at a kill, and what a cycle had to store"
    assert bed.stop() == 0


def send_many(bed, name, events):
    """As `send`, without the SDK's own second or two."""
    connection = http.client.HTTPConnection(bed.addresses["api"].split("//")[1], timeout=WAIT_S)
    path = f"/2015-03-31/functions/{name}/invocations"
    sent = set()
    for n in range(events):
        connection.request("POST", path, json.dumps({"n": n}), {"X-Amz-Invocation-Type": "Event"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 202
        sent.add(reply.headers["x-amzn-RequestId"])
    connection.close()
    return sent
