"""What AWS does with batches of a queue (P7 to P31 as far as they are of SQS).

On embedded queues and on those of a real server. One router for each: a test has a queue and a
mapping of its own.
"""

import json
import time

import pytest

from tests.integration.bed import FUNCTION, Bed, Ear, until
from tests.integration.queue_bed import ESM, Side
from tests.integration.replies import REPLIES

pytestmark = pytest.mark.xdist_group("queue-rules")

REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
HIDDEN_S = 5


@pytest.fixture(scope="module", params=["embedded", "elasticmq"])
def side(request, tmp_path_factory):
    """A side whose ear asks `answers[queue ARN]` what to do with a batch; others succeed."""
    server = request.getfixturevalue("elasticmq") if request.param == "elasticmq" else None
    ear = Ear()
    bed = Bed(tmp_path_factory.mktemp("rules"), ear)
    gone = FUNCTION.format(name="Gone", code="code", handler="app.handler", timeout=2)
    side = Side(bed, server, more=gone, timeout=HIDDEN_S)
    side.answers = {}

    def answer(facts):
        if facts["what"] != "event":
            return "{}"
        records = facts["event"]["Records"]
        reply = side.answers.get(records[0]["eventSourceARN"], lambda _: {})
        return json.dumps(reply(records))

    ear.answer = answer
    yield side
    bed.close()
    ear.close()


class Feed:
    """A queue and a mapping of it."""

    def __init__(self, side, hidden_s=HIDDEN_S):
        self.side = side
        self.queue = side.create(f"rules-{time.monotonic_ns()}", VisibilityTimeout=hidden_s)
        self.uuid = ""

    def answers(self, answer):
        self.side.answers[self.queue.arn] = answer

    def map(self, **settings):
        self.uuid = self.side.map(self.queue, **settings)["UUID"]

    def heard(self):
        """When, and the records of each invocation so far."""
        return [
            (facts["at"], facts["event"]["Records"])
            for facts in list(self.side.bed.ear.heard)
            if facts["what"] == "event"
            and facts["event"]["Records"][0]["eventSourceARN"] == self.queue.arn
        ]

    def batches(self):
        """Numbers of each invocation, in order."""
        return [sorted(number_of(it) for it in records) for _, records in self.heard()]


def number_of(record):
    return json.loads(record["body"])["n"]


@pytest.fixture
def feed(side):
    """Makes feeds; their mappings end with the test."""
    made = []

    def make(**more):
        made.append(Feed(side, **more))
        return made[-1]

    yield make
    for it in made:
        side.bed.rest("DELETE", ESM + it.uuid)


