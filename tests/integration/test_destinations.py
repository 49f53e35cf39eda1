"""What mappings give up on reaches every kind of destination, whatever dies or is away (D7, L4)."""

import json
import time
from uuid import uuid4

import boto3
import pytest

from tests.integration.bed import TELLING, function, mapping, queue, template, until, webhook
from tests.servers.base import running
from tests.servers.moto import ACCOUNT, Moto

REGION = "us-east-1"
TOLD = (
    TELLING.partition("def handler")[0]
    + """
def handler(event, context):
    if tell(what="told", event=event, id=context.aws_request_id) == "fail":
        raise ValueError("told to fail")
"""
)
FIFO = "    Properties: {FifoQueue: true, ContentBasedDeduplication: true}\n"
"""Behind a queue of a template."""

CHECK_S = 90.0
"""Longest wait for a delivery that failed a few times before."""


def on_failure(destination):
    return {
        "MaximumRetryAttempts": 0,
        "BatchSize": 1,
        "DestinationConfig": {"OnFailure": {"Destination": destination}},
    }


def hooked(name, destination):
    """A webhook of its own and a mapping that sends what it gives up to a destination."""
    hook = f"Hook{name}"
    return webhook(hook, f"/{name.lower()}") + mapping(
        name, hook, "Worker", **on_failure(destination)
    )


class Cloud:
    """What is at AWS: a bucket and a topic that a queue listens to."""

    def __init__(self, server):
        self.server = server
        self.bucket, self.topic_name = f"b-{uuid4()}", f"t-{uuid4()}"
        self.bucket_arn = f"arn:aws:s3:::{self.bucket}"
        self.topic_arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{self.topic_name}"

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.server.url, region_name=REGION,
            aws_access_key_id="AKIATEST", aws_secret_access_key="secret",
        )  # fmt: skip

    def make(self):
        self.client("s3").create_bucket(Bucket=self.bucket)
        sns, sqs = self.client("sns"), self.client("sqs")
        sns.create_topic(Name=self.topic_name)
        self.url = sqs.create_queue(QueueName=f"q-{uuid4()}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self.topic_arn, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"]
        )
        return self

    def environment(self):
        return {
            "AWS_ENDPOINT_URL_S3": self.server.url,
            "AWS_ENDPOINT_URL_SNS": self.server.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": "/nonexistent",
        }

    def objects(self):
        s3 = self.client("s3")
        keys = [it["Key"] for it in s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())]
        return {
            key: json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            for key in keys
        }

    def notifications(self):
        """Every message of the topic so far; they stay in the queue."""
        sqs, found = self.client("sqs"), {}
        while True:
            answer = sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=5
            )
            if not (messages := answer.get("Messages")):
                break
            for message in messages:
                found[message["MessageId"]] = json.loads(json.loads(message["Body"])["Message"])
        sqs_all = getattr(self, "_seen", {}) | found
        self._seen = sqs_all
        return list(sqs_all.values())


def waiting_in_queue(bed):
    """Messages in the only queue of the router."""
    (url,) = bed.json_call("AmazonSQS.ListQueues").json["QueueUrls"]
    asked = ["ApproximateNumberOfMessages"]
    answer = bed.json_call("AmazonSQS.GetQueueAttributes", QueueUrl=url, AttributeNames=asked)
    return int(answer.json["Attributes"]["ApproximateNumberOfMessages"])


def numbers(documents):
    """The sequence number each document is about."""
    return sorted(int(it["RouterWebhookBatchInfo"]["startSequenceNumber"]) for it in documents)


