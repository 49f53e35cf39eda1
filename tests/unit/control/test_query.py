"""Forms in, XML out: flattened lists and maps of SQS (`bus-http-and-schedules.md` 6.1)."""

import json
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.control import compact, model
from router.control.errors import ApiError, Malformed
from router.control.model import ServiceModel
from router.control.protocol import query
from router.control.protocol.wire import Request


def sqs_model():
    data, _version = model.source()
    small = json.dumps(compact.compact(compact.read_model(data, "sqs"), {}))
    return msgspec.json.decode(small, type=ServiceModel)


SQS = sqs_model()
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def parse(operation, **form):
    form = {key.replace("__", "."): value for key, value in form.items()}
    return query.parse(SQS, SQS.operations[operation], form, query.SQS)


def serialize(operation, result):
    reply = query.serialize(SQS, operation, SQS.operations[operation], result, "id", query.SQS)
    return ET.fromstring(reply.body)


def test_lists_are_read_by_number_not_by_place():
    parsed = parse("GetQueueAttributes", AttributeName__10="c", AttributeName__2="b",
                   AttributeName__1="a", QueueUrl="u")  # fmt: skip
    assert parsed.params == {"AttributeNames": ["a", "b", "c"], "QueueUrl": "u"}
    assert parse("UntagQueue", TagKey="only").params == {"TagKeys": ["only"]}


def test_structures_in_lists_in_maps():
    parsed = parse(
        "SendMessageBatch",
        SendMessageBatchRequestEntry__1__Id="a",
        SendMessageBatchRequestEntry__1__DelaySeconds="3",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Name="k",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Value__DataType="Binary",
        SendMessageBatchRequestEntry__1__MessageAttribute__1__Value__BinaryValue="AAE=",
    )
    (entry,) = parsed.params["Entries"]
    assert entry == {
        "Id": "a",
        "DelaySeconds": 3,
        "MessageAttributes": {"k": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}},
    }
    tagged = parse("CreateQueue", Tag__1__Key="k", Tag__1__Value="", Attribute__1__Name="a")
    assert tagged.params == {"tags": {"k": ""}, "Attributes": {"a": None}}


def test_what_nobody_knows_is_noted():
    parsed = parse("SendMessage", Nope="1", MessageAttribute__1__Name="a", AWSAccessKeyId="x")
    assert sorted(parsed.unknown) == ["AWSAccessKeyId", "Nope"]


@pytest.mark.parametrize(
    "form",
    [
        {"MessageBody.1": "x"},
        {"MessageAttribute": "x"},
        {"MessageAttribute.x.Name": "a"},
        {"MessageAttribute.1.Value.DataType": "String"},
        {"DelaySeconds": "soon"},
        {"DelaySeconds": "9" * 5_000},
        {"MessageBody": "x", "MessageBody.1": "y"},
        {"MessageBody.1": "y", "MessageBody": "x"},
        {"a." * 9 + "b": "deep"},
    ],
)
def test_forms_that_cannot_be_read(form):
    with pytest.raises(Malformed):
        query.parse(SQS, SQS.operations["SendMessage"], form, query.SQS)


KEYS = st.lists(
    st.sampled_from(
        ["MessageAttribute", "1", "2", "Name", "Value", "DataType", "MessageBody", "x"]
    ),
    min_size=1,
    max_size=10,
).map(".".join)


@given(st.dictionaries(KEYS, st.text(max_size=5), max_size=8))
def test_any_form_is_read_or_malformed(form):
    try:
        parsed = query.parse(SQS, SQS.operations["SendMessage"], form, query.SQS)
    except Malformed:
        return
    assert set(parsed.params) <= set(SQS.shape("SendMessageRequest").members)


def test_answers_repeat_elements_and_leave_nothing_out():
    root = serialize(
        "ReceiveMessage",
        {
            "Messages": [
                {
                    "Body": "a\r\nb\x00<",
                    "Attributes": {"SenderId": "me"},
                    "MessageAttributes": {"k": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}},
                },
                {"Body": "second"},
            ]
        },
    )
    first, second = root.findall(f"{NAMESPACE}ReceiveMessageResult/{NAMESPACE}Message")
    assert first.find(f"{NAMESPACE}Body").text == "a\r\nb\ufffd<"
    assert [child.text for child in first.find(f"{NAMESPACE}Attribute")] == ["SenderId", "me"]
    value = first.find(f"{NAMESPACE}MessageAttribute/{NAMESPACE}Value/{NAMESPACE}BinaryValue")
    assert value.text == "AAE="
    assert second.find(f"{NAMESPACE}Body").text == "second"


def test_an_operation_without_a_result_has_no_result_element():
    root = serialize("DeleteMessage", {})
    assert [child.tag.removeprefix(NAMESPACE) for child in root] == ["ResponseMetadata"]
    empty = serialize("ReceiveMessage", {})
    assert list(empty.find(f"{NAMESPACE}ReceiveMessageResult")) == []


def test_booleans_numbers_and_batch_errors():
    root = serialize(
        "DeleteMessageBatch",
        {"Failed": [{"Id": "a", "SenderFault": True, "Code": "c", "Message": "m"}]},
    )
    failed = root.find(f"{NAMESPACE}DeleteMessageBatchResult/{NAMESPACE}BatchResultErrorEntry")
    assert failed.find(f"{NAMESPACE}SenderFault").text == "true"


def test_only_this_message_is_worded_otherwise():
    text = "The specified queue does not exist."
    reply = query.error(query.SQS, ApiError("QueueDoesNotExist", text), "id")
    assert b"for this wsdl version" in reply.body
    other = query.error(query.SQS, ApiError("QueueDoesNotExist", "another text"), "id")
    assert b"<Message>another text</Message><Detail/>" in other.body


def test_fields_come_from_query_and_form():
    body = urlencode({"a": "form", "b": "2"}).encode()
    request = Request("POST", "/", [("a", "query"), ("X-Amz-Date", "now")], {}, body)
    assert query.fields(request) == {"a": "form", "b": "2"}
    with pytest.raises(Malformed):
        query.fields(Request("GET", "/", [("a", "b")] * 2_000, {}, b""))


@pytest.mark.parametrize("body", [b"a=\xff", b"a=%FF", b"a=%ED%A0%80"])
def test_a_form_that_is_no_utf_8_is_refused_not_changed(body):
    with pytest.raises(Malformed):
        query.fields(Request("POST", "/", [], {}, body))
