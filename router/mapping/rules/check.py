"""All that the settings of a mapping alone can break, in the contract's order (1.5).

destination shape → source → starting position → batch and window → what the kind of source takes →
filters. Whether function, source and destination exist, and whether another mapping stands in the
way, is asked of those who know (`neighbours`), and comes after; what is sound and not here yet
comes last (`later`).
"""

from collections.abc import Iterator

from router.mapping.rules import (
    access,
    batch,
    destination,
    filters,
    kafka,
    position,
    retries,
    scaling,
    takes,
)
from router.mapping.rules.refusal import Refusal, Settings, missing, not_here
from router.mapping.rules.source import source_kind
from router.model.resources import Mapping
from router.model.source_kind import KAFKAS, PEOPLE_SAY, RUN_HERE, SourceKind


def problems(settings: Settings, now_s: float) -> Iterator[Refusal]:
    """What keeps a new mapping from being. `now_s` is epoch seconds."""
    yield from destination.check_shape(settings)
    try:
        kind = source_kind(settings)
    except Refusal as unknown:
        yield unknown
        return
    is_queue_mode = kafka.is_queue_mode(kind, settings)
    if is_queue_mode:
        yield from position.refuse_position_in_queue_mode(settings)
    else:
        yield from position.check_position(kind, settings, now_s)
    yield from batch.check_batch(kind, settings)
    yield from _check_kind(kind, settings)


def update_problems(mapping: Mapping, asked: Settings, merged: Settings) -> Iterator[Refusal]:
    """What keeps a mapping from becoming `merged`, of which `asked` is new (P4)."""
    yield from destination.check_shape(asked)
    kind = mapping.kind
    yield from batch.check_batch(kind, merged)
    yield from access.refuse_create_only(asked)
    yield from kafka.refuse_change(mapping, asked)
    yield from _check_kind(kind, merged)


def _check_kind(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """What the kind of source takes, needs and allows."""
    yield from takes.refuse_foreign(kind, settings)
    yield from batch.check_factor(kind, settings)
    yield from destination.check_destination(kind, settings)
    yield from scaling.check_scaling(kind, settings)
    yield from retries.check_record_age(settings)
    yield from retries.check_metrics(kind, settings)
    if kind in KAFKAS:
        yield from kafka.check_kafka(kind, settings)
    if kind is SourceKind.MQ and not settings.get("Queues"):
        yield missing("Queues")
    if kind is SourceKind.DOCUMENTDB and not settings.get("DocumentDBEventSourceConfig"):
        yield missing("DocumentDBEventSourceConfig")
    yield from access.check_access(kind, settings)
    yield from filters.check_filters(kind, settings)


def later(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """What is sound on AWS and not here yet, by name (`docs/compatibility.md`)."""
    if kind not in RUN_HERE:
        name = "SelfManagedEventSource" if kind is SourceKind.KAFKA else "EventSourceArn"
        yield not_here(f"{PEOPLE_SAY[kind]} event source mappings are", name)
    yield from kafka.refuse_later(kind, settings)
    if settings.get("KMSKeyArn"):
        yield not_here("Filter criteria encrypted with a KMS key are", "KMSKeyArn")
