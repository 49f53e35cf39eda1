"""The on-failure record, member by member: `event-source-mappings.md` 5.1."""

import orjson
import pytest

from router.model.errors import RouterError
from router.model.outcome import Failed, PartlySucceeded
from router.outcomes.failure_record import failure_record, timestamp
from tests.unit.mapping.play import record, spec_of

SPEC = spec_of()
BATCH = [record(7, arrival_ms=1_772_446_498_204), record(12, arrival_ms=1_772_446_499_871)]


def document(**changed) -> dict:
    given = {
        "request_id": "0c1f6a52-7d0e-4f41-9b7e-2f6f5f3a8c11",
        "spec": SPEC,
        "shard": "shardId-000000000004",
        "records": BATCH,
        "condition": "RetryAttemptsExhausted",
        "invoke_count": 3,
        "outcome": Failed("ValueError"),
        "wall_ms": 1_772_446_530_123,
    }
    return orjson.loads(failure_record(**(given | changed)))


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
