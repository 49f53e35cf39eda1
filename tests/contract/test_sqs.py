"""Embedded standard queues as boto3 and the CLI see them (`bus-http-and-schedules.md` 6)."""

import hashlib
import json
import time
import urllib.error
import urllib.request
import uuid

import pytest

from tests.contract.support import Agent, ClientError


@pytest.fixture
def queue(aws):
    return aws("sqs", "create_queue", QueueName=f"q-{uuid.uuid4().hex[:8]}")["QueueUrl"]


def refused(aws, operation, **params):
    with pytest.raises(ClientError) as info:
        aws("sqs", operation, validates=False, **params)
    return info.value


def test_a_message_goes_through_with_checksums_and_attributes(aws, queue):
    attributes = {
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        "s": {"DataType": "String.x", "StringValue": "abc"},
        "testAttr": {"DataType": "Number", "StringValue": "100"},
    }
    sent = aws(
        "sqs", "send_message", QueueUrl=queue, MessageBody="hällo", MessageAttributes=attributes
    )
    assert sent["MD5OfMessageBody"] == hashlib.md5("hällo".encode()).hexdigest()
    assert sent["MD5OfMessageAttributes"] == "d38580c7fe7c9a7f9b6cefed9d7f3c8d"
    (got,) = aws(
        "sqs",
        "receive_message",
        QueueUrl=queue,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )["Messages"]
    assert got["MessageId"] == sent["MessageId"]
    assert got["Body"] == "hällo"
    assert got["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert got["MessageAttributes"] == attributes
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["Attributes"]["ApproximateReceiveCount"] == "1"
    assert set(got["Attributes"]) == {
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
    }


def test_only_what_was_asked_for_comes_back(aws, queue):
    attributes = {
        name: {"DataType": "String", "StringValue": "x"} for name in ("a", "pre.one", "pre.two")
    }
    aws("sqs", "send_message", QueueUrl=queue, MessageBody="m", MessageAttributes=attributes)
    (got,) = aws("sqs", "receive_message", QueueUrl=queue, VisibilityTimeout=0)["Messages"]
    assert set(got) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}
    (got,) = aws("sqs", "receive_message", QueueUrl=queue, MessageAttributeNames=["pre.*"])[
        "Messages"
    ]
    assert set(got["MessageAttributes"]) == {"pre.one", "pre.two"}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("TagQueue", {"Tags": {"a": None}}),
        ("UntagQueue", {"TagKeys": [None]}),
        ("SetQueueAttributes", {"Attributes": {"VisibilityTimeout": None}}),
        ("SendMessage", {"MessageBody": "x", "MessageAttributes": {"a": None}}),
        ("SendMessageBatch", {"Entries": [None]}),
        (
            "SendMessageBatch",
            {"Entries": [{"Id": "1", "MessageBody": "x", "MessageAttributes": {"a": None}}]},
        ),
    ],
)
def test_a_null_in_a_list_or_map_is_refused(harness, queue, operation, params):
    """No SDK sends one; nothing of it is stored."""
    request = urllib.request.Request(
        harness.url(),
        data=json.dumps({"QueueUrl": queue, **params}).encode(),
        headers={"X-Amz-Target": f"AmazonSQS.{operation}"},
    )
    with pytest.raises(urllib.error.HTTPError) as info:
        urllib.request.urlopen(request, timeout=60)
    assert info.value.code == 400
    with info.value as reply:
        assert json.load(reply)["message"].startswith("Value null in ")