def criteria(pattern):
    return {"FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]}}


def test_p7_the_mapping_of_a_deleted_function_stays_enabled_and_uses_up_no_receives(side, feed):
    it = feed()
    gone = side.function("Gone")
    it.map(FunctionName=gone)
    assert side.bed.rest("DELETE", f"/2015-03-31/functions/{gone}").status == 204
    it.queue.send([{"n": 0}])  # goes to the receive that was under way
    time.sleep(HIDDEN_S + 1)
    it.queue.send([{"n": 1}])
    time.sleep(HIDDEN_S + 1)
    assert side.bed.rest("GET", ESM + it.uuid).json["State"] == "Enabled"
    reply = side.ask(
        "ReceiveMessage", QueueUrl=it.queue.url, AttributeNames=["All"], MaxNumberOfMessages=10
    )
    found = {json.loads(it["Body"])["n"]: it["Attributes"] for it in reply["Messages"]}
    assert found[1]["ApproximateReceiveCount"] == "1"
    assert found[0]["ApproximateReceiveCount"] in {"1", "2"}


@pytest.mark.parametrize(
    ("reply", "is_success"),
    [
        *REPLIES,
        ({"batchItemFailures": [{"itemIdentifier": "nobody"}]}, False),
    ],
)
def test_p12_p25_replies_that_say_nothing_failed_and_those_that_fail_everything(
    feed, reply, is_success
):
    """And what failed comes back when it is no longer hidden, not before (P25)."""
    it = feed()
    it.answers(lambda records: {"return": reply} if counts(records) == {"1"} else {})
    it.map(**REPORTS)
    sent = time.monotonic()
    it.queue.send({"n": n} for n in range(3))
    it.queue.empties()
    seen = sorted(n for numbers in it.batches() for n in numbers)
    assert seen == sorted([0, 1, 2] * (1 if is_success else 2))
    for at, records in it.heard():
        assert at - sent >= (HIDDEN_S if counts(records) == {"2"} else 0)


def counts(records):
    return {record["attributes"]["ApproximateReceiveCount"] for record in records}


def test_p31_reports_nobody_asked_for_are_ignored(feed):
    it = feed()
    it.answers(
        lambda records: {
            "return": {"batchItemFailures": [{"itemIdentifier": records[0]["messageId"]}]}
        }
    )
    it.map()
    it.queue.send([{"n": 0}])
    it.queue.empties()
    time.sleep(HIDDEN_S + 0.5)
    assert it.batches() == [[0]]


def test_p20_p26_filters_come_before_batches_and_what_they_leave_out_is_deleted(feed):
    """100 messages, every tenth matching: one batch of 10, and an empty queue."""
    it = feed(hidden_s=300)
    tens = criteria({"body": {"n": list(range(0, 100, 10))}})
    it.map(BatchSize=10, MaximumBatchingWindowInSeconds=20, **tens)
    it.queue.send({"n": n} for n in range(100))
    it.queue.empties()
    assert it.batches() == [list(range(0, 100, 10))]
    assert {record.get("md5OfMessageAttributes", "absent") for record in it.heard()[0][1]} == {
        None
    }, "P23: null where there is a window"


def test_p21_p22_p23_texts_do_not_pass_patterns_of_json_and_objects_do_not_exist(feed):
    it = feed()
    it.map(**criteria({"body": {"o": [{"exists": False}]}}))
    it.side.ask("SendMessage", QueueUrl=it.queue.url, MessageBody="plain words")
    it.queue.send([{"n": 1}, {"n": 2, "o": {"deep": 1}}, {"n": 3, "o": 1}])
    it.queue.empties()
    assert sorted(n for numbers in it.batches() for n in numbers) == [1, 2]
    for _, records in it.heard():
        for record in records:
            assert "md5OfMessageAttributes" not in record, "P23: absent without a window"


def test_p27_batches_are_cut_where_an_event_would_be_too_large(feed):
    it = feed(hidden_s=300)
    for n in range(9):
        body = json.dumps({"n": n, "fill": "x" * 1_000_000})
        it.side.ask("SendMessage", QueueUrl=it.queue.url, MessageBody=body)
    it.map(BatchSize=20, MaximumBatchingWindowInSeconds=3)
    it.queue.empties()
    assert sorted(n for numbers in it.batches() for n in numbers) == list(range(9))
    # Six of a megabyte fit 6 MiB, and the seventh does not.
    assert max(len(numbers) for numbers in it.batches()) <= 6
    for _, records in it.heard():
        size = len(json.dumps({"Records": records}, separators=(",", ":")))
        assert size <= 6_291_456


def test_p29_disabled_and_enabled(feed):
    it = feed()
    it.map()
    it.queue.send([{"n": 0}])
    it.queue.empties()
    path = ESM + it.uuid
    it.side.bed.rest("PUT", path, {"Enabled": False})
    until(lambda: it.side.bed.rest("GET", path).json["State"] == "Disabled")
    it.queue.send([{"n": 1}])
    time.sleep(0.5)
    assert it.batches() == [[0]]
    it.side.bed.rest("PUT", path, {"Enabled": True})
    it.queue.empties()
    assert it.batches() == [[0], [1]]
