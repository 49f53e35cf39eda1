"""What boto3 makes and then watches: mappings of real servers, and what becomes of every record.

Long: 20,000 records each. One of a hundred is poison.
"""

import io
import json
import zipfile
from collections import Counter, defaultdict

import pytest

from tests.contract.support import Agent
from tests.integration.bed import Bed, Ear, until
from tests.integration.kafka_bed import OPEN, Topic
from tests.sizes import size, sized

RECORDS = size(1_000, 20_000)
KEYS = 50
POISON_EVERY = 100
RETRIES = 2
HIDDEN_S = size("2", "5")
WAITING_MAX = 1_000
"""More are not sent ahead of the function, and few receives wait at a time (`LIGHT`): while one
does, ElasticMQ sorts all messages of a FIFO queue and looks through all receives of the last
quarter of an hour, over and over. With 20,000 of both it answers some calls seconds late, and some
not at all, and each of those may be a receive that nobody knows of."""

LIGHT = {"ScalingConfig": {"MaximumConcurrency": 5}}
WAIT_S = size(90, 400)

CODE = '''"""Tells an ear what each call got, and reports the poison of it."""

import base64
import json
import os
import socket

HOST, PORT = os.environ["EAR"].rsplit(":", 1)
wire = socket.create_connection((HOST, int(PORT))).makefile("rwb")


def records(event):
    """Body, identifier and place of each."""
    if isinstance(event.get("records"), dict):
        for name, part in event["records"].items():
            for it in part:
                place = {"partition": name, "offset": it["offset"]}
                yield json.loads(base64.b64decode(it["value"])), place, it["offset"]
    else:
        for it in event["Records"]:
            yield json.loads(it["body"]), it["messageId"], it["messageId"]


def handler(event, context):
    seen, failures = [], []
    for body, identifier, place in records(event):
        seen.append([body["key"], body["n"], place])
        if body["poison"]:
            failures.append({"itemIdentifier": identifier})
    partition = next(iter(event.get("records", ())), "")
    wire.write(json.dumps({"what": "call", "partition": partition, "seen": seen}).encode() + b"\\n")
    wire.flush()
    wire.readline()
    return {"batchItemFailures": failures}
'''