def test_long_poll_ends_with_the_first_message(aws, queue, harness):
    started = time.monotonic()
    assert "Messages" not in aws("sqs", "receive_message", QueueUrl=queue, WaitTimeSeconds=1)
    assert time.monotonic() - started > 0.9

    other = Agent(harness.url())
    other("sqs", "get_queue_attributes", QueueUrl=queue, AttributeNames=["QueueArn"])
    request = {"QueueUrl": queue, "MessageBody": "late", "DelaySeconds": 1}
    other("sqs", "send_message", **request)
    started = time.monotonic()
    (got,) = aws("sqs", "receive_message", QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    assert got["Body"] == "late"
    assert time.monotonic() - started < 19
    other.close()


def test_visibility_timeout_and_redelivery(aws, queue):
    aws("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    first = aws("sqs", "receive_message", QueueUrl=queue, VisibilityTimeout=30)["Messages"][0]
    assert "Messages" not in aws("sqs", "receive_message", QueueUrl=queue)
    handle = first["ReceiptHandle"]
    aws(
        "sqs",
        "change_message_visibility",
        QueueUrl=queue,
        ReceiptHandle=handle,
        VisibilityTimeout=0,
    )
    second = aws(
        "sqs", "receive_message", QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"][0]
    assert second["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert second["ReceiptHandle"] != handle
    # A standard queue takes an old handle for deletion, and one of a deleted message too.
    aws("sqs", "delete_message", QueueUrl=queue, ReceiptHandle=handle)
    aws("sqs", "delete_message", QueueUrl=queue, ReceiptHandle=handle)
    error = refused(
        aws,
        "change_message_visibility",
        QueueUrl=queue,
        ReceiptHandle=handle,
        VisibilityTimeout=1,
    )
    assert error.code == "InvalidParameterValue"
    assert "Message does not exist or is not available" in error.message


def test_dead_letter_queue(aws):
    name = uuid.uuid4().hex[:8]
    dead = aws("sqs", "create_queue", QueueName=f"dead-{name}")["QueueUrl"]
    arn = aws("sqs", "get_queue_attributes", QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = f'{{"deadLetterTargetArn":"{arn["Attributes"]["QueueArn"]}","maxReceiveCount":1}}'
    source = aws(
        "sqs",
        "create_queue",
        QueueName=f"source-{name}",
        Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"},
    )["QueueUrl"]
    sent = aws("sqs", "send_message", QueueUrl=source, MessageBody="poison")
    assert aws("sqs", "receive_message", QueueUrl=source)["Messages"]
    assert "Messages" not in aws("sqs", "receive_message", QueueUrl=source)
    (got,) = aws("sqs", "receive_message", QueueUrl=dead, AttributeNames=["All"])["Messages"]
    assert got["MessageId"] == sent["MessageId"]
    # The count is not reset, and the source is named.
    assert got["Attributes"]["ApproximateReceiveCount"] == "2"
    assert got["Attributes"]["DeadLetterQueueSourceArn"].endswith(f":source-{name}")


def test_fresh_queue_has_exactly_these_attributes(aws, queue):
    got = aws("sqs", "get_queue_attributes", QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert set(got) == {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "QueueArn",
        "DelaySeconds",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
    }
    assert got["MaximumMessageSize"] == "1048576"
    assert "Attributes" not in aws("sqs", "get_queue_attributes", QueueUrl=queue)


def test_batch_is_partly_refused(aws, queue):
    result = aws(
        "sqs",
        "send_message_batch",
        QueueUrl=queue,
        Entries=[{"Id": "a", "MessageBody": "fine"}, {"Id": "b", "MessageBody": "\u0001"}],
    )
    assert [entry["Id"] for entry in result["Successful"]] == ["a"]
    (failed,) = result["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == (
        "b",
        "InvalidMessageContents",
        True,
    )
    got = aws("sqs", "receive_message", QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    entries = [{"Id": "x", "ReceiptHandle": got[0]["ReceiptHandle"]}]
    answer = aws("sqs", "delete_message_batch", QueueUrl=queue, Entries=entries)
    assert answer["Successful"] == [{"Id": "x"}]
    assert "Failed" not in answer


@pytest.mark.parametrize(
    ("operation", "params", "code", "message"),
    [
        ("get_queue_url", {"QueueName": "missing"}, "AWS.SimpleQueueService.NonExistentQueue",
         "The specified queue does not exist."),
        ("create_queue", {"QueueName": "a.fifo"}, "InvalidParameterValue",
         "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"),
        ("create_queue", {"QueueName": "a", "Attributes": {"FifoQueue": "true"}},
         "InvalidParameterValue",
         ("The name of a FIFO queue can only include alphanumeric characters, hyphens, or "
         "underscores, must end with .fifo suffix and be 1 to 80 in length")),
        ("create_queue", {"QueueName": "a b"}, "InvalidParameterValue",
         "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"),
        ("create_queue", {"QueueName": "a", "Attributes": {"Nope": "1"}}, "InvalidAttributeName",
         "Unknown Attribute Nope."),
        ("create_queue", {"QueueName": "a", "Attributes": {"DelaySeconds": "901"}},
         "InvalidAttributeValue", "Invalid value for the parameter DelaySeconds."),
        ("list_message_move_tasks", {"SourceArn": "arn"}, "ResourceNotFoundException",
         "The resource that you specified for the SourceArn parameter doesn't exist."),
        ("cancel_message_move_task", {"TaskHandle": "x"}, "InvalidParameterValue",
         "Value for parameter TaskHandle is invalid."),
    ],
)  # fmt: skip
def test_refusals_without_a_queue(aws, operation, params, code, message):
    error = refused(aws, operation, **params)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    ("operation", "params", "code", "message"),
    [
        ("send_message", {"MessageBody": ""}, "MissingParameter",
         "The request must contain the parameter MessageBody."),
        ("send_message", {"MessageBody": "\u0000"}, "InvalidMessageContents", None),
        ("send_message", {"MessageBody": "x" * 1_048_577}, "InvalidParameterValue",
         "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue", None),
        ("send_message", {"MessageBody": "x", "MessageGroupId": "a b"}, "InvalidParameterValue",
         ("Value a b for parameter MessageGroupId is invalid. Reason: MessageGroupId can only "
         "include alphanumeric and punctuation characters. 1 to 128 in length.")),
        ("send_message", {"MessageBody": "x", "MessageDeduplicationId": "d"},
         "InvalidParameterValue", None),
        ("send_message", {"MessageBody": "x", "MessageAttributes":
            {"A": {"DataType": "String", "StringValue": ""}}}, "InvalidParameterValue",
         "Message (user) attribute 'A' must contain a non-empty value of type 'String'."),
        ("receive_message", {"MaxNumberOfMessages": 11}, "InvalidParameterValue",
         ("Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and "
         "10, if provided.")),
        ("receive_message", {"WaitTimeSeconds": 21}, "InvalidParameterValue",
         ("Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if "
         "provided.")),
        ("delete_message", {"ReceiptHandle": "garbage"}, "ReceiptHandleIsInvalid",
         'The input receipt handle "garbage" is not a valid receipt handle.'),
        ("send_message_batch", {"Entries": []}, "AWS.SimpleQueueService.EmptyBatchRequest", None),
        ("send_message_batch", {"Entries": [{"Id": "a", "MessageBody": "x"}] * 2},
         "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", None),
        ("send_message_batch", {"Entries": [{"Id": "a b", "MessageBody": "x"}]},
         "AWS.SimpleQueueService.InvalidBatchEntryId",
         ("A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
         "It can be at most 80 letters long.")),
        ("send_message_batch",
         {"Entries": [{"Id": str(n), "MessageBody": "x"} for n in range(20)]},
         "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
         "Maximum number of entries per request are 10. You have sent 20."),
        ("send_message_batch",
         {"Entries": [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]},
         "AWS.SimpleQueueService.BatchRequestTooLong",
         "Batch requests cannot be longer than 1048576 bytes. You have sent 1200000 bytes."),
    ],
)  # fmt: skip
def test_refusals(aws, queue, operation, params, code, message):
    error = refused(aws, operation, QueueUrl=queue, **params)
    assert error.code == code
    assert error.status == 400
    assert error.response["Error"]["Type"] == "Sender"
    if message is not None:
        assert error.message == message


def test_same_queue_again(aws, queue):
    name = queue.rpartition("/")[2]
    assert aws("sqs", "create_queue", QueueName=name)["QueueUrl"] == queue
    error = refused(aws, "create_queue", QueueName=name, Attributes={"VisibilityTimeout": "31"})
    assert error.code == "QueueAlreadyExists"
    assert error.name == "QueueNameExists"
    assert error.message == (
        "A queue already exists with the same name and a different value for attribute "
        "VisibilityTimeout"
    )


def test_purge_once_a_minute(aws, queue):
    aws("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    aws("sqs", "purge_queue", QueueUrl=queue)
    assert "Messages" not in aws("sqs", "receive_message", QueueUrl=queue)
    error = refused(aws, "purge_queue", QueueUrl=queue)
    assert error.status == 403
    assert error.code == "AWS.SimpleQueueService.PurgeQueueInProgress"


def test_tags_and_listing(aws, queue):
    name = queue.rpartition("/")[2]
    assert "Tags" not in aws("sqs", "list_queue_tags", QueueUrl=queue)
    aws("sqs", "tag_queue", QueueUrl=queue, Tags={"a": "1", "b": "2"})
    aws("sqs", "untag_queue", QueueUrl=queue, TagKeys=["a", "unknown"])
    assert aws("sqs", "list_queue_tags", QueueUrl=queue)["Tags"] == {"b": "2"}
    assert aws("sqs", "list_queues", QueueNamePrefix=name)["QueueUrls"] == [queue]
    assert "QueueUrls" not in aws("sqs", "list_queues", QueueNamePrefix="none-such")
    page = aws("sqs", "list_queues", MaxResults=1)
    assert len(page["QueueUrls"]) == 1


def test_delete(aws, queue):
    aws("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    aws("sqs", "delete_queue", QueueUrl=queue)
    error = refused(aws, "receive_message", QueueUrl=queue)
    assert error.name == "QueueDoesNotExist"
    name = queue.rpartition("/")[2]
    again = aws("sqs", "create_queue", QueueName=name)["QueueUrl"]
    assert "Messages" not in aws("sqs", "receive_message", QueueUrl=again)


def test_cli(cli):
    url = cli("sqs", "create-queue", "--queue-name", "from-cli")["QueueUrl"]
    cli("sqs", "send-message", "--queue-url", url, "--message-body", "hello")
    got = cli("sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "1")
    assert got["Messages"][0]["Body"] == "hello"
    said = cli("sqs", "get-queue-url", "--queue-name", "nope", status=255)
    assert "AWS.SimpleQueueService.NonExistentQueue" in said


def test_who_am_i(aws, cli):
    answer = aws("sts", "get_caller_identity")
    assert answer["Account"] == "000000000000"
    assert answer["Arn"].startswith("arn:aws:iam::000000000000:")
    assert cli("sts", "get-caller-identity")["Account"] == "000000000000"
