"""How many run at a time: ScalingConfig and ProvisionedPollerConfig."""

from collections.abc import Iterable, Iterator
from typing import Final

from router.mapping.rules.refusal import Refusal, Settings, unsupported
from router.model.resources import Mapping, Pollers
from router.model.source_kind import KAFKAS, QUEUES, SourceKind

QUEUE_POLLERS_MIN: Final = 2
"""Fewest pollers of a queue, and how many it has that does not say. Of Kafka: 1."""
POLLERS_MAX_DEFAULT: Final = 200
KAFKA_POLLERS_MAX: Final = 2_000
GROUP_MAPPINGS_MAX: Final = 100
"""Mappings of one poller group."""
GROUP_POLLERS_MAX: Final = 2_000
"""Pollers that the mappings of one group may have together."""

_CONFIG: Final = "ProvisionedPollerConfig"


def pollers_of(kind: SourceKind, settings: Settings) -> Pollers | None:
    """ProvisionedPollerConfig with its defaults; None on demand."""
    config = settings.get(_CONFIG)
    if not config:
        return None
    least = config.get("MinimumPollers", QUEUE_POLLERS_MIN if kind in QUEUES else 1)
    most = config.get("MaximumPollers", max(least, POLLERS_MAX_DEFAULT))
    return Pollers(least, most, config.get("PollerGroupName") or "")


def check_scaling(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """Pollers within bounds, and not together with a concurrency."""
    pollers = pollers_of(kind, settings)
    if pollers is None:
        return
    if settings.get("ScalingConfig"):
        yield Refusal(
            "ScalingConfig and ProvisionedPollerConfig cannot be used together.", "ScalingConfig"
        )
    is_queue = kind in QUEUES
    if is_queue and min(pollers.minimum, pollers.maximum) < QUEUE_POLLERS_MIN:
        is_least = pollers.minimum < QUEUE_POLLERS_MIN
        name = "MinimumPollers" if is_least else "MaximumPollers"
        yield Refusal(f"{name} must be at least {QUEUE_POLLERS_MIN} for SQS.", _CONFIG, name)
    if kind in KAFKAS and pollers.maximum > KAFKA_POLLERS_MAX:
        text = f"MaximumPollers must be at most {KAFKA_POLLERS_MAX} for Kafka."
        yield Refusal(text, _CONFIG, "MaximumPollers")
    if pollers.maximum < pollers.minimum:
        text = "MaximumPollers must be greater than or equal to MinimumPollers."
        yield Refusal(text, _CONFIG, "MaximumPollers")
    if pollers.group and is_queue:
        yield unsupported("PollerGroupName", _CONFIG, "PollerGroupName")


def check_group(mapping: Mapping, others: Iterable[Mapping]) -> Iterator[Refusal]:
    """A poller group has room for so many mappings and pollers (7.2)."""
    if mapping.pollers is None or not mapping.pollers.group:
        return
    group = mapping.pollers.group
    members = [
        other.pollers
        for other in others
        if other.uuid != mapping.uuid and other.pollers and other.pollers.group == group
    ]
    path = (_CONFIG, "PollerGroupName")
    if len(members) >= GROUP_MAPPINGS_MAX:
        yield Refusal(f"Poller group {group} has {GROUP_MAPPINGS_MAX} mappings already.", *path)
    total = mapping.pollers.maximum + sum(pollers.maximum for pollers in members)
    if total > GROUP_POLLERS_MAX:
        text = f"The mappings of poller group {group} would have {total} pollers together"
        yield Refusal(f"{text}, and {GROUP_POLLERS_MAX} are the most.", *path)
