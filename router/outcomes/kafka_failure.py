"""On-failure records of Kafka batches (`event-source-mappings.md` 5.2).

Queues, topics of SNS and buckets get one document for the batch; a Kafka topic gets a message for
each record, with that record's key and its own event as an object.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import orjson

from router.model.destination import kind_of
from router.model.errors import RouterError
from router.model.failure import FailureRecord, TopicMessage, pack_messages
from router.outcomes.failure_record import Discarded, document_of, failure_record, timestamp

KAFKA_BATCH_INFO: Final = "KafkaBatchInfo"

_CONDITIONS: Final = {"RetryAttemptsExhausted": "RetriesExhausted"}
"""As the guide prints them for Kafka topics, where they differ from what all others are told."""


class KafkaCluster(msgspec.Struct, frozen=True):
    """Where the records came from."""

    bootstrap_servers: str
    """As in the event: joined by commas."""
    arn: str | None
    """None for a self-managed cluster, whose documents have no `eventSourceArn`."""
    origin: bytes = b""
    """What reaches it again (`FailureRecord.origin`)."""


class KafkaPlace(msgspec.Struct, frozen=True):
    """One discarded record."""

    partition: str
    """`<topic>-<partition>`."""
    offset: int
    timestamp_ms: int
    key: bytes | None


def kafka_failure_record(
    discarded: Discarded,
    cluster: KafkaCluster,
    places: Sequence[KafkaPlace],
    event: Callable[[int, int], bytes],
) -> FailureRecord:
    """The on-failure record of a Kafka batch, for any destination.

    `places` are in the order of the batch. `event` makes the event JSON of the records from one
    index up to another, the first included and the second not. Raises `RouterError` when there is
    no record.
    """
    if not places:
        raise RouterError("an on-failure record is about at least one record")
    if kind_of(discarded.spec.destination_arn) == "kafka":
        messages = [
            TopicMessage(place.key, _message(discarded, cluster, place, event(index, index + 1)))
            for index, place in enumerate(places)
        ]
        return FailureRecord(pack_messages(messages), origin=cluster.origin)
    whole = event(0, len(places))
    about = {"recordsInfo": _records_info(places)}
    info = _batch_info(cluster, len(places), len(whole), about)
    return failure_record(discarded, info, places[0].partition, lambda: whole)


def _message(discarded: Discarded, cluster: KafkaCluster, place: KafkaPlace, event: bytes) -> bytes:
    about = {
        "recordInfo": {"offset": str(place.offset), "timestamp": timestamp(place.timestamp_ms)}
    }
    document = document_of(discarded, _batch_info(cluster, 1, len(event), about))
    request: dict[str, Any] = document["requestContext"]
    request["functionArn"] = _qualified(discarded)
    request["condition"] = _CONDITIONS.get(discarded.condition, discarded.condition)
    # An object here, not text as in a bucket (P17).
    document["payload"] = orjson.Fragment(event)
    return orjson.dumps(document)


def _batch_info(
    cluster: KafkaCluster, size: int, payload_bytes: int, about: dict[str, Any]
) -> dict[str, Any]:
    source = {} if cluster.arn is None else {"eventSourceArn": cluster.arn}
    return {
        KAFKA_BATCH_INFO: {
            "batchSize": size,
            **source,
            "bootstrapServers": cluster.bootstrap_servers,
            "payloadSize": payload_bytes,
            **about,
        }
    }


def _records_info(places: Sequence[KafkaPlace]) -> dict[str, Any]:
    """First and last record of each partition, partitions as they come in the batch."""
    first: dict[str, KafkaPlace] = {}
    last: dict[str, KafkaPlace] = {}
    for place in places:
        first.setdefault(place.partition, place)
        last[place.partition] = place
    return {
        name: {
            "firstRecordOffset": str(place.offset),
            "lastRecordOffset": str(last[name].offset),
            "firstRecordTimestamp": timestamp(place.timestamp_ms),
            "lastRecordTimestamp": timestamp(last[name].timestamp_ms),
        }
        for name, place in first.items()
    }


def _qualified(discarded: Discarded) -> str:
    """Messages to Kafka topics name the function with a qualifier, as the guide shows."""
    arn = discarded.spec.function_arn
    is_qualified = ":" in arn.partition(":function:")[2]
    return arn if is_qualified else f"{arn}:{discarded.executed_version}"
