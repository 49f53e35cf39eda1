"""K2 with events that nobody waits for: the router dies at a named point, again and again (D1)."""

import http.client
import json
import signal
import time
from collections import Counter

import pytest

from tests.integration.bed import WAIT_S, Bed, Ear, function, queue, template, until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

EVENTS = 500
QUEUE = "arn:aws:sqs:us-east-1:000000000000:dead"
POINTS = ["before_async_cycle:3", "after_async_cycle:4", "before_commit:6", "after_commit:6"]
"""Where it dies, one start after the other."""

CODE = """
import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def handler(event, context):
    wire.write(json.dumps({"id": context.aws_request_id, **event}).encode() + b"\\n")
    wire.flush()
    wire.readline()
    if event["n"] % 5 == 0:
        raise ValueError("told to fail")
"""


@pytest.fixture
def bed(tmp_path):
    ear = Ear()
    bed = Bed(tmp_path, ear)
    bed.environment = {
        "ROUTER_ASYNC_FIRST_WAIT_MS": "50", "ROUTER_ASYNC_SECOND_WAIT_MS": "50",
        "ROUTER_CONCURRENCY_MAX": "4",
    }  # fmt: skip
    bed.code(CODE)
    named = f"      FunctionName: worker\n      DeadLetterConfig: {{TargetArn: '{QUEUE}'}}\n"
    worker = function(timeout=60).replace("    Properties:\n", f"    Properties:\n{named}")
    bed.write(template(worker, queue("Dead") + "    Properties: {QueueName: dead}\n"))
    yield bed
    bed.close()
    ear.close()


def post(bed, path, body, **headers):
    connection = http.client.HTTPConnection(bed.addresses["api"].split("//")[1], timeout=WAIT_S)
    connection.request("POST", path, json.dumps(body), headers)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply, json.loads(text or b"null")


def send(bed, n):
    path = "/2015-03-31/functions/worker/invocations"
    reply, _ = post(bed, path, {"n": n}, **{"X-Amz-Invocation-Type": "Event"})
    assert reply.status == 202
    return reply.headers["x-amzn-RequestId"]


def send_until_it_dies(bed, sent):
    """Events that succeed, one after the other: however fast it is, there is more to commit."""
    deadline = time.monotonic() + WAIT_S
    while bed.process.poll() is None and time.monotonic() < deadline:
        try:
            sent[send(bed, 1)] = 1
        except (OSError, http.client.HTTPException):
            return


def letters(bed):
    """Request ids of all dead letters."""
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "AmazonSQS.ReceiveMessage",
    }
    url = f"{bed.addresses['api']}/000000000000/dead"
    found = []
    while True:
        body = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
                "VisibilityTimeout": 600}  # fmt: skip
        _, answer = post(bed, "/", body, **headers)
        if not answer.get("Messages"):
            return found
        found += [it["MessageAttributes"]["RequestID"]["StringValue"] for it in answer["Messages"]]


def test_k2_each_event_comes_to_its_end_wherever_the_router_dies(bed):
    bed.start()
    sent = {send(bed, n): n for n in range(EVENTS)}
    bed.signal(signal.SIGKILL)
    bed.wait()
    for point in POINTS:
        bed.environment["ROUTER_CHAOS"] = point
        bed.start()
        send_until_it_dies(bed, sent)
        assert bed.wait(WAIT_S) == -signal.SIGKILL, f"it dies at {point}"
    del bed.environment["ROUTER_CHAOS"]
    bed.start()
    failing = {request_id for request_id, n in sent.items() if n % 5 == 0}
    told: list[str] = []

    def is_over():
        told.extend(letters(bed))
        seen = {facts["id"] for facts in list(bed.ear.heard)}
        return seen >= sent.keys() and set(told) >= failing

    until(is_over, what="the end of all events")
    assert Counter(told) == Counter(failing), "one dead letter each, and none of another"
    times = Counter(facts["id"] for facts in list(bed.ear.heard))
    kills = 1 + len(POINTS)
    assert max(times[request_id] for request_id in failing) <= 3 + kills, "D10"
    assert bed.stop() == 0
