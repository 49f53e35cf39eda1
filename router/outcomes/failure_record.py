"""On-failure records: what a destination is told of a discarded batch.

`event-source-mappings.md` 5: a document about the request, the response and the batch, its members
in the order AWS sends them. A bucket's object holds the event beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import orjson

from router.model.destination import kind_of
from router.model.errors import RouterError
from router.model.failure import FailureRecord
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, Outcome, PartlySucceeded
from router.model.record import Record

KINESIS_BATCH_INFO: Final = "KinesisBatchInfo"
DYNAMODB_BATCH_INFO: Final = "DDBStreamBatchInfo"
WEBHOOK_BATCH_INFO: Final = "RouterWebhookBatchInfo"
"""Named as AWS names its own, with the same members."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was given up, whatever its source."""

    spec: MappingSpec
    condition: str
    invoke_count: int
    outcome: Outcome | None
    request_id: str
    """Of the last invocation, or a fresh one when there was none."""
    letter_id: str
    """A random UUID of the on-failure record's own, the same however often it is sent."""
    wall_ms: int
    executed_version: str = "$LATEST"


def failure_record(
    discarded: Discarded,
    batch_info: Mapping[str, Any],
    group: str,
    event: Callable[[], bytes],
) -> FailureRecord:
    """The on-failure record of a batch that goes anywhere but to a Kafka topic.

    `group` names the shard or partition in an object's key; `event` makes the event JSON that the
    function got, and is only asked for by a bucket.
    """
    document = document_of(discarded, batch_info)
    if kind_of(discarded.spec.destination_arn) != "s3":
        return FailureRecord(orjson.dumps(document))
    document["payload"] = event().decode()
    return FailureRecord(orjson.dumps(document), object_key(discarded, group))


def document_of(discarded: Discarded, batch_info: Mapping[str, Any]) -> dict[str, Any]:
    """The document every source and destination shares, `batch_info` at its end."""
    return {
        "requestContext": {
            "requestId": discarded.request_id,
            "functionArn": discarded.spec.function_arn,
            "condition": discarded.condition,
            "approximateInvokeCount": discarded.invoke_count,
        },
        **_response_context(discarded),
        "version": "1.0",
        "timestamp": timestamp(discarded.wall_ms),
        **batch_info,
    }


def stream_batch_info(
    name: str, spec: MappingSpec, shard: str, records: Sequence[Record]
) -> dict[str, Any]:
    """What is said of a batch of a shard; `name` is one of the three above.

    Raises `RouterError` when there is no record.
    """
    if not records:
        raise RouterError("an on-failure record is about at least one record")
    first, last = records[0], records[-1]
    # DynamoDB's times have whole seconds (P16).
    precision = "seconds" if name == DYNAMODB_BATCH_INFO else "milliseconds"
    return {
        name: {
            "shardId": shard,
            "startSequenceNumber": str(first.position),
            "endSequenceNumber": str(last.position),
            "approximateArrivalOfFirstRecord": timestamp(first.arrival_ms, precision),
            "approximateArrivalOfLastRecord": timestamp(last.arrival_ms, precision),
            "batchSize": len(records),
            "streamArn": spec.source_arn,
        }
    }


def object_key(discarded: Discarded, group: str) -> str:
    """`aws/lambda/<UUID>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random UUID>`, UTC.

    Both times are the document's own; the same record always has the same key, so that a delivery
    that is repeated writes the same object again.
    """
    moment = moment_of(discarded.wall_ms)
    return (
        f"aws/lambda/{discarded.spec.uuid}/{group}/{moment:%Y/%m/%d}/"
        f"{moment:%Y-%m-%dT%H.%M.%S}-{discarded.letter_id}"
    )


def timestamp(wall_ms: int, precision: str = "milliseconds") -> str:
    """Epoch milliseconds as `2026-03-02T10:15:30.123Z`, or to the second."""
    return f"{moment_of(wall_ms).replace(tzinfo=None).isoformat(timespec=precision)}Z"


def moment_of(wall_ms: int) -> datetime:
    """Epoch milliseconds as a moment, UTC."""
    return _EPOCH + timedelta(milliseconds=wall_ms)


def _response_context(discarded: Discarded) -> dict[str, Any]:
    """Absent when the age decided, null when no event could carry the record (P10)."""
    if discarded.condition == "RecordAgeExceeded":
        return {}
    if discarded.condition == "MaximumPayloadSizeExceeded":
        return {"responseContext": None}
    outcome = discarded.outcome
    # The function answered and its partial response failed the batch: no function error (P11).
    is_answered = isinstance(outcome, PartlySucceeded) or (
        isinstance(outcome, Failed) and outcome.is_invalid_response
    )
    return {
        "responseContext": {
            "statusCode": 200,
            "executedVersion": discarded.executed_version,
            "functionError": None if is_answered else "Unhandled",
        }
    }
