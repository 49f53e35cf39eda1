"""Events of queues, byte for byte (`event-source-mappings.md` 11.1, P23)."""

import tracemalloc

import orjson

from router.mapping.filtering import Form
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.model.queue_message import QueueMessage
from router.model.source_kind import SourceKind
from router.sources.sqs_event import build_event, event_record, record_bytes
from router.sources.sqs_format import SqsFormat

ARN = "arn:aws:sqs:eu-central-1:210987654321:jobs"

CONTRACT = b"""{
  "Records": [
    {
      "messageId": "2b6f3c0a-3e4d-4b55-9a0a-6f0d5e1c7a21",
      "receiptHandle": "AQEBq3v9example",
      "body": "{\\"order\\": 71}",
      "attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1772446498204",
        "SenderId": "AROAEXAMPLE:producer",
        "ApproximateFirstReceiveTimestamp": "1772446498211"
      },
      "messageAttributes": {
        "weeks": {"stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number"}
      },
      "md5OfMessageAttributes": "ad6ff0b2e00e5b24fedd0a9338f65fcc",
      "md5OfBody": "4f177943bedf722b892dc929e2b18374",
      "eventSource": "aws:sqs",
      "eventSourceARN": "arn:aws:sqs:eu-central-1:210987654321:jobs",
      "awsRegion": "eu-central-1"
    }
  ]
}"""  # noqa: E501

MESSAGE = QueueMessage(
    message_id="2b6f3c0a-3e4d-4b55-9a0a-6f0d5e1c7a21",
    receipt="AQEBq3v9example",
    body='{"order": 71}',
    md5_of_body="4f177943bedf722b892dc929e2b18374",
    md5_of_attributes="ad6ff0b2e00e5b24fedd0a9338f65fcc",
    system={
        "SenderId": "AROAEXAMPLE:producer",
        "ApproximateFirstReceiveTimestamp": "1772446498211",
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1772446498204",
    },
    attributes={"weeks": {"StringValue": "6", "DataType": "Number"}},
)


def spec(window_ms=0, *, fifo=False, **settings):
    return MappingSpec(
        uuid="u",
        name="m",
        function_arn="arn:f",
        source_arn=ARN + (".fifo" if fifo else ""),
        kind=SourceKind.FIFO if fifo else SourceKind.SQS,
        window_ms=window_ms,
        **settings,
    )


def plain(**changes):
    return QueueMessage(message_id="1", receipt="r", body="b", md5_of_body="m", **changes)


def test_the_event_is_that_of_the_contract_to_the_byte():
    record = event_record(MESSAGE, ARN, "eu-central-1", has_empty_digest=False)
    # Parsed and written again: no blanks, the members in their order.
    assert build_event([record_bytes(record)]) == orjson.dumps(orjson.loads(CONTRACT))


def test_p23_no_attributes_no_digest_but_null_with_a_window():
    without = event_record(plain(), ARN, "r", has_empty_digest=False)
    assert "md5OfMessageAttributes" not in without
    assert without["messageAttributes"] == {}
    with_window = event_record(plain(), ARN, "r", has_empty_digest=True)
    assert with_window["md5OfMessageAttributes"] is None
    assert list(with_window)[5:7] == ["md5OfMessageAttributes", "md5OfBody"]


def test_binary_attributes_are_base64_wherever_they_come_from():
    for binary in (b"\x00\xff", "AP8="):
        message = plain(attributes={"b": {"DataType": "Binary", "BinaryValue": binary}})
        (shown,) = event_record(message, ARN, "r", has_empty_digest=False)[
            "messageAttributes"
        ].values()
        assert shown == {
            "binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [],
            "dataType": "Binary",
        }  # fmt: skip


def test_system_attributes_have_their_order_and_unknown_ones_are_kept():
    names = ["MessageGroupId", "New", "SequenceNumber", "AWSTraceHeader", "ApproximateReceiveCount"]
    message = plain(system=dict.fromkeys(names, "1"))
    assert list(event_record(message, ARN, "r", has_empty_digest=False)["attributes"]) == [
        "ApproximateReceiveCount", "AWSTraceHeader", "SequenceNumber", "MessageGroupId", "New",
    ]  # fmt: skip


def test_a_message_is_never_taken_for_smaller_than_it_is():
    form = SqsFormat(ARN)
    one = form.message(spec(), MESSAGE, 1, 99)
    two = form.message(spec(), MESSAGE, 2, 99)
    event = form.build_event([one, two])
    assert len(event) <= len(b'{"Records":[]}') + one.size_bytes + two.size_bytes
    assert orjson.loads(event)["Records"][1]["messageId"] == MESSAGE.message_id
    assert (one.event_id, one.arrival_ms, one.until_ms, one.key) == (
        MESSAGE.message_id, 1772446498204, 99, "",
    )  # fmt: skip


def test_p24_groups_are_lanes_on_fifo_queues_only():
    """A standard queue takes a MessageGroupId too, for fairness; it orders nothing."""
    grouped = plain(system={"MessageGroupId": "g"})
    assert SqsFormat(ARN).message(spec(), grouped, 1, 0).key == ""
    assert SqsFormat(ARN + ".fifo").message(spec(fifo=True), grouped, 1, 0).key == "g"


def test_filters_see_the_body_as_json_or_as_text():
    form = SqsFormat(ARN)
    as_json = form.match_document("", form.message(spec(), MESSAGE, 1, 0), reads_payload=True)
    assert as_json.tree["body"] == {"order": 71}
    assert as_json.forms == (Form.JSON,)
    as_text = form.match_document("", form.message(spec(), plain(), 1, 0), reads_payload=True)
    assert as_text.forms == (Form.TEXT,)
    unread = form.match_document("", form.message(spec(), MESSAGE, 1, 0), reads_payload=False)
    assert unread.tree["body"] == '{"order": 71}'


def reply(payload, **more):
    return InvokeReply(payload=orjson.dumps(payload), **more)


def test_p12_d9_what_a_reply_says_of_messages():
    form = SqsFormat(ARN)
    reporting = spec(is_reporting_failures=True)
    received = [
        QueueMessage(message_id=name, receipt="", body="", md5_of_body="") for name in "abc"
    ]
    batch = [form.message(reporting, one, 1, 0) for one in received]

    def says(*entries):
        return form.interpret(reporting, batch, reply({"batchItemFailures": list(entries)}))

    assert says({"itemIdentifier": "c"}, {"itemIdentifier": "a"}) == PartlySucceeded((0, 2))
    assert says() == Succeeded()
    for entry in (
        {"itemIdentifier": ""},
        {"itemIdentifier": None},
        {"foo": 1},
        {"itemIdentifier": "x"},
    ):
        outcome = says({"itemIdentifier": "a"}, entry)
        assert isinstance(outcome, Failed)
        assert outcome.is_invalid_response
    failed = form.interpret(reporting, batch, reply({}, error_type="ValueError"))
    assert failed == Failed("ValueError")


def test_p31_without_the_setting_a_report_is_ignored():
    form = SqsFormat(ARN)
    batch = [form.message(spec(), plain(), 1, 0)]
    said = reply({"batchItemFailures": [{"itemIdentifier": "1"}]})
    assert form.interpret(spec(), batch, said) == Succeeded()


def test_l2_a_record_takes_the_room_of_its_bytes_and_no_more():
    """An encoder's own bytes keep several times their length for as long as a message waits."""
    record = event_record(MESSAGE, ARN, "eu-central-1", has_empty_digest=False)
    tracemalloc.start()
    try:
        kept = [record_bytes(record) for _ in range(10)]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 10 * (len(kept[0]) + 200)
