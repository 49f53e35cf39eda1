"""Mappings on queues in a running router (`event-source-mappings.md` 8, 11.1)."""

import json
import threading
import time
from collections import Counter

import pytest

from tests.integration.bed import function, template, until
from tests.integration.queue_bed import SEEING

SAM = """AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Ear: {Type: String}
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code
      Handler: app.handler
      Runtime: python3.11
      Environment: {Variables: {EAR: !Ref Ear}}
      Events:
        Job: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 3}}
"""


def jobs(name="Jobs", **properties):
    settings = {"VisibilityTimeout": 30, **properties}
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in settings.items())
    return f"\n  {name}:\n    Type: AWS::SQS::Queue\n    Properties:\n{lines}"


def reads(name="Feed", queue="Jobs", **more):
    lines = "".join(f"      {key}: {json.dumps(value)}\n" for key, value in more.items())
    return (
        f"\n  {name}:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n"
        f"      EventSourceArn: !GetAtt {queue}.Arn\n      FunctionName: !Ref Worker\n{lines}"
    )


class Queue:
    """One queue of a running router, by its API."""

    def __init__(self, bed, prefix):
        self.bed = bed
        found = self.ask("ListQueues", QueueNamePrefix=prefix)["QueueUrls"]
        (self.url,) = found

    def ask(self, operation, **members):
        reply = self.bed.json_call(f"AmazonSQS.{operation}", **members)
        assert reply.status == 200, reply.body
        return reply.json

    def send(self, bodies, **more):
        bodies = list(bodies)
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(index), "MessageBody": json.dumps(body), **more}
                for index, body in enumerate(bodies[start : start + 10])
            ]
            answer = self.ask("SendMessageBatch", QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer

    def counts(self):
        found = self.ask("GetQueueAttributes", QueueUrl=self.url, AttributeNames=["All"])
        names = ("", "NotVisible", "Delayed")
        return [int(found["Attributes"][f"ApproximateNumberOfMessages{name}"]) for name in names]

    def is_empty(self):
        return self.counts() == [0, 0, 0]


@pytest.fixture
def running(bed):
    def run(*parts, hidden_s=30, **settings):
        """Messages that come back do so after `hidden_s`; nobody else's may."""
        feeds = parts or (jobs(VisibilityTimeout=hidden_s),)
        bed.write(template(function(timeout=min(hidden_s, 20)), *feeds, reads(**settings)))
        bed.code(SEEING)
        bed.ear.answer = lambda _facts: "{}"
        bed.start()
        return bed

    return run


def events(bed):
    return [facts["event"]["Records"] for facts in list(bed.ear.heard) if facts["what"] == "event"]


def bodies(bed):
    return [json.loads(record["body"]) for batch in events(bed) for record in batch]


def test_the_event_of_a_message_and_its_deletion(running):
    """11.1, and P23: without attributes and without a window the digest is not there."""
    bed = running()
    queue = Queue(bed, "")
    queue.ask(
        "SendMessage",
        QueueUrl=queue.url,
        MessageBody='{"order": 71}',
        MessageAttributes={"weeks": {"DataType": "Number", "StringValue": "6"}},
    )
    until(lambda: events(bed))
    until(queue.is_empty, what="an empty queue")
    ((record,),) = events(bed)
    assert list(record) == [
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes",
        "md5OfMessageAttributes", "md5OfBody", "eventSource", "eventSourceARN", "awsRegion",
    ]  # fmt: skip
    assert record["body"] == '{"order": 71}'
    assert record["eventSource"] == "aws:sqs"
    assert record["messageAttributes"] == {
        "weeks": {
            "stringValue": "6", "stringListValues": [], "binaryListValues": [],
            "dataType": "Number",
        }
    }  # fmt: skip
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    queue.send([{"n": 1}])
    until(lambda: len(events(bed)) == 2)
    assert "md5OfMessageAttributes" not in events(bed)[1][0]


def test_p25_what_failed_comes_back_after_its_visibility_timeout_and_not_before(running):
    bed = running(hidden_s=3)
    queue = Queue(bed, "")
    failing = iter([True])
    bed.ear.answer = lambda facts: json.dumps(
        {"raise": "no"} if facts["what"] == "event" and next(failing, False) else {}
    )
    sent = time.monotonic()  # what it is hidden from on comes later, the first attempt later still
    queue.send([{"n": 1}])
    until(lambda: len(events(bed)) == 2, what="the second attempt")
    times = [facts["at"] for facts in bed.ear.heard if facts["what"] == "event"]
    assert times[1] - sent >= 3
    assert events(bed)[1][0]["attributes"]["ApproximateReceiveCount"] == "2"
    until(queue.is_empty, what="an empty queue")


def test_d9_reported_failures_are_left_and_the_others_deleted(running):
    bed = running(hidden_s=5, FunctionResponseTypes=["ReportBatchItemFailures"], BatchSize=10)
    queue = Queue(bed, "")

    def answer(facts):
        if facts["what"] != "event":
            return "{}"
        failed = [
            {"itemIdentifier": record["messageId"]}
            for record in facts["event"]["Records"]
            if json.loads(record["body"])["n"] % 2
            and record["attributes"]["ApproximateReceiveCount"] == "1"
        ]
        return json.dumps({"return": {"batchItemFailures": failed}})

    bed.ear.answer = answer
    queue.send({"n": n} for n in range(10))
    until(queue.is_empty, what="an empty queue")
    seen = Counter(body["n"] for body in bodies(bed))
    assert seen == {n: 1 + n % 2 for n in range(10)}


def test_p26_p20_filters_before_batches_and_a_window_over_many_receives(running):
    """100 messages, every tenth matching: one batch of 10; the others are deleted."""
    pattern = json.dumps({"body": {"n": list(range(0, 100, 10))}})
    bed = running(
        jobs(VisibilityTimeout=60),
        BatchSize=10,
        MaximumBatchingWindowInSeconds=20,
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
    )
    queue = Queue(bed, "")
    queue.send({"n": n} for n in range(100))
    until(queue.is_empty, what="an empty queue")
    (batch,) = events(bed)
    assert sorted(json.loads(record["body"])["n"] for record in batch) == list(range(0, 100, 10))
    assert batch[0]["md5OfMessageAttributes"] is None, "P23: null where there is a window"
    until(lambda: bed.metric("router_mapping_records_deleted_total", mapping="Feed") == 100)


def test_p21_a_text_body_and_a_json_pattern_do_not_meet(running):
    pattern = json.dumps({"body": {"n": [{"exists": True}]}})
    bed = running(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    queue = Queue(bed, "")
    queue.ask("SendMessage", QueueUrl=queue.url, MessageBody="plain words")
    queue.send([{"n": 1}])
    until(queue.is_empty, what="an empty queue")
    assert bodies(bed) == [{"n": 1}]


def test_poison_goes_to_the_dead_letter_queue_by_its_policy(running):
    dead = jobs("Dead")
    policy = {"deadLetterTargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}, "maxReceiveCount": 2}
    bed = running(jobs(RedrivePolicy=policy, VisibilityTimeout=3), dead, hidden_s=3)
    found = bed.json_call("AmazonSQS.ListQueues").json["QueueUrls"]
    names = {url.rpartition("/")[2] for url in found}
    main = Queue(bed, next(name for name in names if "Jobs" in name))
    letters = Queue(bed, next(name for name in names if "Dead" in name))
    bed.ear.answer = lambda facts: json.dumps({"raise": "no"} if facts["what"] == "event" else {})
    main.send([{"n": 1}])
    until(lambda: letters.counts() == [1, 0, 0], what="a dead letter")
    assert len(events(bed)) == 2
    assert main.is_empty()


def test_8_3_maximum_concurrency_bounds_what_runs_and_what_is_received(running):
    bed = running(jobs(VisibilityTimeout=30), ScalingConfig={"MaximumConcurrency": 2}, BatchSize=1)
    queue = Queue(bed, "")
    running_now, most, both = set(), [0], threading.Event()

    def answer(facts):
        if facts["what"] == "event":
            running_now.add(facts["call"])
            most[0] = max(most[0], len(running_now))
            if len(running_now) > 1:
                both.set()
            both.wait(10)  # for the other environment
            time.sleep(0.2)
        else:
            running_now.discard(facts["call"])
        return "{}"

    bed.ear.answer = answer
    queue.send({"n": n} for n in range(12))
    until(lambda: len(events(bed)) >= 4)
    assert queue.counts()[1] <= 2 + 2, "no more are hidden than can be run, and those being deleted"
    until(queue.is_empty, what="an empty queue")
    assert most == [2]
    assert Counter(body["n"] for body in bodies(bed)) == dict.fromkeys(range(12), 1)


def test_a_queue_event_of_sam(bed):
    """What AWS's own translator makes of `Events` with Type SQS runs."""
    bed.write(SAM + jobs())
    bed.code(SEEING)
    bed.ear.answer = lambda _facts: "{}"
    bed.start()
    queue = Queue(bed, "")
    queue.send({"n": n} for n in range(10))
    until(queue.is_empty, what="an empty queue")
    assert {body["n"] for body in bodies(bed)} == set(range(10))
    assert max(map(len, events(bed))) <= 3


def test_disabled_enabled_and_deleted(running):
    """P29: what came meanwhile is read after; a mapping that is deleted reads nothing."""
    bed = running()
    path = "/2015-03-31/event-source-mappings/"
    uuid = bed.told("mappings", "list")[0]["UUID"]
    queue = Queue(bed, "")
    bed.rest("PUT", path + uuid, {"Enabled": False})
    until(lambda: bed.rest("GET", path + uuid).json["State"] == "Disabled")
    queue.send([{"n": 1}])
    time.sleep(0.5)
    assert events(bed) == []
    bed.rest("PUT", path + uuid, {"Enabled": True})
    until(queue.is_empty, what="an empty queue")
    assert bodies(bed) == [{"n": 1}]
    bed.rest("DELETE", path + uuid)
    until(lambda: bed.rest("GET", path + uuid).status == 404)
    queue.send([{"n": 2}])
    time.sleep(0.5)
    assert bodies(bed) == [{"n": 1}]
