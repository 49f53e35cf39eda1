"""What AWS does with batches of a topic, on a real broker (P7 to P31 as far as they are of Kafka).

One router for all: each test has a topic, a mapping and, where something is given up, a queue of
its own.
"""

import base64
import json
import time

import pytest

from tests.integration.bed import Bed, Ear, function, template, until
from tests.integration.kafka_bed import OPEN, Topic
from tests.integration.queue_bed import ACCOUNT, ESM, SEEING
from tests.integration.replies import REPLIES

pytestmark = pytest.mark.xdist_group("kafka-rules")

PROVISIONED = {"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 1}}
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"], **PROVISIONED}


@pytest.fixture(scope="module")
def router(tmp_path_factory):
    """A bed whose ear asks `answers[topic]` what to do with a batch; unknown topics succeed."""
    ear = Ear()
    bed = Bed(tmp_path_factory.mktemp("rules"), ear)
    bed.answers = {}
    bed.environment["ROUTER_KAFKA_LOOK_S"] = "1"
    bed.write(template(function(timeout=20)))
    bed.code(SEEING)

    def answer(facts):
        if facts["what"] != "event":
            return "{}"
        (name,) = facts["event"]["records"]
        return json.dumps(bed.answers.get(name.rpartition("-")[0], lambda _: {})(facts["event"]))

    ear.answer = answer
    bed.start()
    yield bed
    bed.close()
    ear.close()


class Feed:
    """A topic, what is in it, and a mapping of it."""

    def __init__(self, router, kafka, count=0, poison=(), partitions=1, **config):
        self.bed = router
        self.topic = Topic(kafka.bootstrap, partitions, **config)
        self.servers = kafka.bootstrap
        self.poison = set(poison)
        self.uuid = self.queue = ""
        if count:
            self.topic.produce(("k", {"n": n}) for n in range(count))

    def answers(self, answer):
        """`answer(numbers, event)` says what the function does with a batch."""
        self.bed.answers[self.topic.name] = lambda event: answer(numbers_of(event), event)

    def raises_on_poison(self, numbers, _event):
        return {"raise": "poison"} if self.poison & set(numbers) else {}

    def reports_poison(self, numbers, event):
        records = records_of(event)
        failed = [
            {"partition": f"{it['topic']}-{it['partition']}", "offset": it["offset"]}
            for n, it in zip(numbers, records, strict=True)
            if n in self.poison
        ]
        return {"return": {"batchItemFailures": [{"itemIdentifier": it} for it in failed]}}

    def map(self, is_told=False, **settings):
        """Make the mapping; `is_told`: with a queue for what it gives up."""
        found = self.bed.rest("GET", "/2015-03-31/functions/").json["Functions"]
        asked = {
            "FunctionName": found[0]["FunctionName"],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self.servers]}},
            "Topics": [self.topic.name],
            "SourceAccessConfigurations": OPEN,
            **settings,
        }
        if is_told:
            made = self.bed.json_call("AmazonSQS.CreateQueue", QueueName=self.topic.name)
            self.queue = made.json["QueueUrl"]
            arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.topic.name}"
            asked["DestinationConfig"] = {"OnFailure": {"Destination": arn}}
        reply = self.bed.rest("POST", ESM, asked)
        assert reply.status == 202, reply.body
        self.uuid = reply.json["UUID"]
        return self

    def batches(self):
        """Numbers of each invocation so far."""
        heard = [it["event"] for it in list(self.bed.ear.heard) if it["what"] == "event"]
        return [numbers_of(it) for it in heard if f"{self.topic.name}-0" in it["records"]]

    def passes(self, offset, wait_s=60):
        """Wait for a commit of that offset."""
        until(
            lambda: self.topic.committed(self.uuid).get(0, (0, ""))[0] == offset,
            wait_s=wait_s,
            what=f"a commit of {offset}, not {self.topic.committed(self.uuid)}",
        )

    def told(self, count=1):
        """The documents of what was given up, in order."""
        found = []

        def receive():
            reply = self.bed.json_call(
                "AmazonSQS.ReceiveMessage", QueueUrl=self.queue, MaxNumberOfMessages=10
            )
            found.extend(json.loads(it["Body"]) for it in reply.json.get("Messages", []))
            return len(found) >= count

        until(receive, what=f"{count} records of failure")
        assert len(found) == count
        return found

    def status(self):
        return self.bed.rest("GET", ESM + self.uuid).json

    def update(self, **settings):
        reply = self.bed.rest("PUT", ESM + self.uuid, settings)
        assert reply.status == 202, reply.body

    def until_state(self, state):
        until(lambda: self.status()["State"] == state, what=state)


