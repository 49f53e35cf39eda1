"""How a Kafka topic's batches look to a function, and what replies to them mean."""

import base64
from typing import Any, Final

import msgspec
import orjson

from router.mapping.batching import ENVELOPE_BYTES
from router.mapping.engine import Discard, Invoke
from router.mapping.filtering import FAMILIES, Family, MatchDocument
from router.mapping.match_document import of_kafka
from router.model import limits
from router.model.failure import FailureRecord, KafkaOrigin
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.record import Record
from router.outcomes.failure_record import Discarded
from router.outcomes.interpret import interpret
from router.outcomes.kafka_failure import KafkaCluster, KafkaPlace, kafka_failure_record
from router.sources.kafka import event


class KafkaFormat:
    """Events, replies and on-failure records of one mapping's topic (7, 11.4)."""

    filters: Final[Family] = FAMILIES["kafka"]

    def __init__(self, arn: str, bootstrap_servers: str) -> None:
        """`arn` is empty for a self-managed cluster."""
        self._arn = arn
        self._servers = bootstrap_servers
        self._head = event.event_head(arn, bootstrap_servers)

    def event_bytes_max(self, topic: str) -> int:
        """What the records of an event may take so that the whole of it fits (D11).

        Engines count the envelope of a stream; this one is larger.
        """
        longest = event.partition_name(topic, 999_999)
        return limits.EVENT_BYTES_MAX - event.frame_bytes(self._head, longest) + ENVELOPE_BYTES

    def match_document(
        self,
        shard: str,  # noqa: ARG002  the record names its partition
        record: Record,
        *,
        reads_payload: bool,
    ) -> MatchDocument:
        """The record as its function would get it, key and value decoded when asked for."""
        members: dict[str, Any] = orjson.loads(record.data)
        return of_kafka(members) if reads_payload else MatchDocument(members)

    def build_event(
        self,
        spec: MappingSpec,  # noqa: ARG002  nothing of it is in an event
        command: Invoke,
    ) -> bytes:
        """`{"eventSource": …, "records": {"<topic>-<partition>": […]}}`."""
        return event.build_event(self._head, command.shard, command.records)

    def interpret(self, spec: MappingSpec, command: Invoke, reply: InvokeReply) -> Outcome:
        """What a reply means; `itemIdentifier` is an object of partition and offset (4.1)."""

        def read(identifier: Any) -> str | None:
            if not isinstance(identifier, dict) or identifier.get("partition") != command.shard:
                return None
            offset = identifier.get("offset")
            return str(offset) if type(offset) is int else None

        return interpret(reply.payload, reply.error_type, spec, command.records, read=read)

    def failure_record(self, command: Discard, discarded: Discarded) -> FailureRecord:
        """The on-failure record, with `KafkaBatchInfo` (5.2)."""
        shard, records, spec = command.update.shard, command.records, discarded.spec
        origin = KafkaOrigin(spec.source_arn, spec.bootstrap_servers, spec.source_access)
        cluster = KafkaCluster(self._servers, self._arn or None, msgspec.json.encode(origin))
        places = [
            KafkaPlace(shard, record.position, record.arrival_ms, _key(record))
            for record in records
        ]

        def made(first: int, end: int) -> bytes:
            return event.build_event(self._head, shard, records[first:end])

        return kafka_failure_record(discarded, cluster, places, made)


def _key(record: Record) -> bytes | None:
    text = orjson.loads(record.data).get("key")
    return None if text is None else base64.b64decode(text)
