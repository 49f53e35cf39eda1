"""What replies of functions on Kafka topics mean, and what filters see (4.2, 10, P21)."""

import orjson
import pytest

from router.mapping import engine as e
from router.mapping.filtering import RecordFilter
from router.model.function import InvokeReply
from router.model.limits import EVENT_BYTES_MAX
from router.model.outcome import Failed, PartlySucceeded, Succeeded
from router.model.record import Record
from router.outcomes.interpret import INVALID_RESPONSE
from router.sources.kafka import event
from router.sources.kafka.format import KafkaFormat
from tests.unit.mapping.play import spec_of

FORMAT = KafkaFormat("", "h:9092")


def record(offset: int, value: bytes | None = b"v", key: bytes | None = b"k") -> Record:
    data = event.RecordWriter("t-1", 3).json(offset, 7, 0, key, value, ())
    return Record(offset, "k", 7, len(data) + 1, data)


COMMAND = e.Invoke(1, "t-1-3", 0, (record(5), record(8)), 1)


def outcome(reply, error_type=None, **spec):
    settings = spec_of(is_reporting_failures=True, **spec)
    return FORMAT.interpret(
        settings, COMMAND, InvokeReply(payload=orjson.dumps(reply), error_type=error_type)
    )


def item(offset, partition="t-1-3"):
    return {"itemIdentifier": {"partition": partition, "offset": offset}}


@pytest.mark.parametrize("reply", [None, "", {}, [], {"batchItemFailures": []}])
def test_p12_success(reply):
    assert outcome(reply) == Succeeded()


def test_d9_reported_records_by_partition_and_offset():
    assert outcome({"batchItemFailures": [item(8)]}) == PartlySucceeded((1,))
    assert outcome({"batchItemFailures": [item(8), item(5)]}) == PartlySucceeded((0, 1))


@pytest.mark.parametrize(
    "entry",
    [
        item(6), item(5, "t-1-4"), item(5, "t-1"), item("5"), item(5.0), item(True), item(None),
        {"itemIdentifier": "5"}, {"itemIdentifier": 5}, {"itemIdentifier": None},
        {"itemIdentifier": {}}, {"foo": 1}, "5",
    ],
)  # fmt: skip
def test_p12_anything_else_fails_the_whole_batch(entry):
    assert outcome({"batchItemFailures": [item(5), entry]}) == INVALID_RESPONSE


def test_a_function_error_is_one():
    assert outcome({}, "ValueError") == Failed("ValueError")


def test_d11_an_event_of_the_largest_size_holds_its_envelope():
    frame = event.frame_bytes(event.event_head("", "h:9092"), "t-1-3")
    room = FORMAT.event_bytes_max("t-1")
    assert room - len(b'{"Records":[]}') + frame <= EVENT_BYTES_MAX


def passes(pattern, value: bytes | None, key: bytes | None = b"k") -> bool:
    wanted = RecordFilter(FORMAT.filters, [orjson.dumps(pattern).decode()])
    document = FORMAT.match_document(
        "t-1-3", record(5, value, key), reads_payload=wanted.reads_payload
    )
    return wanted.passes(document)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ({"value": {"a": [1]}}, b'{"a": 1}', True),
        ({"value": {"a": [1]}}, b'{"a": 2}', False),
        ({"value": {"a": [1]}}, b"plain", True),
        ({"value": ["ping"]}, b"ping", True),
        ({"value": ["ping"]}, b"pong", False),
        ({"value": ["ping"]}, b'{"a": 1}', True),
        ({"value": {"a": [1]}}, b"\xff", True),
        ({"value": {"a": [1]}, "partition": [4]}, b"\xff", False),
        ({"value": {"a": [1]}}, None, True),
        ({"partition": [3], "topic": ["t-1"]}, b"x", True),
        ({"offset": [{"numeric": [">", 5]}]}, b"x", False),
        ({"key": ["k"]}, b"x", True),
        ({"key": ["other"]}, b"x", False),
    ],
)
def test_p21_filters_of_kafka(pattern, value, expected):
    assert passes(pattern, value) is expected
