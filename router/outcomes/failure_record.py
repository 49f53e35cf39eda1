"""The on-failure record of a discarded batch (`event-source-mappings.md` 5.1)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from router.model.errors import RouterError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, PartlySucceeded
from router.model.record import Record

WEBHOOK_BATCH_INFO: Final = "RouterWebhookBatchInfo"
"""Named as AWS names its own: `KinesisBatchInfo`, `DDBStreamBatchInfo`; same members."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def failure_record(
    *,
    request_id: str,
    spec: MappingSpec,
    shard: str,
    records: Sequence[Record],
    condition: str,
    invoke_count: int,
    outcome: Outcome | None,
    wall_ms: int,
    executed_version: str = "$LATEST",
    batch_info: str = WEBHOOK_BATCH_INFO,
) -> bytes:
    """One JSON document for one discarded batch, members in the order AWS sends them.

    `request_id` is that of the last invocation, or a fresh one when there was none. Raises
    `RouterError` when there is no record.
    """
    if not records:
        raise RouterError("an on-failure record is about at least one record")
    first, last = records[0], records[-1]
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": spec.function_arn,
            "condition": condition,
            "approximateInvokeCount": invoke_count,
        },
        **_response_context(condition, outcome, executed_version),
        "version": "1.0",
        "timestamp": timestamp(wall_ms),
        batch_info: {
            "shardId": shard,
            "startSequenceNumber": str(first.position),
            "endSequenceNumber": str(last.position),
            "approximateArrivalOfFirstRecord": timestamp(first.arrival_ms),
            "approximateArrivalOfLastRecord": timestamp(last.arrival_ms),
            "batchSize": len(records),
            "streamArn": spec.source_arn,
        },
    }
    return orjson.dumps(document)


def timestamp(wall_ms: int) -> str:
    """Epoch milliseconds as `2026-03-02T10:15:30.123Z`."""
    moment = _EPOCH + timedelta(milliseconds=wall_ms)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _response_context(
    condition: str, outcome: Outcome | None, executed_version: str
) -> dict[str, Any]:
    """Absent when the age decided, null when no event could carry the record (P10)."""
    if condition == "RecordAgeExceeded":
        return {}
    if condition == "MaximumPayloadSizeExceeded":
        return {"responseContext": None}
    # The function answered and its partial response failed the batch: no function error (P11).
    is_answered = isinstance(outcome, PartlySucceeded) or (
        isinstance(outcome, Failed) and outcome.is_invalid_response
    )
    return {
        "responseContext": {
            "statusCode": 200,
            "executedVersion": executed_version,
            "functionError": None if is_answered else "Unhandled",
        }
    }
