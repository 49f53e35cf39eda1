"""How a webhook stream's batches look to a function, and what replies to them mean."""

from collections.abc import Sequence

from router.mapping.engine import Discard
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.record import Record
from router.outcomes.failure_record import failure_record
from router.outcomes.interpret import interpret
from router.sources.webhook_event import build_event


class WebhookFormat:
    """Events, replies and on-failure records of webhook streams (`design.md` 5, 7a)."""

    def build_event(self, shard: str, records: Sequence[Record]) -> bytes:
        """`{"Records": […]}`."""
        return build_event(records, shard)

    def interpret(
        self,
        spec: MappingSpec,
        shard: str,  # noqa: ARG002  other sources name positions per shard
        records: Sequence[Record],
        reply: InvokeReply,
    ) -> Outcome:
        """What a reply means; `itemIdentifier` is the sequence number."""
        return interpret(reply.payload, reply.error_type, spec, records)

    def failure_record(
        self, spec: MappingSpec, command: Discard, *, request_id: str, wall_ms: int
    ) -> bytes:
        """The on-failure record, with `RouterWebhookBatchInfo`."""
        return failure_record(
            request_id=request_id,
            spec=spec,
            shard=command.update.shard,
            records=command.records,
            condition=command.condition,
            invoke_count=command.invoke_count,
            outcome=command.outcome,
            wall_ms=wall_ms,
        )
