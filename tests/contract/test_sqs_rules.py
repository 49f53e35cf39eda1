"""The rules of SQS on the router and on ElasticMQ, through boto3 (`bus-…md` 6, `servers.md` 4)."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.contract.sqs_sides import ELASTICMQ_DIFFERS, bodies, count_of
from tests.patience import PATIENCE_S


def test_attributes_and_their_checksums(side):
    url = side.queue()
    attributes = {
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        "s": {"DataType": "String.x", "StringValue": "abc"},
        "testAttr": {"DataType": "Number", "StringValue": "100"},
    }
    (sent,) = side.send(url, "hällo", MessageAttributes=attributes)
    assert sent["MD5OfMessageBody"] == hashlib.md5("hällo".encode()).hexdigest()
    assert sent["MD5OfMessageAttributes"] == "d38580c7fe7c9a7f9b6cefed9d7f3c8d"
    (got,) = side.receive(url, MessageAttributeNames=["All"])
    assert got["MessageAttributes"] == attributes
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert got["MessageId"] == sent["MessageId"]


def test_a_trace_header_is_a_system_attribute(side):
    url = side.queue()
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe"}}
    side.send(url, "m", MessageSystemAttributes=trace)
    (got,) = side.receive(url)
    assert got["Attributes"]["AWSTraceHeader"] == "Root=1-5759e988-bd862e3fe"


def test_a_message_comes_back_after_its_timeout_and_counts(side):
    url = side.queue(VisibilityTimeout="1")
    side.send(url, "m")
    began = time.monotonic()
    (first,) = side.receive(url)
    early = side.receive(url)
    assert early == [] or time.monotonic() - began >= 1
    (second,) = early or side.receive_until(url)
    assert (count_of(first), count_of(second)) == (1, 2)
    assert first["ReceiptHandle"] != second["ReceiptHandle"]


def test_visibility_is_changed_one_by_one_and_in_batches(side):
    url = side.queue()
    side.send(url, "m", "n")
    messages = side.receive(url) + side.receive(url)
    side.hide(url, messages[0], 0)
    assert bodies(side.receive(url)) == [messages[0]["Body"]]
    entries = [
        {"Id": "a", "ReceiptHandle": messages[1]["ReceiptHandle"], "VisibilityTimeout": 0},
    ]
    done = side("change_message_visibility_batch", QueueUrl=url, Entries=entries)
    assert done["Successful"] == [{"Id": "a"}]
    assert bodies(side.receive(url)) == [messages[1]["Body"]]


def test_a_long_poll_ends_when_a_delayed_message_comes(side):
    url = side.queue(DelaySeconds="1")
    sent = time.monotonic()
    side.send(url, "m")
    early = side.receive(url)
    assert early == [] or time.monotonic() - sent >= 1
    started = time.monotonic()
    assert bodies(early or side.receive_until(url)) == ["m"]
    assert time.monotonic() - started < 9.5, "the whole wait"


def test_deleting_twice_and_with_an_older_handle(side):
    url = side.queue(VisibilityTimeout="0")
    side.send(url, "m")
    (first,) = side.receive(url)
    (second,) = side.receive(url, VisibilityTimeout=30)
    if side.follows_aws("delete with an older handle"):
        side.delete(url, first)
    else:
        handle = first["ReceiptHandle"]
        error = side.refusal("delete_message", QueueUrl=url, ReceiptHandle=handle)
        assert error.name == "ReceiptHandleIsInvalid"
        side.delete(url, second)
    if side.follows_aws("delete twice"):
        side.delete(url, second)
    else:
        handle = second["ReceiptHandle"]
        error = side.refusal("delete_message", QueueUrl=url, ReceiptHandle=handle)
        assert error.name == "ReceiptHandleIsInvalid"
    code = "ReceiptHandleIsInvalid"
    if side.follows_aws("visibility of a deleted message"):
        code = "InvalidParameterValue"
    error = side.refusal(
        "change_message_visibility",
        QueueUrl=url,
        ReceiptHandle=second["ReceiptHandle"],
        VisibilityTimeout=5,
    )
    assert error.code == code


def test_a_message_received_too_often_is_found_in_the_dead_letter_queue(side):
    dead = side.queue()
    url = side.queue(RedrivePolicy=side.redrive(dead, 1), VisibilityTimeout="0")
    (sent,) = side.send(url, "poison")
    assert bodies(side.receive(url)) == ["poison"]
    assert side.receive(url) == []
    (got,) = side.receive(dead)
    assert (got["MessageId"], got["Body"]) == (sent["MessageId"], "poison")
    assert got["Attributes"]["DeadLetterQueueSourceArn"] == side.arn(url)
    assert count_of(got) == 2
    sources = side("list_dead_letter_source_queues", QueueUrl=dead)
    assert sources["queueUrls"] == [url]


def test_a_dead_letter_queue_is_of_the_same_type(side):
    policy = side.redrive(side.queue(fifo=True), 1)
    params = {"QueueName": "wrong-type", "Attributes": {"RedrivePolicy": policy}}
    if side.follows_aws("type of a dead-letter queue"):
        assert side.refusal("create_queue", **params).code == "InvalidParameterValue"
    else:
        assert side("create_queue", **params)["QueueUrl"]


def wait_for_tasks(side, arn):
    until = time.monotonic() + PATIENCE_S
    while True:
        (task,) = side("list_message_move_tasks", SourceArn=arn)["Results"]
        if task["Status"] != "RUNNING" or time.monotonic() > until:
            return task
        time.sleep(0.05)


def test_a_move_task_brings_messages_back(side):
    dead = side.queue()
    url = side.queue(RedrivePolicy=side.redrive(dead, 1), VisibilityTimeout="0")
    sent = side.send(url, "a", "b", "c")
    for _ in range(6):
        side.receive(url)
    arn = side.arn(dead)
    started = side("start_message_move_task", SourceArn=arn)
    assert started["TaskHandle"]
    task = wait_for_tasks(side, arn)
    assert (task["Status"], task["SourceArn"]) == ("COMPLETED", arn)
    assert task["ApproximateNumberOfMessagesMoved"] == 3
    assert "DestinationArn" not in task
    got = side.receive(url, VisibilityTimeout=30) + side.receive(url, VisibilityTimeout=30)
    assert sorted(bodies(got)) == ["a", "b", "c"]
    assert side.receive(dead) == []
    if side.follows_aws("redriven message"):
        assert not {one["MessageId"] for one in got} & {one["MessageId"] for one in sent}
        assert {count_of(one) for one in got} == {1}
    else:
        assert {one["MessageId"] for one in got} == {one["MessageId"] for one in sent}


def test_move_tasks_refused(side):
    plain = side.arn(side.queue())
    if side.follows_aws("move task of a plain queue"):
        error = side.refusal("start_message_move_task", SourceArn=plain)
        assert error.code == "InvalidParameterValue"
        assert error.message == "Source queue must be configured as a Dead Letter Queue."
    error = side.refusal("list_message_move_tasks", SourceArn=plain + "-missing")
    assert error.status in {400, 404}


def test_tags(side):
    url = side.queue()
    side("tag_queue", QueueUrl=url, Tags={"a": "1", "b": "2"})
    side("untag_queue", QueueUrl=url, TagKeys=["a"])
    assert side("list_queue_tags", QueueUrl=url)["Tags"] == {"b": "2"}


def test_a_missing_queue(side):
    error = side.refusal("get_queue_url", QueueName="missing")
    assert error.name == "QueueDoesNotExist"
    if side.follows_aws("code of a missing queue"):
        assert error.code == "AWS.SimpleQueueService.NonExistentQueue"
        assert error.response["Error"]["QueryErrorCode"] == "QueueDoesNotExist"
    else:
        assert error.code == "QueueDoesNotExist"


def test_the_size_a_queue_takes(side):
    url = side.queue(MaximumMessageSize="1024")
    if side.follows_aws("size limit"):
        error = side.refusal("send_message", QueueUrl=url, MessageBody="x" * 1_025)
        assert error.code == "InvalidParameterValue"
        assert error.message == (
            "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
        )
    else:
        side.send(url, "x" * 1_025)
    side.send(url, "x" * 1_024)
    error = side.refusal("send_message", QueueUrl=url, MessageBody="x" * (1024 * 1024 + 1))
    is_usual = side.follows_aws("code of a message too large")
    assert error.code == ("InvalidParameterValue" if is_usual else "InvalidAttributeValue")


def test_attributes_are_shown_as_set(side):
    given = {"VisibilityTimeout": "7", "DelaySeconds": "3", "ReceiveMessageWaitTimeSeconds": "2"}
    url = side.queue(**given, MessageRetentionPeriod="600")
    names = [*given, "MessageRetentionPeriod"] if side.follows_aws("retention") else [*given]
    shown = side("get_queue_attributes", QueueUrl=url, AttributeNames=names)["Attributes"]
    assert shown == {name: {**given, "MessageRetentionPeriod": "600"}[name] for name in names}


def test_purge(side):
    url = side.queue()
    side.send(url, "m", "n")
    side.receive(url, count=1)
    side("purge_queue", QueueUrl=url)
    assert side.receive(url) == []
    if side.follows_aws("purge"):
        error = side.refusal("purge_queue", QueueUrl=url)
        assert (error.name, error.status) == ("PurgeQueueInProgress", 403)
    else:
        side("purge_queue", QueueUrl=url)


def test_the_range_of_visibility_timeouts(side):
    url = side.queue()
    params = {"QueueUrl": url, "Attributes": {"VisibilityTimeout": "43201"}}
    if side.follows_aws("visibility range"):
        assert side.refusal("set_queue_attributes", **params).code == "InvalidAttributeValue"
    else:
        side("set_queue_attributes", **params)


def test_a_batch_is_answered_entry_by_entry(side):
    url = side.queue()
    entries = [{"Id": "a", "MessageBody": "fine"}, {"Id": "b", "MessageBody": "fine too"}]
    done = side("send_message_batch", QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in done["Successful"]] == ["a", "b"]
    assert "Failed" not in done
    got = side.receive(url)
    entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
    done = side("delete_message_batch", QueueUrl=url, Entries=entries)
    assert len(done["Successful"]) == len(got)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([{"Id": "a", "MessageBody": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": str(n), "MessageBody": "x"} for n in range(11)], "TooManyEntriesInBatchRequest"),
    ],
)
def test_batches_refused(side, entries, code):
    error = side.refusal("send_message_batch", QueueUrl=side.queue(), Entries=entries)
    assert code in error.code or code in error.name


def test_an_empty_batch(side):
    params = {"QueueUrl": side.queue(), "Entries": []}
    if side.follows_aws("empty batch"):
        error = side.refusal("send_message_batch", **params)
        assert error.code == "AWS.SimpleQueueService.EmptyBatchRequest"
    else:
        side("send_message_batch", **params)


def test_a_standard_queue_takes_groups_without_order(side):
    url = side.queue()
    params = {"QueueUrl": url, "MessageBody": "m", "MessageGroupId": "g"}
    assert "SequenceNumber" not in side("send_message", **params)
    side("send_message", **params)
    got = side.receive(url, count=1) + side.receive(url, count=1)
    assert {one["Attributes"]["MessageGroupId"] for one in got} == {"g"}
    assert len(got) == 2


# FIFO


def test_one_receive_brings_a_group_in_order(side):
    url = side.queue(fifo=True)
    side.send_in_groups(url, "g1:1", "g2:2", "g1:3", "g1:4")
    got = side.receive(url)
    by_group = {}
    for message in got:
        by_group.setdefault(message["Attributes"]["MessageGroupId"], []).append(message["Body"])
    assert by_group == {"g1": ["1", "3", "4"], "g2": ["2"]}
    assert {len(one["Attributes"]["MessageDeduplicationId"]) for one in got} == {4}


def test_a_group_in_flight_blocks_itself_only(side):
    url = side.queue(fifo=True)
    side.send_in_groups(url, "a:1", "a:2")
    assert bodies(side.receive(url, count=1)) == ["1"]
    side.send_in_groups(url, "b:3")
    assert bodies(side.receive(url)) == ["3"]
    assert side.receive(url) == []


def test_part_of_a_group_in_flight(side):
    """A function reported part of a group as failed: its oldest message left comes first."""
    url = side.queue(fifo=True)
    side.send_in_groups(url, "g:a", "g:b", "g:c", "g:d")
    a, b, _c = side.receive(url, count=3)
    side.delete(url, a)
    assert side.receive(url) == []
    side.hide(url, b, 0)
    assert bodies(side.receive(url)) == ["b"]


def test_after_the_timeout_groups_come_in_order(side):
    url = side.queue(fifo=True, VisibilityTimeout="6")
    side.send_in_groups(url, "A:A0", "A:A1", "A:A2", "B:B0", "B:B1", "B:B2")
    first = side.receive(url)
    assert len(first) == 6
    side.delete(url, next(one for one in first if one["Body"] == "A0"))
    time.sleep(6.1)
    again = bodies(side.receive(url))
    assert [body for body in again if body[0] == "A"] == ["A1", "A2"]
    assert [body for body in again if body[0] == "B"] == ["B0", "B1", "B2"]


def test_a_duplicate_is_dropped_also_when_the_first_is_gone(side):
    url = side.queue(fifo=True)
    ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
    (first,) = side.send(url, "m", **ids)
    (got,) = side.receive(url)
    side.delete(url, got)
    (again,) = side.send(url, "other body", **ids)
    assert again["MessageId"] == first["MessageId"]
    assert side.receive(url) == []


def test_a_body_is_its_own_deduplication_id(side):
    url = side.queue(fifo=True, ContentBasedDeduplication="true")
    side.send(url, "m", "m", MessageGroupId="g")
    side.send(url, "n", MessageGroupId="g")
    assert bodies(side.receive(url)) == ["m", "n"]


def test_the_scope_of_deduplication(side):
    url = side.queue(fifo=True, DeduplicationScope="messageGroup")
    for group in ("g", "h", "g"):
        side.send(url, group, MessageGroupId=group, MessageDeduplicationId="d")
    expected = ["g", "h"] if side.follows_aws("deduplication scope") else ["g"]
    assert sorted(bodies(side.receive(url))) == expected


def test_sequence_numbers_grow(side):
    url = side.queue(fifo=True)
    sent = [
        side.send(url, str(n), MessageGroupId="g", MessageDeduplicationId=str(n))[0]
        for n in range(3)
    ]
    numbers = [one["SequenceNumber"] for one in sent]
    assert sorted(numbers, key=int) == numbers
    assert len(set(numbers)) == 3
    received = [one["Attributes"]["SequenceNumber"] for one in side.receive(url)]
    assert received == numbers
    if side.follows_aws("sequence number"):
        assert {len(number) for number in numbers} == {20}


def test_a_handle_expires_with_the_timeout(side):
    url = side.queue(fifo=True, VisibilityTimeout="1")
    side.send_in_groups(url, "g:m")
    (got,) = side.receive(url)
    time.sleep(1.1)
    handle = got["ReceiptHandle"]
    if side.follows_aws("delete after the timeout, FIFO"):
        error = side.refusal("delete_message", QueueUrl=url, ReceiptHandle=handle)
        assert error.code == "InvalidParameterValue"
        assert error.message.endswith("Reason: The receipt handle has expired.")
        assert bodies(side.receive(url)) == ["m"]
    else:
        side.delete(url, got)
        assert side.receive(url) == []


def test_an_attempt_gets_the_same_messages_again(side):
    url = side.queue(fifo=True)
    side.send_in_groups(url, "g:1", "g:2", "h:3")
    first = side.receive(url, ReceiveRequestAttemptId="try")
    again = side.receive(url, ReceiveRequestAttemptId="try")
    assert bodies(again) == bodies(first)
    if side.follows_aws("attempt after a change"):
        assert [one["ReceiptHandle"] for one in again] == [one["ReceiptHandle"] for one in first]
        side.hide(url, again[0], 60)
        assert side.receive(url, ReceiveRequestAttemptId="try") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"MessageDeduplicationId": "d"}, "MissingParameter"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue"),
        (
            {"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 2},
            "InvalidParameterValue",
        ),
        ({"MessageGroupId": "g g", "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
    ],
)
def test_fifo_messages_refused(side, params, code):
    url = side.queue(fifo=True)
    assert side.refusal("send_message", QueueUrl=url, MessageBody="m", **params).code == code


def test_a_batch_for_a_fifo_queue_needs_groups(side):
    url = side.queue(fifo=True)
    entries = [
        {"Id": "a", "MessageBody": "m", "MessageGroupId": "g", "MessageDeduplicationId": "1"},
        {"Id": "b", "MessageBody": "m", "MessageDeduplicationId": "2"},
    ]
    if side.follows_aws("batch needs a group"):
        error = side.refusal("send_message_batch", QueueUrl=url, Entries=entries)
        assert error.code == "InvalidParameterValue"
        assert error.message == "The request must contain the parameter MessageGroupId."
        assert side.receive(url) == []
    else:
        done = side("send_message_batch", QueueUrl=url, Entries=entries)
        assert [entry["Id"] for entry in done["Failed"]] == ["b"]


def test_a_spent_fifo_message_moves_and_its_group_goes_on(side):
    dead = side.queue(fifo=True)
    url = side.queue(fifo=True, RedrivePolicy=side.redrive(dead, 1), VisibilityTimeout="0")
    side.send_in_groups(url, "g:poison")
    assert bodies(side.receive(url)) == ["poison"]
    assert side.receive(url) == []
    (got,) = side.receive(dead)
    assert got["Attributes"]["MessageGroupId"] == "g"
    assert got["Attributes"]["DeadLetterQueueSourceArn"] == side.arn(url)
    side.send_in_groups(url, "g:next")
    assert bodies(side.receive(url)) == ["next"]


def test_every_difference_is_tried():
    text = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_sqs*.py"))
    assert {point for point in ELASTICMQ_DIFFERS if f'"{point}"' not in text} == set()
