"""How a webhook stream's batches look to a function, and what replies to them mean."""

from typing import Final

import orjson

from router.mapping.engine import Discard, Invoke
from router.mapping.filtering import FAMILIES, Family, MatchDocument
from router.mapping.match_document import of_webhook
from router.model.failure import FailureRecord
from router.model.function import InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.record import Record
from router.model.window import InvokeWindow, window_frame_bytes
from router.outcomes.failure_record import (
    WEBHOOK_BATCH_INFO,
    Discarded,
    failure_record,
    stream_batch_info,
)
from router.outcomes.interpret import interpret
from router.sources.documents import DocumentCache
from router.sources.sieve import LARGE_BYTES
from router.sources.webhook_event import build_event, event_record
from router.sources.window_event import window_tail


class WebhookFormat:
    """Events, replies and on-failure records of webhook streams (`design.md` 5, 7a)."""

    filters: Final[Family] = FAMILIES["webhook"]

    def __init__(self) -> None:
        self._parsed = DocumentCache()
        self._parsed_large = DocumentCache(kept_max=1)
        self._unparsed = DocumentCache()

    def match_document(self, shard: str, record: Record, *, reads_payload: bool) -> MatchDocument:
        """The record as its function would get it, its body parsed when it is JSON."""
        if reads_payload:
            # Large ones are read in threads, which small ones must not wait for.
            is_large = len(record.data) > LARGE_BYTES
            documents = self._parsed_large if is_large else self._parsed
            return documents.get(shard, record, _parsed)
        return self._unparsed.get(shard, record, _unparsed)

    def build_event(self, spec: MappingSpec, command: Invoke) -> bytes:
        """`{"Records": […]}`, with a window's members behind them where there is one."""
        if command.window is None:
            return build_event(command.records, command.shard)
        tail = window_tail(command.window, command.shard, spec.source_arn)
        return build_event(command.records, command.shard, tail)

    def interpret(self, spec: MappingSpec, command: Invoke, reply: InvokeReply) -> Outcome:
        """What a reply means; `itemIdentifier` is the sequence number."""
        state_bytes_max = None
        if command.window is not None:
            frame_bytes = window_frame_bytes(command.shard, spec.source_arn)
            state_bytes_max = spec.event_bytes_max - frame_bytes
        return interpret(
            reply.payload,
            reply.error_type,
            spec,
            command.records,
            state_bytes_max=state_bytes_max,
        )

    def failure_record(self, command: Discard, discarded: Discarded) -> FailureRecord:
        """The on-failure record, with `RouterWebhookBatchInfo`."""
        spec, shard, records = discarded.spec, command.update.shard, command.records
        info = stream_batch_info(WEBHOOK_BATCH_INFO, spec, shard, records)

        def event() -> bytes:
            window = command.update.lane.window
            if window is None or window.state is None:
                return build_event(records, shard)
            call = InvokeWindow(window.start_ms, window.end_ms, window.state)
            return build_event(records, shard, window_tail(call, shard, spec.source_arn))

        return failure_record(discarded, info, shard, event)


def _parsed(shard: str, record: Record) -> MatchDocument:
    return of_webhook(orjson.loads(event_record(shard, record)))


def _unparsed(shard: str, record: Record) -> MatchDocument:
    return MatchDocument(orjson.loads(event_record(shard, record)))
