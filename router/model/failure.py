"""An on-failure record on its way: what the destination gets, and what it is called there."""

import msgspec

from router.model.resources import SourceAccess


class FailureRecord(msgspec.Struct, frozen=True):
    """What became of a discarded batch, as its destination wants it told.

    `body` is the document; for a Kafka topic, which gets one message for each record, it is
    `pack_messages` of them.
    """

    body: bytes
    object_key: str = ""
    """Of the object in a bucket; empty elsewhere."""
    origin: bytes = b""
    """What a topic in the source's own cluster needs to be reached; empty elsewhere. References
    to secrets, never secrets."""


class KafkaOrigin(msgspec.Struct, frozen=True):
    """`FailureRecord.origin` of a Kafka mapping, as JSON: how its own cluster is reached."""

    source_arn: str
    """Of a cluster of MSK; empty for a self-managed one."""
    bootstrap_servers: tuple[str, ...]
    source_access: tuple[SourceAccess, ...]


class TopicMessage(msgspec.Struct, frozen=True, array_like=True):
    """One message for a Kafka topic, with the key of the record it tells of."""

    key: bytes | None
    value: bytes


def pack_messages(messages: list[TopicMessage]) -> bytes:
    """As they wait in the outbox."""
    return msgspec.msgpack.encode(messages)


def unpack_messages(body: bytes) -> list[TopicMessage]:
    """The reverse of `pack_messages`."""
    return msgspec.msgpack.decode(body, type=list[TopicMessage])
