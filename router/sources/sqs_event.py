"""Events of queues: byte for byte as Lambda builds them (`event-source-mappings.md` 11.1)."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from router.model.queue_message import QueueMessage

_SYSTEM_ORDER: Final = (
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "SentTimestamp",
    "SequenceNumber",
    "MessageGroupId",
    "DeadLetterQueueSourceArn",
    "SenderId",
    "MessageDeduplicationId",
    "ApproximateFirstReceiveTimestamp",
)

GROWTH_BYTES: Final = 16
"""What the record of one message may grow from receipt to receipt: its count, its handle."""


def event_record(
    message: QueueMessage, arn: str, region: str, *, has_empty_digest: bool
) -> dict[str, Any]:
    """One record of an event.

    `has_empty_digest`: without message attributes `md5OfMessageAttributes` is null instead of
    missing; so it is where the mapping has a batching window (P23).
    """
    record: dict[str, Any] = {
        "messageId": message.message_id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": _system(message.system),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.attributes.items()
        },
    }
    if message.md5_of_attributes is not None or has_empty_digest:
        record["md5OfMessageAttributes"] = message.md5_of_attributes
    record["md5OfBody"] = message.md5_of_body
    record["eventSource"] = "aws:sqs"
    record["eventSourceARN"] = arn
    record["awsRegion"] = region
    return record


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """A record as it stands in an event."""
    # What the encoder returns keeps the room it was made in, several times its length, for as
    # long as it lives; this is a copy of its own size.
    return b"".join((orjson.dumps(record), b""))


def build_event(records: Iterable[bytes]) -> bytes:
    """The event JSON of a batch."""
    parts = [b'{"Records":[']
    for record in records:
        parts += (record, b",")
    if len(parts) > 1:
        parts.pop()
    parts.append(b"]}")
    return b"".join(parts)  # at once: batches may be large, and each copy counts


def _system(system: Mapping[str, str]) -> dict[str, str]:
    found = {name: system[name] for name in _SYSTEM_ORDER if name in system}
    if len(found) < len(system):
        found.update({name: value for name, value in system.items() if name not in found})
    return found


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if value.get("StringValue") is not None:
        shown["stringValue"] = value["StringValue"]
    if (binary := value.get("BinaryValue")) is not None:
        text = base64.b64encode(binary).decode() if isinstance(binary, bytes) else binary
        shown["binaryValue"] = text
    return {**shown, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
