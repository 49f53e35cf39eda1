"""Joins stages that may not know each other: sources and destinations by ARN."""

from collections.abc import Sequence

from router.embedded.queues import EmbeddedQueues
from router.embedded.source import EmbeddedQueueSource
from router.mapping.kinds.kind import Kind
from router.mapping.queue_shell import QueueSource
from router.mapping.shell import Source, SourceFormat
from router.model.arn import ArnError, parse_arn
from router.model.errors import NotFound
from router.model.resources import Mapping
from router.model.shard import StreamShard
from router.sources.embedded_stream import EmbeddedStreamSource
from router.sources.webhook_format import WebhookFormat
from router.store.base import EnqueuedMessage, OutboxRow, StreamStore
from router.store.catalog import Catalog

DEFAULT_RETENTION_S = 345_600
"""MessageRetentionPeriod of a queue that sets none: 4 days (SQS)."""


class KindTable:
    """Which kind of source runs a mapping, by the service of its event source's ARN."""

    def __init__(self, kinds: dict[str, Kind]) -> None:
        self._kinds = kinds

    def kind_of(self, mapping: Mapping) -> Kind:
        """See `Kinds.kind_of`."""
        try:
            arn = mapping.event_source_arn
            return self._kinds[parse_arn(arn).service if arn else "kafka"]
        except (ArnError, KeyError):
            raise NotFound(f"nothing here reads {mapping.event_source_arn!r}") from None


class EmbeddedConnector:
    """Sources kept in the store."""

    def __init__(self, catalog: Catalog, streams: StreamStore) -> None:
        self._catalog = catalog
        self._streams = streams
        self._webhook_format = WebhookFormat()

    def source(self, arn: str) -> Source:
        """The stream behind an ARN."""
        return EmbeddedStreamSource(self._streams, arn)

    def format(self, arn: str) -> SourceFormat:
        """How its events look. Raises `NotFound` for a kind that is not embedded."""
        if parse_arn(arn).service != "router":
            raise NotFound(f"{arn} is no embedded stream")
        return self._webhook_format

    def shards(self, arn: str) -> Sequence[StreamShard]:
        """All shards of a webhook, parents before their children; none when it does not exist."""
        webhook = self._catalog.webhooks.get(arn.rpartition("/")[2])
        return webhook.spec.stream_shards if webhook and webhook.spec.arn == arn else ()


class QueueConnector:
    """Queues by ARN."""

    def __init__(self, queues: EmbeddedQueues) -> None:
        self._queues = queues

    def source(self, arn: str) -> QueueSource:
        """The queue behind an ARN, there or not: a mapping reads it when it is."""
        return EmbeddedQueueSource(self._queues, arn.rpartition(":")[2])


class QueueMailbox:
    """Delivers on-failure records to embedded queues."""

    def __init__(self, catalog: Catalog, *, is_embedded: bool = True) -> None:
        """Without `is_embedded` queue ARNs mean AWS, and it delivers nothing."""
        self._catalog = catalog
        self.is_embedded = is_embedded

    def route(self, row: OutboxRow) -> EnqueuedMessage | None:
        """A message for the queue, None when it is not an embedded one that exists."""
        if not self.is_embedded:
            return None
        try:
            arn = parse_arn(row.destination)
        except ArnError:
            return None
        queue = self._catalog.queues.get(arn.resource) if arn.service == "sqs" else None
        if queue is None or queue.arn != row.destination:
            return None
        attributes = queue.attributes
        return EnqueuedMessage(
            queue=queue.name,
            body=row.body.decode(),
            attributes=row.attributes,
            trace_header=row.trace_header,
            group=row.group,
            delay_s=int(attributes.get("DelaySeconds", "0")),
            retention_s=int(attributes.get("MessageRetentionPeriod", str(DEFAULT_RETENTION_S))),
        )
