"""What only Kafka mappings have: a topic, a group, a mode, a schema registry."""

from collections.abc import Iterator
from typing import Any, Final

from router.mapping.rules.refusal import Refusal, Settings, missing, not_here, unsupported
from router.mapping.rules.takes import is_provisioned
from router.model.resources import Mapping
from router.model.source_kind import SourceKind

CONFIG: Final = {
    SourceKind.MSK: "AmazonManagedKafkaEventSourceConfig",
    SourceKind.KAFKA: "SelfManagedKafkaEventSourceConfig",
}
"""The member that holds the group, by kind of source."""

LATER_ACCESS: Final = frozenset(
    {
        "OAUTHBEARER_AUTH",
        "OAUTHBEARER_SCOPE",
        "OAUTHBEARER_AUDIENCE",
        "OAUTHBEARER_LOGICAL_CLUSTER",
        "OAUTHBEARER_IDENTITY_POOL",
        "IAM_AUTH",
        "IAM_OAUTHBEARER_AUTH",
    }
)
"""Ways to sign in to a cluster that are sound and not here yet."""


def config_of(kind: SourceKind, settings: Settings) -> dict[str, Any]:
    """The Kafka block of the settings; empty for other kinds of sources."""
    return settings.get(CONFIG.get(kind, "")) or {}


def is_queue_mode(kind: SourceKind, settings: Settings) -> bool:
    """Whether a share group is asked for (7.5)."""
    return config_of(kind, settings).get("ConsumptionMode") == "Queue"


def check_kafka(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """A topic is there; a schema registry comes in provisioned mode and is whole."""
    if not settings.get("Topics"):
        yield missing("Topics")
    registry = config_of(kind, settings).get("SchemaRegistryConfig")
    if not registry:
        return
    path = (CONFIG[kind], "SchemaRegistryConfig")
    if not is_provisioned(settings):
        hint = "Kafka mappings take it in provisioned mode only (ProvisionedPollerConfig)."
        yield unsupported("SchemaRegistryConfig", *path, hint=hint)
    for name in ("SchemaRegistryURI", "EventRecordFormat", "SchemaValidationConfigs"):
        if not registry.get(name):
            yield missing(name, *path, name)
    uri = registry.get("SchemaRegistryURI") or ""
    if uri.startswith("arn:") and registry.get("AccessConfigs"):
        yield Refusal("A Glue schema registry takes no AccessConfigs.", *path, "AccessConfigs")


def refuse_change(mapping: Mapping, settings: Settings) -> Iterator[Refusal]:
    """Of the Kafka block an update may change the schema registry only."""
    kind = mapping.kind
    config = config_of(kind, settings)
    group = config.get("ConsumerGroupId")
    if group is not None and group != mapping.consumer_group:
        text = "Invalid parameters: ConsumerGroupId. It is set when a mapping is created."
        yield Refusal(text, CONFIG[kind], "ConsumerGroupId")
    mode = config.get("ConsumptionMode")
    if mode is not None and mode != (mapping.consumption_mode or "Stream"):
        text = "Invalid parameters: ConsumptionMode. It is set when a mapping is created."
        yield Refusal(text, CONFIG[kind], "ConsumptionMode")


def refuse_later(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """What AWS runs and this version does not."""
    if is_queue_mode(kind, settings):
        yield not_here(
            "Kafka mappings in Queue mode (share groups) are", CONFIG[kind], "ConsumptionMode"
        )
    if config_of(kind, settings).get("SchemaRegistryConfig"):
        yield not_here("Schema registries are", CONFIG[kind], "SchemaRegistryConfig")
    for index, item in enumerate(settings.get("SourceAccessConfigurations") or []):
        if item.get("Type") in LATER_ACCESS:
            path = ("SourceAccessConfigurations", index, "Type")
            yield not_here(f"SourceAccessConfigurations of type {item['Type']} are", *path)