def records_of(event):
    return [record for records in event["records"].values() for record in records]


def numbers_of(event):
    """`n` of each record; of one whose value is no JSON its bytes."""
    return [number_of(base64.b64decode(record["value"])) for record in records_of(event)]


def number_of(value):
    try:
        return json.loads(value)["n"]
    except ValueError:
        return value


@pytest.fixture
def feed(router, kafka):
    """Makes feeds; their mappings end with the test."""
    made = []

    def make(*args, **more):
        made.append(Feed(router, kafka, *args, **more))
        return made[-1]

    yield make
    for it in made:
        if it.uuid and it.status().get("UUID"):
            router.rest("DELETE", ESM + it.uuid)


def test_p8_two_retries_are_three_invocations(feed):
    it = feed(2, poison=[1])
    it.answers(it.raises_on_poison)
    it.map(is_told=True, MaximumRetryAttempts=2, **PROVISIONED)
    it.passes(2)
    (document,) = it.told()
    assert it.batches() == [[0, 1]] * 3
    assert document["requestContext"]["approximateInvokeCount"] == 3
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["KafkaBatchInfo"]["batchSize"] == 2


def test_p9_p11_a_partial_success_begins_the_count_anew(feed):
    """Poison last of three, three retries: delivered five times, the last batch counts four."""
    it = feed(3, poison=[2])
    it.answers(it.reports_poison)
    it.map(is_told=True, BatchSize=3, MaximumRetryAttempts=3, **REPORTS)
    it.passes(3)
    (document,) = it.told()
    assert it.batches() == [[0, 1, 2]] + [[2]] * 4
    assert document["requestContext"]["approximateInvokeCount"] == 4
    assert document["KafkaBatchInfo"]["batchSize"] == 1
    assert document["responseContext"]["functionError"] is None


def test_p10_what_is_too_old_is_given_up_and_what_is_fresh_delivered(feed):
    """A record that was never sent counts one invocation, and there is no response to tell of."""
    it = feed(**{"retention.ms": "-1"})
    old_ms = int(time.time() * 1000) - 120_000
    it.topic.produce([("k", {"n": 0})], timestamp_ms=old_ms)
    it.topic.produce([("k", {"n": 1})])
    it.map(is_told=True, MaximumRecordAgeInSeconds=60, **PROVISIONED)
    it.passes(2)
    (document,) = it.told()
    assert it.batches() == [[1]]
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 1
    assert "responseContext" not in document
    (place,) = document["KafkaBatchInfo"]["recordsInfo"].values()
    assert (place["firstRecordOffset"], place["lastRecordOffset"]) == ("0", "0")


@pytest.mark.parametrize(
    ("reply", "is_success"),
    [
        *REPLIES,
        ({"batchItemFailures": [{"itemIdentifier": {"partition": "x-0", "offset": 0}}]}, False),
    ],
)
def test_p12_replies_that_say_nothing_failed_and_those_that_fail_everything(
    feed, reply, is_success
):
    it = feed(2)
    it.answers(lambda _numbers, _event: {"return": reply})
    it.map(BatchSize=2, MaximumRetryAttempts=1, **REPORTS)
    it.passes(2)
    assert it.batches() == [[0, 1]] * (1 if is_success else 2)


def test_p14_p15_a_function_error_is_halved_with_and_without_reports(feed):
    """Sizes 4, 2, 1, 1, 2 for poison at the second place; also where reports are on."""
    for settings in (PROVISIONED, REPORTS):
        it = feed(4, poison=[1])
        it.answers(it.raises_on_poison)
        it.map(BatchSize=4, MaximumRetryAttempts=0, BisectBatchOnFunctionError=True, **settings)
        it.passes(4)
        assert it.batches() == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3]]


