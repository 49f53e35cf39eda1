"""Loops that unmodified boto3 closes, by every way the router delivers (7.6)."""

import json
import urllib.parse

import pytest

from router.model.errors import RECURSIVE, RECURSIVE_TEXT
from router.model.trace_header import LOOP_INVOCATIONS_MAX
from tests.integration.bed import call, function, queue, template, until
from tests.integration.queue_bed import Side

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
QUEUES = "arn:aws:sqs:us-east-1:000000000000:"
FUNCTIONS = "/2015-03-31/functions/"
HELD_UP = "router_function_recursive_invocations_dropped_total"

CODE = '''
import json
import os
import socket

import boto3
from botocore.exceptions import ClientError

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")
lambda_, sqs = boto3.client("lambda"), boto3.client("sqs")


def tell(**facts):
    trace = os.environ["_X_AMZN_TRACE_ID"]
    wire.write(json.dumps({"what": "call", "trace": trace, **facts}).encode() + b"\\n")
    wire.flush()
    wire.readline()


def counts(event, context):
    """How it is called in a lineage."""
    return os.environ["_X_AMZN_TRACE_ID"].rpartition("Lineage=")[2].rpartition(",")[2].split(":")[1]


def waits(event, context):
    """Invokes itself and waits; what it was refused with comes back through all of them."""
    if "name" in event:
        return counts(event, context)
    tell(function=context.function_name)
    try:
        reply = lambda_.invoke(FunctionName=context.function_name, Payload=b"{}")
    except ClientError as error:
        return error.response
    return json.loads(reply["Payload"].read())


def leaves(event, context):
    """Invokes itself and does not wait, as long as it is asked to."""
    if "name" in event:
        return counts(event, context)
    tell(function=context.function_name, event=event)
    if event.get("left"):
        asked = json.dumps({**event, "left": event["left"] - 1})
        to = context.function_name
        lambda_.invoke(FunctionName=to, InvocationType="Event", Payload=asked)


def sends(event, context):
    """Sends back what it gets."""
    for record in event["Records"]:
        tell(function=context.function_name, body=record["body"], size=len(event["Records"]))
        name = record["eventSourceARN"].rpartition(":")[2]
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        word, _, left = record["body"].partition(" ")
        if word == "round":
            sqs.send_message(QueueUrl=url, MessageBody=word)
        elif word == "own" and left != "0":
            root = os.environ["_X_AMZN_TRACE_ID"].partition(";")[0]
            sqs.send_message(
                QueueUrl=url, MessageBody=f"own {int(left) - 1}",
                MessageSystemAttributes={
                    "AWSTraceHeader": {"DataType": "String", "StringValue": root}
                },
            )
'''


def named(name, handler, **more):
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in more.items())
    return function(name.title(), handler=f"app.{handler}", timeout=60).replace(
        "    Properties:\n", f"    Properties:\n      FunctionName: {name}\n{lines}"
    )


@pytest.fixture
def loops(bed):
    """A router with functions of each kind."""
    letters = {"TargetArn": f"{QUEUES}letters"}
    bed.write(
        template(
            named("waits", "waits"),
            named("leaves", "leaves", DeadLetterConfig=letters),
            named("friend", "leaves", DeadLetterConfig=letters),
            named("free", "leaves", RecursiveLoop="Allow"),
            *(queue(name.title()) + f"    Properties: {{QueueName: {name}}}\n"
              for name in ("letters", "told")),
        )
    )  # fmt: skip
    bed.code(CODE)
    bed.start()
    return bed


def invoke(bed, name, event, kind="RequestResponse", **headers):
    headers = {f"X-Am{key.replace('_', '-')}": value for key, value in headers.items()}
    return call(
        bed.addresses["api"], f"{FUNCTIONS}{name}/invocations", json.dumps(event).encode(),
        {"X-Amz-Invocation-Type": kind, **headers},
    )  # fmt: skip


def calls(bed, name, **event):
    """The traces of calls of a function with such an event."""
    return [
        facts["trace"]
        for facts in list(bed.ear.heard)
        if facts["function"] == name and event.items() <= facts.get("event", {}).items()
    ]


