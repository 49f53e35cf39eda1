"""AWS's own library for handlers reads our events, and what its batch processors answer we take.

Byte-compatible with AWS means in the end: code written with it needs no change (11.1, 11.4, D9).
"""

import json

import pytest
from aws_lambda_powertools.utilities import batch as powertools
from aws_lambda_powertools.utilities.data_classes import KafkaEvent, SQSEvent

from router.mapping import engine as e
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.model.queue_message import QueueMessage
from router.model.record import Record
from router.model.source_kind import SourceKind
from router.sources.kafka import event as kafka_event
from router.sources.kafka.format import KafkaFormat
from router.sources.sqs_format import SqsFormat
from tests.unit.mapping.play import spec_of

QUEUE = "arn:aws:sqs:eu-central-1:210987654321:jobs"
MSK = "arn:aws:kafka:eu-central-1:210987654321:cluster/core/1b2c3d4e-0000-4a4a-9b9b-0123456789ab-4"
SERVERS = "b-1.core.example:9098,b-2.core.example:9098"
SENT_MS = 1_772_446_498_204


def message(number, body="{}", group=None, attributes=None):
    system = {
        "ApproximateReceiveCount": "2",
        "SentTimestamp": str(SENT_MS),
        "SenderId": "AROAEXAMPLE:producer",
        "ApproximateFirstReceiveTimestamp": str(SENT_MS + 7),
    }
    if group is not None:
        system |= {
            "SequenceNumber": f"1882{number:04}",
            "MessageGroupId": group,
            "MessageDeduplicationId": f"d{number}",
        }
    return QueueMessage(
        message_id=f"m{number}",
        receipt=f"r{number}",
        body=body,
        md5_of_body="m",
        md5_of_attributes="a" if attributes else None,
        system=system,
        attributes=attributes or {},
    )


class Batch:
    """A batch of one queue: the event as the function gets it, and what its answer does."""

    def __init__(self, *messages, fifo=False):
        arn = QUEUE + (".fifo" if fifo else "")
        self._spec = MappingSpec(
            uuid="u",
            name="m",
            function_arn="arn:f",
            source_arn=arn,
            kind=SourceKind.FIFO if fifo else SourceKind.SQS,
            is_reporting_failures=True,
        )
        self._form = SqsFormat(arn)
        self._held = [
            self._form.message(self._spec, one, position, 0)
            for position, one in enumerate(messages)
        ]
        self.event = json.loads(self._form.build_event(self._held))

    def outcome(self, answer, error_type=None):
        reply = InvokeReply(payload=json.dumps(answer).encode(), error_type=error_type)
        return self._form.interpret(self._spec, self._held, reply)


def bad(record):
    if record.json_body.get("bad"):
        raise ValueError("told to fail")


def answered(event, work, processor):
    return powertools.process_partial_response(
        event=event, record_handler=work, processor=processor, context=None
    )


