"""Which settings go with which kind of source (`event-source-mappings.md` 1.3)."""

from collections.abc import Iterator
from typing import Any, Final

from router.mapping.rules.refusal import Refusal, Settings, unsupported
from router.model.source_kind import KAFKAS, SourceKind

_FILTER: Final = frozenset({"FilterCriteria", "KMSKeyArn"})
_QUEUE: Final = _FILTER | {
    "FunctionResponseTypes",
    "ScalingConfig",
    "ProvisionedPollerConfig",
    "MetricsConfig",
}
_START: Final = frozenset({"StartingPosition", "StartingPositionTimestamp"})
_RETRY: Final = frozenset(
    {
        "FunctionResponseTypes",
        "MaximumRetryAttempts",
        "MaximumRecordAgeInSeconds",
        "BisectBatchOnFunctionError",
    }
)
_STREAM: Final = (
    _FILTER
    | _START
    | _RETRY
    | {"MetricsConfig", "ParallelizationFactor", "TumblingWindowInSeconds", "DestinationConfig"}
)
_KAFKA: Final = (
    _FILTER
    | _START
    | _RETRY
    | {
        "ProvisionedPollerConfig",
        "MetricsConfig",
        "LoggingConfig",
        "DestinationConfig",
        "Topics",
        "SourceAccessConfigurations",
        "ParallelizationFactor",
    }
)

TAKES: Final[dict[SourceKind, frozenset[str]]] = {
    SourceKind.SQS: _QUEUE,
    SourceKind.FIFO: _QUEUE,
    SourceKind.WEBHOOK: _STREAM,
    SourceKind.KINESIS: _STREAM,
    SourceKind.DYNAMODB: _STREAM - {"StartingPositionTimestamp"},
    SourceKind.MSK: _KAFKA | {"AmazonManagedKafkaEventSourceConfig"},
    SourceKind.KAFKA: _KAFKA | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
    SourceKind.MQ: _FILTER | {"Queues", "SourceAccessConfigurations"},
    SourceKind.DOCUMENTDB: _START | {"SourceAccessConfigurations", "DocumentDBEventSourceConfig"},
}
"""Per kind of source, what it takes beside `ALL_TAKE`. `ParallelizationFactor` on Kafka is ours:
AWS refuses it there."""

ALL_TAKE: Final = frozenset(
    {
        "UUID",
        "EventSourceArn",
        "FunctionName",
        "Enabled",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "Tags",
    }
)

PROVISIONED_ONLY: Final[dict[str, tuple[Any, ...]]] = {
    "FunctionResponseTypes": ((), []),
    "MaximumRetryAttempts": (-1,),
    "MaximumRecordAgeInSeconds": (-1,),
    "BisectBatchOnFunctionError": (False,),
    "LoggingConfig": ({},),
}
"""What a Kafka mapping takes in provisioned mode only, and what of it says nothing: a mapping that
leaves that mode must be able to take its retry settings back."""

UNSUPPORTED_DESTINATION: Final = (
    "Unsupported DestinationConfig parameter for given event source mapping type."
)

_HINT: Final = "Kafka mappings take it in provisioned mode only (ProvisionedPollerConfig)."


def takes(kind: SourceKind, name: str) -> bool:
    """Whether a kind of source takes a setting."""
    return name in ALL_TAKE or name in TAKES[kind]


def is_unset(value: Any) -> bool:
    """Whether a value clears its setting, so that it says nothing where there is none."""
    return value is None or value in ({}, [], "")


def is_provisioned(settings: Settings) -> bool:
    """Whether these are settings of provisioned mode."""
    return bool(settings.get("ProvisionedPollerConfig"))


def refuse_foreign(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """Settings the kind of source does not take, or not in its mode."""
    is_on_demand_kafka = kind in KAFKAS and not is_provisioned(settings)
    for name, value in settings.items():
        if name == "DestinationConfig" and not takes(kind, name):
            if ((value or {}).get("OnFailure") or {}).get("Destination"):
                yield Refusal(UNSUPPORTED_DESTINATION, name, "OnFailure")
        elif is_unset(value):
            continue
        elif not takes(kind, name):
            yield unsupported(name)
        elif is_on_demand_kafka and value not in PROVISIONED_ONLY.get(name, (value,)):
            yield unsupported(name, hint=_HINT)