def test_p15_a_partial_response_is_not_halved(feed):
    it = feed(4, poison=[1])
    it.answers(it.reports_poison)
    it.map(BatchSize=4, MaximumRetryAttempts=0, BisectBatchOnFunctionError=True, **REPORTS)
    it.passes(4)
    assert it.batches() == [[0, 1, 2, 3], [1]]


def test_p18_without_a_limit_a_destination_is_told_after_ten_retries(feed):
    it = feed(1, poison=[0])
    it.answers(it.raises_on_poison)
    it.map(is_told=True, MaximumRetryAttempts=-1, **PROVISIONED)
    it.passes(1)
    assert it.batches() == [[0]] * 11
    (document,) = it.told()
    assert document["requestContext"]["approximateInvokeCount"] == 11


def criteria(pattern):
    return {"FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]}}


def test_p20_p26_filters_come_before_batches_and_what_they_leave_out_is_committed(feed):
    """100 records, every tenth matching: one batch of 10; then 20 that do not match: none."""
    it = feed(100)
    tens = criteria({"value": {"n": list(range(0, 100, 10))}})
    it.map(BatchSize=10, **{**tens, "MaximumBatchingWindowInSeconds": 20})
    it.passes(100)
    it.topic.produce(("k", {"n": n}) for n in range(100, 120))
    it.passes(120)
    assert it.batches() == [list(range(0, 100, 10))]


def test_p21_p22_plain_values_pass_patterns_of_json_and_objects_do_not_exist(feed):
    it = feed()
    it.topic.produce([
        ("k", b"plain words"), ("k", {"n": 1}), ("k", {"n": 2, "o": {"deep": 1}}),
        ("k", {"n": 3, "o": 1}),
    ])  # fmt: skip
    it.map(**criteria({"value": {"o": [{"exists": False}]}}))
    it.passes(4)
    assert it.batches() == [[b"plain words", 1, 2]]


def test_p23_bytes_of_headers_are_signed(feed):
    it = feed()
    it.topic.produce([("k", {"n": 0})], headers=[("trace", "é".encode()), ("trace", b"")])
    it.map()
    it.passes(1)
    (event,) = (
        facts["event"]
        for facts in it.bed.ear.heard
        if facts["what"] == "event" and f"{it.topic.name}-0" in facts["event"]["records"]
    )
    (record,) = records_of(event)
    assert record["headers"] == [{"trace": [-61, -87]}, {"trace": []}]
    assert event["eventSource"] == "SelfManagedKafka"


def test_p27_batches_are_cut_where_an_event_would_be_too_large(feed):
    it = feed(**{"max.message.bytes": "2000000"})
    it.topic.produce(("k", {"n": n, "fill": "x" * 900_000}) for n in range(11))
    it.map(BatchSize=100, MaximumBatchingWindowInSeconds=2)
    it.passes(11)
    sizes = [len(numbers) for numbers in it.batches()]
    assert [n for numbers in it.batches() for n in numbers] == list(range(11))
    # 900 KB are 1.2 MB in base64: five fit 6 MiB.
    assert max(sizes) == 5
    for facts in list(it.bed.ear.heard):
        assert len(json.dumps(facts.get("event", "")).replace(": ", ":")) <= 6_291_456


def test_p29_p19_disabled_deleted_and_made_again_in_the_same_group(feed):
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"g-{time.monotonic_ns()}"}}
    it = feed(3)
    it.map(**group)
    until(lambda: it.batches() == [[0, 1, 2]])
    it.update(Enabled=False)
    it.until_state("Disabled")
    it.topic.produce([("k", {"n": 3})])
    it.update(Enabled=True)
    until(lambda: it.batches()[1:] == [[3]], what="what came meanwhile")
    it.bed.rest("DELETE", ESM + it.uuid)
    until(lambda: it.bed.rest("GET", ESM + it.uuid).status == 404)
    it.topic.produce([("k", {"n": 4})])
    it.map(**group, StartingPosition="TRIM_HORIZON")
    until(lambda: it.batches()[2:] == [[4]], what="what came after the group's commit")


def test_p31_reports_nobody_asked_for_are_ignored(feed):
    it = feed(2, poison=[0])
    it.answers(it.reports_poison)
    it.map(BatchSize=2)
    it.passes(2)
    assert it.batches() == [[0, 1]]