def test_d7_p17_every_kind_gets_what_a_mapping_gives_up(bed, moto):
    cloud = Cloud(moto).make()
    bed.write(
        template(
            function(), function("Told", handler="told.handler"), queue(), queue("Ordered"), FIFO,
            hooked("Bucket", cloud.bucket_arn), hooked("Topic", cloud.topic_arn),
            hooked("Told1", {"Fn::GetAtt": ["Told", "Arn"]}),
            hooked("Queue1", {"Fn::GetAtt": ["Failed", "Arn"]}),
            hooked("Fifo1", {"Fn::GetAtt": ["Ordered", "Arn"]}),
        )
    )  # fmt: skip
    bed.code()
    bed.code(TOLD, name="told.py")
    bed.environment |= cloud.environment()
    bed.start()
    names = ("Bucket", "Topic", "Told1", "Queue1", "Fifo1")
    uuids = {row["Name"]: row["UUID"] for row in bed.told("mappings", "list")}
    for name in names:
        for n in range(3):
            assert bed.post("k", n, f"/{name.lower()}", poison=True).status == 202

    objects = until(lambda: len(found := cloud.objects()) == 3 and found, what="three objects")
    for key, document in objects.items():
        assert key.startswith(f"aws/lambda/{uuids['Bucket']}/shardId-000000000000/20")
        stamp = document["timestamp"]
        day = stamp[:10].replace("-", "/")
        assert f"/{day}/{stamp[:19].replace(':', '.')}-" in key
        (record,) = json.loads(document["payload"])["Records"]
        assert json.loads(record["body"])["poison"] is True
        info = document["RouterWebhookBatchInfo"]
        assert record["sequenceNumber"] == info["startSequenceNumber"]
        assert record["eventSourceARN"] == info["streamArn"]
    notes = until(lambda: len(found := cloud.notifications()) == 3 and found, what="messages")
    told = until(
        lambda: len(found := [it for it in bed.ear.heard if it["what"] == "told"]) == 3 and found,
        what="a function that was told",
    )
    documents = [*objects.values(), *notes, *(it["event"] for it in told)]
    assert numbers(documents) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    for document in documents:
        document.pop("payload", None)
        assert list(document) == [
            "requestContext", "responseContext", "version", "timestamp", "RouterWebhookBatchInfo",
        ]  # fmt: skip
        assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert document["requestContext"]["approximateInvokeCount"] == 1
    for mapped in names:
        until(
            lambda: (
                bed.metric("router_mapping_records_destination_delivered_total", mapping=mapped)  # noqa: B023
                == 3
            ),
            what=f"three records of {mapped} counted",
        )
    urls = bed.json_call("AmazonSQS.ListQueues").json["QueueUrls"]
    for url in urls:
        answer = bed.json_call(
            "AmazonSQS.ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
        )  # fmt: skip
        found = answer.json["Messages"]
        assert numbers(json.loads(message["Body"]) for message in found) == [1, 2, 3]
        if url.endswith(".fifo"):
            groups = {message["Attributes"]["MessageGroupId"] for message in found}
            assert groups == {f"{uuids['Fifo1']}:shardId-000000000000"}
    assert len(urls) == 2
    assert bed.stop() == 0


def test_l4_a_destination_that_is_away_holds_up_no_mapping_and_comes_back(bed, tmp_path):
    folder = tmp_path.with_name("cloud")
    folder.mkdir()
    with running(Moto, folder) as server:
        cloud = Cloud(server)
        server.kill()
        bed.write(
            template(
                function(), queue(), hooked("Bucket", cloud.bucket_arn),
                hooked("Queue1", {"Fn::GetAtt": ["Failed", "Arn"]}),
            )
        )  # fmt: skip
        bed.code()
        bed.environment |= cloud.environment()
        bed.start()
        uuids = {row["Name"]: row["UUID"] for row in bed.told("mappings", "list")}
        for n in range(6):
            for path in ("/bucket", "/queue1"):
                bed.post("k", n, path, poison=n % 2 == 0)
        until(lambda: len(bed.ear.handled()) == 6, what="the others handled")
        until(lambda: bed.metric("router_outbox_rows", kind="s3") == 3, what="objects that wait")
        until(lambda: waiting_in_queue(bed) == 3, what="messages in the queue")
        failures = "router_mapping_destination_delivery_failures_total"
        until(
            lambda: bed.metric(failures, mapping="Bucket", reason="unreachable") >= 3,
            what="a failure with its reason",
        )
        until(lambda: bed.metric("router_outbox_oldest_age_seconds", kind="s3") > 0)
        found = bed.rest("GET", f"/2015-03-31/event-source-mappings/{uuids['Bucket']}").json
        assert "estination" not in found["LastProcessingResult"]
        lines = {it["check"]: it for it in json.loads(bed.cli("doctor", "--json").stdout)}
        line = lines[f"destination {cloud.bucket_arn}"]
        assert not line["ok"]
        assert line["text"].startswith("unreachable: EndpointConnectionError")
        assert "3 on-failure records wait" in line["text"]

        server.start()
        cloud.make()
        assert numbers(
            until(lambda: len(found := cloud.objects()) == 3 and found, CHECK_S, "objects").values()
        ) == [1, 3, 5]
        until(lambda: bed.metric("router_outbox_rows") == 0, what="an empty outbox")
        lines = {it["check"]: it for it in json.loads(bed.cli("doctor", "--json").stdout)}
        assert f"destination {cloud.bucket_arn}" not in lines
        assert bed.stop() == 0