def body_of(index):
    """Keys in turn, poison of all of them."""
    poison = index % POISON_EVERY == index // POISON_EVERY % POISON_EVERY
    return {"key": f"k{index % KEYS}", "n": index // KEYS, "poison": poison}


BODIES = [body_of(index) for index in range(RECORDS)]
POISON = {(body["key"], body["n"]) for body in BODIES if body["poison"]}


class Site:
    """A router, boto3 on it, and a function that tells."""

    def __init__(self, folder, elasticmq=None):
        self.ear = Ear()
        self.bed = Bed(folder, self.ear)
        self.ear.answer = lambda _: "ok"
        if elasticmq is not None:
            self.bed.environment |= {
                "ROUTER_SQS": "aws",
                "AWS_ENDPOINT_URL_SQS": elasticmq.url,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }
        self.bed.start(with_template=False)
        self.aws = Agent(self.bed.addresses["api"])
        self.queues = self.aws if elasticmq is None else Agent(elasticmq.url)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", CODE)
        self.aws(
            "lambda", "create_function", FunctionName="tells", Runtime="python3.11", Timeout=2,
            Role="arn:aws:iam::000000000000:role/any", Handler="app.handler",
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": {"EAR": self.ear.address}},
        )  # fmt: skip

    def close(self):
        self.aws.close()
        if self.queues is not self.aws:
            self.queues.close()
        self.bed.close()
        self.ear.close()

    def queue(self, name, **attributes):
        """URL and ARN of a new queue."""
        made = self.queues("sqs", "create_queue", QueueName=name, Attributes=attributes)
        url = made["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:000000000000:{name}"

    def map(self, **settings):
        """A mapping, once it is enabled."""
        made = self.aws(
            "lambda", "create_event_source_mapping", FunctionName="tells",
            FunctionResponseTypes=["ReportBatchItemFailures"], **settings,
        )  # fmt: skip
        self.until_state(made["UUID"], "Enabled")
        return made["UUID"]

    def until_state(self, name, state):
        def is_so():
            shown = self.aws("lambda", "get_event_source_mapping", UUID=name)
            return shown["State"] == state

        until(is_so, what=f"a mapping that is {state}")

    def take(self, url, count):
        """So many messages of a queue, each deleted; then it must be empty."""
        found = []
        until(
            lambda: found.extend(self.receive(url)) or len(found) >= count,
            wait_s=WAIT_S,
            what=f"{count} messages",
        )
        assert not self.receive(url), "a message too many"
        return found

    def receive(self, url):
        """Bodies of some messages, which are deleted."""
        answer = self.queues(
            "sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        found = answer.get("Messages", [])
        for message in found:
            handle = message["ReceiptHandle"]
            self.queues("sqs", "delete_message", QueueUrl=url, ReceiptHandle=handle)
        return [message["Body"] for message in found]

    def calls(self):
        return [facts for facts in list(self.ear.heard) if facts["what"] == "call"]

    def seen(self):
        """How many different records the function has had."""
        return len({(key, n) for call in self.calls() for key, n, _ in call["seen"]})

    def check_calls(self, times_of_poison):
        """All were seen, in the order of their keys; all but poison once, poison as given.

        `times_of_poison(first)`: how often, if the call that had it first had `first` records that
        were not.
        """
        seen = Counter()
        firsts = defaultdict(list)
        due = {}
        for call in self.calls():
            good = sum((key, n) not in POISON for key, n, _ in call["seen"])
            for key, n, _ in call["seen"]:
                if not seen[key, n]:
                    firsts[key].append(n)
                    due[key, n] = times_of_poison(good) if (key, n) in POISON else 1
                seen[key, n] += 1
        assert {name: list(range(RECORDS // KEYS)) for name in firsts} == firsts
        assert len(firsts) == KEYS
        assert {it: times for it, times in seen.items() if times != due[it]} == {}


@pytest.fixture
def site(tmp_path, request):
    """With the queues of `request.param`."""
    server = None
    if getattr(request, "param", "embedded") == "elasticmq":
        server = request.getfixturevalue("elasticmq")
    site = Site(tmp_path, server)
    yield site
    site.close()


@sized(240, 900)
def test_a_topic_with_poison_and_the_exact_records_of_failure(site, kafka):
    """D1, D5, D7, D9, P11, P18: what was given up is told of once, by its offsets."""
    topic = Topic(kafka.bootstrap, partitions=4)
    url, arn = site.queue("failed")
    name = site.map(
        SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [kafka.bootstrap]}},
        Topics=[topic.name],
        SourceAccessConfigurations=OPEN,
        ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 1},
        MaximumRetryAttempts=RETRIES,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    topic.produce((body["key"], body) for body in BODIES)

    def committed():
        return sum(at for at, _ in topic.committed(name).values())

    until(lambda: committed() == RECORDS, wait_s=WAIT_S, what="a commit of all")
    places = {
        (call["partition"], offset)
        for call in site.calls()
        for key, n, offset in call["seen"]
        if (key, n) in POISON
    }
    assert len(places) == len(POISON)
    told = 0
    while places:
        for text in site.receive(url):
            places -= told_of(json.loads(text), places)
            told += 1
    assert not site.receive(url), "something was told of twice"
    # What is left of a batch that is good but for its poison is a new one, with all its retries.
    site.check_calls(lambda first: 1 + RETRIES + (first > 0))
    until(lambda: site.bed.metric("router_mapping_records_committed_total") == RECORDS)
    print(f"{RECORDS} records, {len(POISON)} poison in {told} records of failure")


def told_of(document, places):
    """The places a record of failure is about, which nothing else was about."""
    assert document["version"] == "1.0"
    context = dict(document["requestContext"])
    assert context.pop("requestId")
    assert context == {
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:tells",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1 + RETRIES,
    }
    assert document["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }
    info = document["KafkaBatchInfo"]
    ((partition, place),) = info["recordsInfo"].items()
    first, last = int(place["firstRecordOffset"]), int(place["lastRecordOffset"])
    found = {it for it in places if it[0] == partition and first <= it[1] <= last}
    assert len(found) == info["batchSize"]
    assert {(partition, first), (partition, last)} <= found
    return found


@sized(240, 900)
@pytest.mark.parametrize("site", ["embedded", "elasticmq"], indirect=True)
def test_a_fifo_queue_with_poison_and_the_exact_dead_letters(site):
    """D1, D5, D9, P24, P25: every group in order, exactly the poison in the dead-letter queue."""
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    word = f"at-work-{id(site)}"
    dead, dead_arn = site.queue(f"dead-{word}.fifo", **fifo)
    policy = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1 + RETRIES}
    url, arn = site.queue(
        f"{word}.fifo", **fifo, VisibilityTimeout=HIDDEN_S, RedrivePolicy=json.dumps(policy)
    )
    site.map(EventSourceArn=arn, **({} if site.queues is site.aws else LIGHT))
    for start in range(0, RECORDS, 10):
        entries = [
            {"Id": str(n), "MessageBody": json.dumps(body), "MessageGroupId": body["key"]}
            for n, body in enumerate(BODIES[start : start + 10])
        ]
        answer = site.queues("sqs", "send_message_batch", QueueUrl=url, Entries=entries)
        assert not answer.get("Failed")
        if start % 500 == 0:
            until(lambda: start - site.seen() < WAITING_MAX, wait_s=WAIT_S, what="a shorter line")  # noqa: B023
    letters = [json.loads(text) for text in site.take(dead, len(POISON))]
    assert {(it["key"], it["n"]) for it in letters} == POISON
    assert len(letters) == len(POISON)

    def is_empty():
        found = site.queues(
            "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"]
        )["Attributes"]  # fmt: skip
        return not sum(int(found[it]) for it in found if it.startswith("ApproximateNumberOf"))

    until(is_empty, wait_s=WAIT_S, what="an empty queue")
    site.check_calls(lambda _first: 1 + RETRIES)
