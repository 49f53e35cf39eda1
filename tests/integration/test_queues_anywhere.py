"""The same mappings on embedded queues and on those of a real server (ElasticMQ)."""

import json
import signal
import time

import pytest

from tests.integration.bed import until
from tests.integration.queue_bed import ESM, Side, reports_poison, send_all
from tests.sizes import size, sized

MESSAGES = size(2_000, 20_000)
"""Of the tests with a kill."""

WAIT_S = 60 + MESSAGES / 50

REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}

TRIES = 4
"""Receives of a FIFO group that has poison. Some are in vain: those of the router that was killed,
and on a busy machine those that ElasticMQ answers when they are over, or not at all."""

LIGHT = size({}, {"ScalingConfig": {"MaximumConcurrency": 5}})
"""What ElasticMQ bears with 20,000 messages of a FIFO queue: few receives that wait."""


@pytest.fixture(params=["embedded", "elasticmq"])
def side(request, bed):
    server = request.getfixturevalue("elasticmq") if request.param == "elasticmq" else None
    return Side(bed, server)


@pytest.fixture
def name(request):
    """Of this test alone: the server is everybody's."""
    words = "".join(word if word.isalnum() else "-" for word in request.node.name)
    return f"{words[-40:]}-{time.monotonic_ns()}"


def with_letters(side, name, tries, **attributes):
    """A queue with a dead-letter queue."""
    fifo = ".fifo" if name.endswith(".fifo") else ""
    letters = side.create(f"dead-{name.removesuffix('.fifo')}{fifo}")
    policy = {"deadLetterTargetArn": letters.arn, "maxReceiveCount": tries}
    return side.create(name, RedrivePolicy=json.dumps(policy), **attributes), letters


def standard_messages(count):
    return [{"g": None, "n": n, **({"poison": 1} if n % 100 == 0 else {})} for n in range(count)]


def test_the_mapping_as_the_api_shows_it_and_an_event(side, name):
    queue = side.create(name, VisibilityTimeout=30)
    made = side.map(queue)
    assert "LastProcessingResult" not in made, "P2"
    assert made["StateTransitionReason"] == "USER_INITIATED"
    until(lambda: side.bed.rest("GET", ESM + made["UUID"]).json["State"] == "Enabled")
    attribute = {"DataType": "Number", "StringValue": "6"}
    side.ask("SendMessage", QueueUrl=queue.url, MessageBody='{"n": 1}',
             MessageAttributes={"weeks": attribute})  # fmt: skip
    queue.empties()
    ((record,),) = side.events()
    assert list(record) == [
        "messageId", "receiptHandle", "body", "attributes", "messageAttributes",
        "md5OfMessageAttributes", "md5OfBody", "eventSource", "eventSourceARN", "awsRegion",
    ]  # fmt: skip
    assert record["messageAttributes"]["weeks"] == {
        "stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number",
    }  # fmt: skip
    assert record["eventSourceARN"] == queue.arn


def test_a_missing_queue_is_refused_in_aws_words(side):
    asked = {"FunctionName": "x", "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:none"}
    functions = side.bed.rest("GET", "/2015-03-31/functions/").json["Functions"]
    asked["FunctionName"] = functions[0]["FunctionName"]
    reply = side.bed.rest("POST", ESM, asked)
    assert reply.status == 400
    assert "AWS.SimpleQueueService.NonExistentQueue" in reply.json["message"]


@sized(200, 900)
def test_messages_with_poison_and_a_kill_in_the_middle(side, name):
    """D1, D2, D9, D12, K1: all handled, exactly the poison in the dead-letter queue."""
    queue, letters = with_letters(side, name, 3, VisibilityTimeout=2)
    side.bed.ear.answer = reports_poison
    messages = standard_messages(MESSAGES)
    send_all(queue, [messages[start::4] for start in range(4)])
    side.map(queue, **REPORTS)
    until(lambda: len(side.seen()) >= 300)
    side.bed.signal(signal.SIGKILL)
    side.bed.wait()
    assert len(side.seen()) < MESSAGES, "it was killed at work"
    side.bed.start()
    queue.empties(wait_s=WAIT_S)
    seen = side.seen()
    assert set(seen) == {(None, n) for n in range(MESSAGES)}
    assert sorted(it["n"] for it in letters.take_all()) == list(range(0, MESSAGES, 100))
    good = sum(times - 1 for (_, n), times in seen.items() if n % 100)
    assert good <= 500, "what repeats was in flight"


@sized(200, 900)
def test_fifo_messages_of_20_groups_with_poison_and_a_kill(side, name):
    """D5, P24, K1: every group in order, through failures and a kill."""
    queue, letters = with_letters(side, f"{name}.fifo", TRIES, VisibilityTimeout=2)
    side.bed.ear.answer = reports_poison
    groups = [
        [
            {"g": f"g{group}", "n": n, **({"poison": 1} if group % 5 == 0 and n == 50 else {})}
            for n in range(MESSAGES // 20)
        ]
        for group in range(20)
    ]
    send_all(queue, groups)
    side.map(queue, **REPORTS, **(LIGHT if side.server else {}))
    until(lambda: len(side.seen()) >= 300)
    side.bed.signal(signal.SIGKILL)
    side.bed.wait()
    assert len(side.seen()) < MESSAGES, "it was killed at work"
    side.bed.start()
    queue.empties(wait_s=WAIT_S)
    for group, numbers in side.first_sights().items():
        assert numbers == sorted(numbers), group
    dead = {(body["g"], body["n"]) for body in letters.take_all()}
    assert dead >= {(f"g{it}", 50) for it in range(0, 20, 5)}
    unseen = {(body["g"], body["n"]) for group in groups for body in group} - set(side.seen())
    assert not unseen - dead, "lost"
    assert not unseen, "dead and never run"


def test_fifo_d6_a_group_is_with_one_call_at_a_time(side, name):
    queue = side.create(f"{name}.fifo", VisibilityTimeout=30)
    running, clashes = {}, []

    def answer(facts):
        if facts["what"] == "event":
            groups = {it["attributes"]["MessageGroupId"] for it in facts["event"]["Records"]}
            clashes.extend(it for it in running.values() if it & groups)
            running[facts["call"]] = groups
            time.sleep(0.02)
        else:
            running.pop(facts["call"], None)
        return "{}"

    side.bed.ear.answer = answer
    send_all(queue, [[{"g": f"g{group}", "n": n} for n in range(40)] for group in range(8)])
    side.map(queue, BatchSize=3)
    queue.empties()
    assert clashes == []
    assert set(side.events()[0][0]["attributes"]) == {
        "ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "MessageGroupId", "SenderId",
        "MessageDeduplicationId", "ApproximateFirstReceiveTimestamp",
    }  # fmt: skip
    assert all(numbers == list(range(40)) for numbers in side.first_sights().values())
    assert set(side.seen().values()) == {1}, "D12: nothing fails, nothing repeats"


def test_s1_a_stop_and_a_start_under_load_repeat_nothing(side, name):
    queue = side.create(name, VisibilityTimeout=30)
    send_all(queue, [[{"g": None, "n": n} for n in range(start, 600, 4)] for start in range(4)])
    side.map(queue)
    until(lambda: len(side.seen()) >= 50)
    assert side.bed.stop() == 0
    side.bed.start()
    queue.empties()
    seen = side.seen()
    assert set(seen) == {(None, n) for n in range(600)}
    assert set(seen.values()) == {1}
