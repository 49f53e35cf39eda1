"""Messages and attributes of queues: checksums, receipts, refusals (`bus-…md` 6.2, 6.3)."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.embedded import attributes, messages
from router.embedded.messages import Order, Receipt
from router.embedded.problems import QueueProblem
from router.model.resources import Queue
from router.store.queues import StoredMessage


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
        first_received_ms=0, receive_count=2, token=2, received_ms=5,
    )  # fmt: skip
    handle = messages.make_receipt(stored)
    assert messages.read_receipt(handle) == Receipt("m-1", 7, 2, 5, handle)


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


def queue(name, **given):
    arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    return Queue(name=name, arn=arn, attributes=given, created_s=0, modified_s=0)


KNOWN = {
    it.arn: it
    for it in (
        queue("dead"),
        queue("dead.fifo"),
        queue("closed", RedriveAllowPolicy='{"redrivePermission":"denyAll"}'),
        queue(
            "picky",
            RedriveAllowPolicy=json.dumps(
                {
                    "redrivePermission": "byQueue",
                    "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:q"],
                }
            ),
        ),
    )
}


def check(given_attributes, *, name="q", current=None):
    return attributes.check_attributes(given_attributes, name, current, KNOWN.get)


def to_dead(name):
    arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})


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
        ("FifoQueue", "true", "InvalidAttributeName"),
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
        ("RedrivePolicy", to_dead("dead.fifo"), "InvalidParameterValueException"),
        ("RedrivePolicy", to_dead("closed"), "InvalidParameterValueException"),
        ("RedriveAllowPolicy", "[", "InvalidParameterValueException"),
        ("RedriveAllowPolicy", '{"redrivePermission":["x"]}', "InvalidParameterValueException"),
        ("RedriveAllowPolicy", '{"redrivePermission":"byQueue"}', "InvalidParameterValueException"),
        (
            "RedriveAllowPolicy",
            '{"redrivePermission":"denyAll","sourceQueueArns":["a"]}',
            "InvalidParameterValueException",
        ),
        ("Policy", "no JSON", "InvalidAttributeValue"),
        ("KmsDataKeyReusePeriodSeconds", "59", "InvalidAttributeValue"),
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
    gone = check({"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"})
    assert gone == {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": ""}


def test_a_dead_letter_queue_may_choose_its_sources():
    assert check({"RedrivePolicy": to_dead("picky")})
    with pytest.raises(QueueProblem, match="does not permit"):
        check({"RedrivePolicy": to_dead("picky")}, name="other")
    assert check({"RedrivePolicy": to_dead("dead.fifo")}, name="q.fifo")


def test_fifo_attributes():
    stored = check(
        {
            "FifoQueue": "True",
            "ContentBasedDeduplication": "True",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
        },
        name="q.fifo",
    )
    assert stored == {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
    assert check({"FifoQueue": "true"}, name="q.fifo", current=stored) == {"FifoQueue": "true"}
    for changed, match in (
        ({"FifoQueue": "false"}, "Modifying queue type"),
        ({"ContentBasedDeduplication": "maybe"}, "ContentBasedDeduplication"),
        ({"DeduplicationScope": "world"}, "DeduplicationScope"),
        ({"DeduplicationScope": "queue"}, "needs DeduplicationScope messageGroup"),
    ):
        with pytest.raises(QueueProblem, match=match) as info:
            check(changed, name="q.fifo", current=stored)
        assert info.value.shape == "InvalidAttributeValue"


@pytest.mark.parametrize("name", ["a.fifo", "", "a b", "a" * 81, "ä"])
def test_names_refused(name):
    with pytest.raises(QueueProblem, match="Can only include"):
        attributes.check_name(name, is_fifo=False)


@pytest.mark.parametrize("name", ["a", ".fifo", "a b.fifo", "a" * 76 + ".fifo", "a.fifo.fifo"])
def test_fifo_names_refused(name):
    with pytest.raises(QueueProblem, match="must end with"):
        attributes.check_name(name, is_fifo=True)


def test_names_accepted():
    attributes.check_name("a" * 80, is_fifo=False)
    attributes.check_name("a" * 75 + ".fifo", is_fifo=True)


ORDER = Order(is_content_deduplicated=False)


@pytest.mark.parametrize(
    ("params", "code", "match"),
    [
        ({}, "MissingParameter", "MessageGroupId"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue", "ContentBasedDeduplication enabled or"),
        (
            {"MessageGroupId": "", "MessageDeduplicationId": "d"},
            "InvalidParameterValue",
            "1 to 128",
        ),
        (
            {"MessageGroupId": "g", "MessageDeduplicationId": "d d"},
            "InvalidParameterValue",
            "punct",
        ),
        (
            {"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 2},
            "InvalidParameterValue",
            "Value 2 for parameter DelaySeconds is invalid",
        ),
    ],
)
def test_fifo_messages_refused(params, code, match):
    with pytest.raises(QueueProblem, match=match) as info:
        messages.draft({"MessageBody": "m", **params}, ORDER)
    assert info.value.query_code == code


def test_fifo_messages_accepted():
    ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d"}
    draft = messages.draft({"MessageBody": "m", **ids, "DelaySeconds": 0}, ORDER)
    assert (draft.group_id, draft.deduplication_id, draft.delay_s) == ("g", "d", None)
    assert draft.system == ids
    # Content deduplication is the SHA-256 of the body alone; an id that is given beats it.
    by_content = Order(is_content_deduplicated=True)
    hashed = messages.draft({"MessageBody": "m", "MessageGroupId": "g"}, by_content)
    assert hashed.deduplication_id == hashlib.sha256(b"m").hexdigest()
    assert messages.draft({"MessageBody": "m", **ids}, by_content).deduplication_id == "d"


def test_sequence_numbers_have_twenty_digits_and_grow_as_text():
    numbers = [messages.sequence_number(number) for number in (1, 9, 10, 2**40)]
    assert {len(number) for number in numbers} == {20}
    assert numbers == sorted(numbers)


def test_lists_of_values_are_refused():
    with pytest.raises(QueueProblem, match="list values") as info:
        messages.check_attributes({"a": {**text("x"), "StringListValues": ["y"]}})
    assert info.value.shape == "UnsupportedOperation"


def test_a_long_number_that_is_none_costs_little():
    with pytest.raises(QueueProblem, match="Can't cast"):
        messages.check_attributes({"n": {"DataType": "Number", "StringValue": "1" * 500_000 + "x"}})
