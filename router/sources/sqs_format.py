"""How a queue's messages look to a mapping, to its filters and to its function."""

from collections.abc import Sequence
from typing import Final

import orjson

from router.mapping.filtering import FAMILIES, Family, MatchDocument
from router.mapping.match_document import of_sqs
from router.mapping.queue_events import Message
from router.model.arn import parse_arn
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.queue_message import QueueMessage
from router.model.record import Record
from router.model.trace_header import lineage_of
from router.outcomes.interpret import interpret
from router.sources.sqs_event import GROWTH_BYTES, build_event, event_record, record_bytes


class SqsFormat:
    """Of one queue."""

    filters: Final[Family] = FAMILIES["sqs"]

    def __init__(self, arn: str) -> None:
        """`arn`: of the queue."""
        self._arn = arn
        self._region = parse_arn(arn).region

    def message(
        self, spec: MappingSpec, received: QueueMessage, position: int, until_ms: int
    ) -> Message:
        """A received message as an engine holds it."""
        data = record_bytes(
            event_record(received, self._arn, self._region, has_empty_digest=spec.window_ms > 0)
        )
        system = received.system
        trace_header = system.get("AWSTraceHeader", "")
        return Message(
            position=position,
            key=system.get("MessageGroupId", "") if spec.source_arn.endswith(".fifo") else "",
            arrival_ms=int(system.get("SentTimestamp", 0)),
            size_bytes=len(data) + len(b",") + GROWTH_BYTES,
            data=data,
            event_id=received.message_id,
            receipt=received.receipt,
            until_ms=until_ms,
            trace_header=trace_header,
            chain=lineage_of(trace_header),
        )

    def match_document(self, _shard: str, record: Record, *, reads_payload: bool) -> MatchDocument:
        """The record as its function would get it, its body parsed when it is JSON."""
        members = orjson.loads(record.data)
        return of_sqs(members) if reads_payload else MatchDocument(members)

    def build_event(self, messages: Sequence[Message]) -> bytes:
        """`{"Records": […]}`."""
        return build_event(message.data for message in messages)

    def interpret(
        self, spec: MappingSpec, messages: Sequence[Message], reply: InvokeReply
    ) -> Outcome:
        """What a reply means; `itemIdentifier` is the message id."""
        names = [message.event_id for message in messages]
        return interpret(reply.payload, reply.error_type, spec, messages, names)
