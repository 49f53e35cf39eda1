"""Messages and attributes of queues: checksums, receipts, refusals (`bus-…md` 6.2, 6.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.embedded import attributes, messages
from router.embedded.messages import Receipt
from router.embedded.problems import QueueProblem
from router.store.base import StoredMessage


def text(value):
    return {"DataType": "String", "StringValue": value}


@pytest.mark.parametrize(
    ("given_attributes", "expected"),
    [
        ({"a": text("x")}, "a512aac9938034acb0b3c3d965944bf1"),
        ({"Foo": text("Bar")}, "ae7155c6026991b6d54b11589678bf9c"),
        (
            {"General": text("Kenobi"), "Hello": text("There"), "Help.Me": text("Me")},
            "4c360f3fdafd970e05fae2f149d997f5",
        ),
        (
            {"attr1": {"DataType": "Number", "StringValue": "99.12"}},
            "d302007e9aa062660afc85fd0a482472",
        ),
        (
            {
                "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
                "s": {"DataType": "String.x", "StringValue": "abc"},
                "testAttr": {"DataType": "Number", "StringValue": "100"},
            },
            "d38580c7fe7c9a7f9b6cefed9d7f3c8d",
        ),
        ({}, None),
    ],
)
def test_checksums_recorded_on_aws(given_attributes, expected):
    assert messages.md5_of_attributes(given_attributes) == expected
    assert messages.decode_attributes(messages.encode_attributes(given_attributes)) == (
        given_attributes
    )


def test_size_counts_names_types_and_values():
    draft = messages.draft(
        {
            "MessageBody": "ä",
            "MessageAttributes": {
                "n": text("xyz"),
                "b": {"DataType": "Binary", "BinaryValue": b"12"},
            },
        }
    )
    assert messages.size_bytes(draft) == 2 + (1 + 6 + 3) + (1 + 6 + 2)


def test_receipts_carry_what_they_name_and_nothing_else_is_one():
    stored = StoredMessage(
        id=7, message_id="m-1", body="", attributes=b"", system=b"", sent_ms=0,
        first_received_ms=0, receive_count=2, token=2,
    )  # fmt: skip
    handle = messages.make_receipt(stored)
    assert messages.read_receipt(handle) == Receipt("m-1", 7, 2)


@given(st.text(max_size=60))
def test_garbage_is_no_receipt(handle):
    with pytest.raises(QueueProblem) as info:
        messages.read_receipt(handle)
    assert info.value.shape == "ReceiptHandleIsInvalid"


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ([], set()),
        (["All"], {"a", "pre.x", "pre.y"}),
        ([".*"], {"a", "pre.x", "pre.y"}),
        (["pre.*"], {"pre.x", "pre.y"}),
        (["a", "unknown", "!"], {"a"}),
    ],
)
def test_choosing_attributes(wanted, names):
    have = {name: text("v") for name in ("a", "pre.x", "pre.y")}
    assert set(messages.select_attributes(have, wanted)) == names


@pytest.mark.parametrize(
    "name", ["", "AWS.x", "aws.x", "Amazon.x", ".a", "a.", "a..b", "a b", "a" * 257]
)
def test_attribute_names_refused(name):
    with pytest.raises(QueueProblem):
        messages.check_attributes({name: text("v")})


@pytest.mark.parametrize(
    "value",
    [
        {"DataType": "Text", "StringValue": "v"},
        {"DataType": "", "StringValue": "v"},
        {"StringValue": "v"},
        {"DataType": "String." + "x" * 256, "StringValue": "v"},
        {"DataType": "String", "StringValue": ""},
        {"DataType": "String", "StringValue": "\u0002"},
        {"DataType": "Number", "StringValue": "ten"},
        {"DataType": "Binary", "StringValue": "v"},
    ],
)
def test_attribute_values_refused(value):
    with pytest.raises(QueueProblem):
        messages.check_attributes({"a": value})


def test_attributes_accepted():
    messages.check_attributes(
        {
            "größe": text("v"),
            "n": {"DataType": "Number.int", "StringValue": "-1.5e3"},
            **{f"a{number}": text("v") for number in range(8)},
        }
    )
    with pytest.raises(QueueProblem, match="exceeds the allowed maximum"):
        messages.check_attributes({f"a{number}": text("v") for number in range(11)})


@pytest.mark.parametrize("body", ["\u0000", "a\u000b", "\ufffe", "\U0010ffff\u0001"])
def test_bodies_refused(body):
    with pytest.raises(QueueProblem) as info:
        messages.draft({"MessageBody": body})
    assert info.value.shape == "InvalidMessageContents"


def test_bodies_accepted():
    body = "\t\n\r ä☃\U0001f600\ufffd"
    assert messages.draft({"MessageBody": body, "MessageGroupId": "g!"}).system == {
        "MessageGroupId": "g!"
    }


ARN = "arn:aws:sqs:us-east-1:000000000000:dead"


def check(given_attributes, *, is_new=True):
    return attributes.check_attributes(
        given_attributes, is_queue=lambda arn: arn == ARN, is_new=is_new
    )


@pytest.mark.parametrize(
    ("name", "value", "shape"),
    [
        ("DelaySeconds", "901", "InvalidAttributeValue"),
        ("DelaySeconds", "-1", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1023", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1048577", "InvalidAttributeValue"),
        ("MessageRetentionPeriod", "59", "InvalidAttributeValue"),
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("VisibilityTimeout", "x", "InvalidAttributeValue"),
        ("SqsManagedSseEnabled", "maybe", "InvalidAttributeValue"),
        ("FifoQueue", "true", "UnsupportedOperation"),
        ("FifoQueue", "false", "InvalidAttributeName"),
        ("FifoThroughputLimit", "perQueue", "InvalidAttributeName"),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName"),
        ("QueueArn", "x", "InvalidAttributeName"),
        ("Nope", "x", "InvalidAttributeName"),
        ("RedrivePolicy", "{", "InvalidParameterValueException"),
        ("RedrivePolicy", "[]", "InvalidParameterValueException"),
        ("RedrivePolicy", "[" * 100_000, "InvalidParameterValueException"),
        ("RedrivePolicy", f'{{"deadLetterTargetArn":"{ARN}"}}', "InvalidParameterValueException"),
        (
            "RedrivePolicy",
            f'{{"deadLetterTargetArn":"{ARN}","maxReceiveCount":1001}}',
            "InvalidParameterValueException",
        ),
        (
            "RedrivePolicy",
            f'{{"deadLetterTargetArn":"{ARN}","maxReceiveCount":[]}}',
            "InvalidParameterValueException",
        ),
        (
            "RedrivePolicy",
            '{"deadLetterTargetArn":5,"maxReceiveCount":1}',
            "InvalidParameterValueException",
        ),
        (
            "RedrivePolicy",
            f'{{"deadLetterTargetArn":"{ARN}s","maxReceiveCount":1}}',
            "QueueDoesNotExist",
        ),
    ],
)
def test_queue_attributes_refused(name, value, shape):
    with pytest.raises(QueueProblem) as info:
        check({name: value})
    assert info.value.shape == shape


def test_queue_attributes_as_stored():
    policy = f'{{"deadLetterTargetArn":"{ARN}","maxReceiveCount":"3"}}'
    stored = check({"DelaySeconds": 5, "SqsManagedSseEnabled": "True", "RedrivePolicy": policy})
    assert stored == {
        "DelaySeconds": "5",
        "SqsManagedSseEnabled": "true",
        "RedrivePolicy": policy,
    }
    assert attributes.redrive_policy(policy) == (ARN, 3)
    assert check({"RedrivePolicy": ""}) == {"RedrivePolicy": ""}
    assert check({"KmsMasterKeyId": "k"})["SqsManagedSseEnabled"] == "false"
    with pytest.raises(QueueProblem, match="one type of server-side encryption"):
        check({"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true"})
    with pytest.raises(QueueProblem, match="Modifying queue type"):
        check({"FifoQueue": "true"}, is_new=False)


@pytest.mark.parametrize("name", ["a.fifo", "", "a b", "a" * 81, "ä"])
def test_names_refused(name):
    with pytest.raises(QueueProblem):
        attributes.check_name(name)