@pytest.mark.crash
@pytest.mark.parametrize(
    "point", ["before_discard", "after_discard", "before_delivery", "after_delivery:2"]
)
def test_k2_d7_the_router_dies_on_the_way_to_a_destination(bed, moto, point):
    cloud = Cloud(moto).make()
    bed.write(
        template(
            function(), hooked("Bucket", cloud.bucket_arn), hooked("Topic", cloud.topic_arn)
        )
    )  # fmt: skip
    bed.code()
    bed.environment |= cloud.environment() | {"ROUTER_CHAOS": point}
    bed.start()
    accepted = []
    try:
        for n in range(4):
            for path in ("/bucket", "/topic"):
                if bed.post("k", n, path, poison=True).status == 202:
                    accepted.append((path, n))
    except OSError:
        pass
    assert bed.wait() == -9
    del bed.environment["ROUTER_CHAOS"]
    bed.start()
    for n in range(4):
        for path in ("/bucket", "/topic"):
            if (path, n) not in accepted:
                bed.post("k", n, path, poison=True)
    until(lambda: set(numbers(cloud.objects().values())) >= {1, 2, 3, 4}, CHECK_S, "objects")
    until(lambda: set(numbers(cloud.notifications())) >= {1, 2, 3, 4}, CHECK_S, "messages")
    time.sleep(0.2)
    told = numbers(cloud.objects().values())
    # A request that the kill cut off may have been kept, and is posted again.
    assert len(told) == len(set(told)), "delivered again, it is the same object"
    until(lambda: bed.metric("router_outbox_rows") == 0, what="an empty outbox")
    assert bed.stop() == 0


def test_a_function_that_fails_is_told_again_as_its_own_settings_say(bed):
    """The record is an event of it: its retries, and its dead-letter queue at the end."""
    letters = '      DeadLetterConfig: {TargetArn: {"Fn::GetAtt": [Failed, Arn]}}\n'
    told = function("Told", handler="told.handler")
    bed.write(
        template(
            function(), queue(), told.replace("    Properties:\n", "    Properties:\n" + letters),
            hooked("Told1", {"Fn::GetAtt": ["Told", "Arn"]}),
        )
    )  # fmt: skip
    bed.environment["ROUTER_ASYNC_FIRST_WAIT_MS"] = bed.environment[
        "ROUTER_ASYNC_SECOND_WAIT_MS"
    ] = "50"
    bed.code()
    bed.code(TOLD, name="told.py")
    bed.ear.answer = lambda facts: "fail" if facts["what"] == "told" else "ok"
    bed.start()
    bed.post("k", 0, "/told1", poison=True)
    told = until(
        lambda: len(found := [it for it in bed.ear.heard if it["what"] == "told"]) == 3 and found,
        what="two retries",
    )
    assert told[0]["event"] == told[1]["event"] == told[2]["event"]
    assert len({it["id"] for it in told}) == 1, "one request id for all of them"
    until(lambda: bed.metric("router_outbox_rows") == 0, what="an empty outbox")
    assert bed.metric("router_mapping_records_destination_delivered_total", mapping="Told1") == 1
    until(lambda: waiting_in_queue(bed) == 1, what="a dead letter")
    (url,) = bed.json_call("AmazonSQS.ListQueues").json["QueueUrls"]
    (letter,) = bed.json_call("AmazonSQS.ReceiveMessage", QueueUrl=url).json["Messages"]
    assert json.loads(letter["Body"]) == told[0]["event"]
    assert bed.stop() == 0
