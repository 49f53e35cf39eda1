"""The on-failure record, member by member: `event-source-mappings.md` 5.1."""

import orjson
import pytest

from router.model.errors import RouterError
from router.model.outcome import Failed, PartlySucceeded
from router.model.record import Record
from router.outcomes import failure_record as module
from router.outcomes.failure_record import (
    DYNAMODB_BATCH_INFO,
    KINESIS_BATCH_INFO,
    WEBHOOK_BATCH_INFO,
    Discarded,
    stream_batch_info,
    timestamp,
)
from tests.unit.mapping.play import record, spec_of

QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
SPEC = spec_of(destination_arn=QUEUE)
BATCH = [record(7, arrival_ms=1_772_446_498_204), record(12, arrival_ms=1_772_446_499_871)]
SHARD = "shardId-000000000004"
LETTER = "5d8f7d1a-2222-4333-8444-555566667777"


def told(records=BATCH, name=WEBHOOK_BATCH_INFO, event=b"{}", **changed):
    given = {
        "request_id": "0c1f6a52-7d0e-4f41-9b7e-2f6f5f3a8c11",
        "letter_id": LETTER,
        "spec": SPEC,
        "condition": "RetryAttemptsExhausted",
        "invoke_count": 3,
        "outcome": Failed("ValueError"),
        "wall_ms": 1_772_446_530_123,
    }
    discarded = Discarded(**(given | changed))
    info = stream_batch_info(name, discarded.spec, SHARD, records)
    return module.failure_record(discarded, info, SHARD, lambda: event)


def document(**changed) -> dict:
    return orjson.loads(told(**changed).body)


def test_p8_p16_retries_exhausted_has_every_member_in_order():
    found = document()
    assert found == {
        "requestContext": {
            "requestId": "0c1f6a52-7d0e-4f41-9b7e-2f6f5f3a8c11",
            "functionArn": SPEC.function_arn,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": "2026-03-02T10:15:30.123Z",
        "RouterWebhookBatchInfo": {
            "shardId": "shardId-000000000004",
            "startSequenceNumber": "7",
            "endSequenceNumber": "12",
            "approximateArrivalOfFirstRecord": "2026-03-02T10:14:58.204Z",
            "approximateArrivalOfLastRecord": "2026-03-02T10:14:59.871Z",
            "batchSize": 2,
            "streamArn": SPEC.source_arn,
        },
    }
    assert list(found) == [
        "requestContext",
        "responseContext",
        "version",
        "timestamp",
        "RouterWebhookBatchInfo",
    ]
    assert list(found["requestContext"]) == [
        "requestId",
        "functionArn",
        "condition",
        "approximateInvokeCount",
    ]
    assert list(found["responseContext"]) == ["statusCode", "executedVersion", "functionError"]
    assert list(found["RouterWebhookBatchInfo"]) == [
        "shardId",
        "startSequenceNumber",
        "endSequenceNumber",
        "approximateArrivalOfFirstRecord",
        "approximateArrivalOfLastRecord",
        "batchSize",
        "streamArn",
    ]


def test_p10_age_exceeded_has_no_response_context():
    found = document(condition="RecordAgeExceeded", invoke_count=1, outcome=None)
    assert "responseContext" not in found
    assert found["requestContext"]["approximateInvokeCount"] == 1


def test_payload_size_exceeded_has_a_null_response_context():
    found = document(condition="MaximumPayloadSizeExceeded", invoke_count=1, outcome=None)
    assert found["responseContext"] is None


@pytest.mark.parametrize(
    "outcome", [Failed("InvalidBatchResponse", is_invalid_response=True), PartlySucceeded((0,))]
)
def test_p11_a_function_that_answered_has_no_function_error(outcome):
    assert document(outcome=outcome)["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }


def test_a_last_attempt_nobody_remembers_counts_as_unhandled():
    assert document(outcome=None)["responseContext"]["functionError"] == "Unhandled"


def test_executed_version_is_the_one_that_ran():
    assert document(executed_version="7")["responseContext"]["executedVersion"] == "7"


def test_no_records_is_refused():
    with pytest.raises(RouterError):
        document(records=[])


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_772_446_498_001, "2026-03-02T10:14:58.001Z"),
    ],
)
def test_timestamps_always_have_milliseconds(wall_ms, text):
    assert timestamp(wall_ms) == text


def test_p16_dynamodb_has_arrival_times_without_milliseconds_and_kinesis_with():
    found = document(name=DYNAMODB_BATCH_INFO)
    assert found["timestamp"] == "2026-03-02T10:15:30.123Z"
    info = found["DDBStreamBatchInfo"]
    assert info["approximateArrivalOfFirstRecord"] == "2026-03-02T10:14:58Z"
    assert info["approximateArrivalOfLastRecord"] == "2026-03-02T10:14:59Z"
    info = document(name=KINESIS_BATCH_INFO)["KinesisBatchInfo"]
    assert info["approximateArrivalOfFirstRecord"] == "2026-03-02T10:14:58.204Z"


def test_p16_sequence_numbers_are_text_of_any_length():
    long = 49659821077391040021437465281370528493710284659201998850
    records = [Record(long, "k", 0, 1, b"")]
    info = document(records=records, name=KINESIS_BATCH_INFO)["KinesisBatchInfo"]
    assert info["startSequenceNumber"] == str(long)


def test_p17_a_bucket_gets_the_event_beside_it_as_text():
    event = '{"Records":[{"body":"say \\"\u00fc\\""}]}'.encode()
    bucket = spec_of(destination_arn="arn:aws:s3:::kept")
    found = told(spec=bucket, event=event)
    read = orjson.loads(found.body)
    assert list(read)[-1] == "payload"
    assert read["payload"] == event.decode()
    assert read == document() | {"payload": event.decode()}
    assert found.object_key == (
        f"aws/lambda/{SPEC.uuid}/{SHARD}/2026/03/02/2026-03-02T10.15.30-{LETTER}"
    )


@pytest.mark.parametrize(
    "destination",
    [QUEUE, "arn:aws:sns:us-east-1:000000000000:t", "arn:aws:lambda:us-east-1:0:function:f", "odd"],
)
def test_all_others_get_the_document_alone(destination):
    found = told(spec=spec_of(destination_arn=destination), event=None)
    assert orjson.loads(found.body) == document()
    assert found.object_key == ""