def test_a_message_of_a_standard_queue_member_by_member():
    attributes = {
        "weeks": {"DataType": "Number", "StringValue": "6"},
        "blob": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    (record,) = SQSEvent(Batch(message(1, '{"order":71}', attributes=attributes)).event).records
    assert record.json_body == {"order": 71}
    assert (record.message_id, record.receipt_handle) == ("m1", "r1")
    assert record.attributes.approximate_receive_count == "2"
    assert record.attributes.sent_timestamp == str(SENT_MS)
    assert record.attributes.sender_id == "AROAEXAMPLE:producer"
    assert record.attributes.approximate_first_receive_timestamp == str(SENT_MS + 7)
    assert record.attributes.message_group_id is None
    weeks, blob = record.message_attributes["weeks"], record.message_attributes["blob"]
    assert (weeks.data_type, weeks.string_value) == ("Number", "6")
    assert (blob.data_type, blob.binary_value) == ("Binary", "AP8=")
    assert record.event_source == "aws:sqs"
    assert record.event_source_arn == QUEUE
    assert record.aws_region == "eu-central-1"
    # Made by the library from the ARN and the region.
    assert record.queue_url == "https://sqs.eu-central-1.amazonaws.com/210987654321/jobs"


def test_a_message_of_a_fifo_queue_has_its_group_and_number():
    (record,) = SQSEvent(Batch(message(3, group="g"), fifo=True).event).records
    assert record.attributes.message_group_id == "g"
    assert record.attributes.message_deduplication_id == "d3"
    assert record.attributes.sequence_number == "18820003"


def test_d9_failures_of_a_standard_queue_are_those_the_processor_names():
    messages = [message(number, json.dumps({"bad": number in {1, 3}})) for number in range(5)]
    one = Batch(*messages)
    processor = powertools.BatchProcessor(powertools.EventType.SQS)
    assert one.outcome(answered(one.event, bad, processor)) == PartlySucceeded((1, 3))
    fine = Batch(*messages[::2])
    assert fine.outcome(answered(fine.event, bad, processor)) == Succeeded()


def test_a_batch_of_which_all_failed_is_an_error_of_the_function():
    """The library raises then; the error is what the interpreter gets."""
    one = Batch(message(1, '{"bad":true}'))
    processor = powertools.BatchProcessor(powertools.EventType.SQS)
    with pytest.raises(Exception, match="All records failed") as caught:
        answered(one.event, bad, processor)
    kind = type(caught.value).__name__
    assert one.outcome({}, kind) == Failed("BatchProcessingError")


def test_p24_of_a_fifo_batch_all_behind_the_first_failure_come_again():
    groups = ["a", "b", "a", "b"]
    one = Batch(
        *(message(n, json.dumps({"bad": n == 1}), group) for n, group in enumerate(groups)),
        fifo=True,
    )
    whole = powertools.SqsFifoPartialProcessor()
    assert one.outcome(answered(one.event, bad, whole)) == PartlySucceeded((1, 2, 3))
    by_group = powertools.SqsFifoPartialProcessor(skip_group_on_error=True)
    assert one.outcome(answered(one.event, bad, by_group)) == PartlySucceeded((1, 3))


def record(offset, value=b'{"amount":5}', key=b"cust-7", headers=()):
    data = kafka_event.RecordWriter("payments", 4).json(offset, SENT_MS, 0, key, value, headers)
    return Record(offset, "k", SENT_MS, len(data) + kafka_event.COMMA_BYTES, data)


def kafka_batch(form, *records):
    command = e.Invoke(1, "payments-4", 0, records, 1)
    return command, json.loads(form.build_event(spec_of(), command))


@pytest.mark.parametrize("arn", [MSK, ""], ids=["msk", "self-managed"])
def test_records_of_a_topic_member_by_member(arn):
    headers = [("trace", b"abc"), ("name", "Zoë".encode()), ("none", b"")]
    _, made = kafka_batch(KafkaFormat(arn, SERVERS), record(10, headers=headers), record(11))
    read = KafkaEvent(made)
    assert read.event_source == ("aws:kafka" if arn else "SelfManagedKafka")
    assert read.event_source_arn == (arn or None)
    assert read.decoded_bootstrap_servers == SERVERS.split(",")
    first, second = read.records
    assert (first.topic, first.partition, first.offset) == ("payments", 4, 10)
    assert (first.timestamp, first.timestamp_type) == (SENT_MS, "CREATE_TIME")
    assert (first.decoded_key, first.decoded_value) == (b"cust-7", b'{"amount":5}')
    assert first.json_value == {"amount": 5}
    assert first.decoded_headers == {"trace": b"abc", "name": "Zoë".encode(), "none": b""}
    assert second.decoded_headers == {}


def test_a_record_without_a_key_has_none():
    _, made = kafka_batch(KafkaFormat("", SERVERS), record(1, key=None))
    (shown,) = KafkaEvent(made).records
    assert shown.key is None
    assert shown.decoded_key is None


@pytest.mark.parametrize("arn", [MSK, ""], ids=["msk", "self-managed"])
def test_d9_p21_failures_of_a_topic_are_those_the_processor_names(arn):
    """Its `itemIdentifier` is an object of partition and offset, as ours is read."""
    form = KafkaFormat(arn, SERVERS)
    values = [json.dumps({"bad": offset in {10, 12}}).encode() for offset in range(10, 14)]
    command, made = kafka_batch(
        form, *(record(10 + index, value) for index, value in enumerate(values))
    )

    def work(record):
        if record.json_value["bad"]:
            raise ValueError("told to fail")

    processor = powertools.BatchProcessor(powertools.EventType.Kafka)
    answer = answered(made, work, processor)
    reply = InvokeReply(payload=json.dumps(answer).encode())
    spec = spec_of(is_reporting_failures=True)
    assert form.interpret(spec, command, reply) == PartlySucceeded((0, 2))