def receive(bed, name):
    """The next message of a queue."""

    def look():
        answer = call(
            bed.addresses["api"], "/",
            json.dumps({
                "QueueUrl": f"http://any/000000000000/{name}", "MessageAttributeNames": ["All"],
                "MessageSystemAttributeNames": ["All"],
            }).encode(),
            {
                "X-Amz-Target": "AmazonSQS.ReceiveMessage",
                "Content-Type": "application/x-amz-json-1.0",
            },
        )  # fmt: skip
        return answer.json.get("Messages")

    return until(look, what=f"a message in {name}")[0]


def lineages(traces):
    return [trace.rpartition(";Lineage=")[2] for trace in traces]


def name_in_lineage(bed, name):
    return invoke(bed, name, {"name": "?"}).json


def test_a_function_that_calls_itself_is_stopped_at_its_17th_call(loops):
    """Synchronous, through its own boto3: the caller gets the exception; 16 have run."""
    root = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
    chain = f"{root};Lineage=13:{name_in_lineage(loops, 'waits')}:0"
    refused = invoke(loops, "waits", {}, zn_Trace_Id=chain).json
    assert refused["Error"]["Code"] == RECURSIVE
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused["Message"].startswith("Lambda has detected your function being invoked in a rec")
    assert refused["Type"] == "User"
    traces = calls(loops, "waits")
    assert {trace.rpartition(";Lineage=")[0] for trace in traces} == {root}
    counts = [int(lineage.partition(":")[0]) for lineage in lineages(traces)]
    assert counts == [14, 15, LOOP_INVOCATIONS_MAX]
    assert loops.metric(HELD_UP, function="waits") == 1
    direct = invoke(loops, "waits", {}, zn_Trace_Id=traces[-1])
    assert (direct.status, direct.headers["x-amzn-errortype"]) == (400, RECURSIVE)
    stream = call(
        loops.addresses["api"], "/2021-11-15/functions/waits/response-streaming-invocations",
        b"{}", {"X-Amzn-Trace-Id": traces[-1]},
    )  # fmt: skip
    assert (stream.status, stream.headers["x-amzn-errortype"]) == (400, RECURSIVE)
    assert loops.metric(HELD_UP, function="waits") == 3
    made = loops.rest("POST", "/2021-10-31/functions/waits/url", {"AuthType": "NONE"}).json
    where = urllib.parse.urlsplit(made["FunctionUrl"])
    asked = {"Host": where.netloc, "X-Amzn-Trace-Id": traces[-1]}
    by_url = call(loops.addresses["ingress"], "/", None, asked)
    assert (by_url.status, by_url.headers["x-amzn-errortype"]) == (400, RECURSIVE)
    assert by_url.json["Message"].startswith("Lambda has detected your function being invoked")
    assert loops.metric(HELD_UP, function="waits") == 4
    assert len(calls(loops, "waits")) == 3

    # What the template and the API say of loops takes effect at once.
    last = f"{root};Lineage=16:{name_in_lineage(loops, 'free')}:0"
    config = "/2024-08-31/functions/free/recursion-config"
    assert loops.rest("GET", config).json["RecursiveLoop"] == "Allow"
    for switch, status in (("Allow", 200), ("Terminate", 400), ("Allow", 200)):
        if loops.rest("GET", config).json["RecursiveLoop"] != switch:
            assert loops.rest("PUT", config, {"RecursiveLoop": switch}).status == 200
        assert invoke(loops, "free", {"left": 0}, zn_Trace_Id=last).status == status
    assert loops.stop() == 0


def test_events_that_go_round_end_at_the_failure_destination(loops):
    """Asynchronous: the 17th event is told, with its dead letter, and none is retried."""
    settings = {
        "DestinationConfig": {
            "OnSuccess": {"Destination": f"{ARN}friend"},
            "OnFailure": {"Destination": f"{QUEUES}told"},
        }
    }
    configs = "/2019-09-25/functions/{}/event-invoke-config"
    assert loops.rest("PUT", configs.format("leaves"), settings).status == 200
    assert invoke(loops, "leaves", {"left": 99, "mark": 1}, "Event").status == 202
    record = json.loads(receive(loops, "told")["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert record["requestPayload"]["left"] == 99 - LOOP_INVOCATIONS_MAX
    assert "responseContext" not in record
    letter = receive(loops, "letters")
    assert letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "400"
    assert "recursive loop" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert "Lineage=17:" in letter["Attributes"]["AWSTraceHeader"]
    assert len(calls(loops, "leaves", mark=1)) == LOOP_INVOCATIONS_MAX
    # Records of successes carry the chain as well: their function counts in the same one.
    told = until(lambda: len(found := calls(loops, "friend")) >= LOOP_INVOCATIONS_MAX and found)
    assert all(lineage.count(",") == 1 for lineage in lineages(told))

    # One that may goes on.
    loops.rest("DELETE", configs.format("leaves"))
    assert invoke(loops, "free", {"left": 40, "mark": 2}, "Event").status == 202
    until(lambda: len(calls(loops, "free", mark=2)) == 41, what="a loop that is allowed")
    assert lineages(calls(loops, "free", mark=2))[-1].startswith("41:")
    assert loops.metric(HELD_UP, function="free") == 0

    # A loop of nothing but stopped events and what is told of them ends as well.
    to_each_other = {"leaves": "friend", "friend": "leaves"}
    for name, other in to_each_other.items():
        settings = {"DestinationConfig": {"OnFailure": {"Destination": ARN + other}}}
        assert loops.rest("PUT", configs.format(name), settings).status == 200
    names = [name_in_lineage(loops, name) for name in to_each_other]
    spent = "Root=1-67891233-abcdef012345678912345678;Lineage=" + ",".join(
        f"16:{name}:0" for name in names
    )
    before = loops.metric(HELD_UP)
    assert invoke(loops, "leaves", {"mark": 3}, "Event", zn_Trace_Id=spent).status == 202
    until(lambda: loops.lines("async_event_given_up")[-1]["destination"] is None)
    assert loops.metric(HELD_UP) == before + 1
    assert calls(loops, "leaves", mark=3) == []
    assert loops.stop() == 0


@pytest.mark.parametrize("kept", ["embedded", "server"])
def test_a_message_that_goes_round_is_left_to_the_redrive_policy(bed, kept, request):
    """The batch of the 17th fails; messages of other chains beside it are handled.

    So is what goes round with a trace header of the function's own, without the lineage.
    """
    server = request.getfixturevalue("elasticmq") if kept == "server" else None
    more = named("sends", "sends")
    if server is not None:
        more = more.replace("Variables: {", f"Variables: {{AWS_ENDPOINT_URL_SQS: '{server.url}', ")
    side = Side(bed, server, code=CODE, more=more)
    dead = side.create("dead")
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    jobs = side.create("jobs", VisibilityTimeout=61, RedrivePolicy=policy)
    side.map(jobs, FunctionName="sends")
    send = {"QueueUrl": jobs.url, "MessageBody": "round"}
    side.ask("SendMessage", **send)
    side.ask("SendMessage", **{**send, "MessageBody": "once"})
    side.ask("SendMessage", **{**send, "MessageBody": f"own {LOOP_INVOCATIONS_MAX + 1}"})
    until(lambda: bed.metric(HELD_UP, function="sends") >= 1, what="a stop")
    until(lambda: any(facts["body"] == "own 0" for facts in list(bed.ear.heard)))
    sent = [facts["body"] for facts in list(bed.ear.heard)]
    assert (sent.count("round"), sent.count("once")) == (LOOP_INVOCATIONS_MAX, 1)
    (failed,) = bed.lines("batch_failed")
    assert failed["error"] == RECURSIVE_TEXT
    # The one that was stopped is hidden, and next time a dead letter.
    until(lambda: jobs.counts()[1] == 1, what="the end of all others")
    assert bed.stop() == 0
