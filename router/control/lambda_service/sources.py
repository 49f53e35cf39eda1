"""Which settings of a mapping go with which kind of source (`event-source-mappings.md` 1.3)."""

from collections.abc import Mapping
from typing import Any, Final

from router.control.lambda_service.names import invalid
from router.mapping.filtering import FAMILIES, FILTERS_MAX, parse_filter
from router.model.arn import ArnError, parse_arn
from router.patterns.problems import PatternError

RECORD_AGE_S_MIN: Final = 60
FIFO_BATCH_MAX: Final = 10

UNSUPPORTED_DESTINATION: Final = (
    "Unsupported DestinationConfig parameter for given event source mapping type."
)

_FILTER: Final = frozenset({"FilterCriteria", "KMSKeyArn"})
_QUEUE: Final = _FILTER | {
    "FunctionResponseTypes",
    "ScalingConfig",
    "ProvisionedPollerConfig",
    "MetricsConfig",
}
_STREAM: Final = _FILTER | {
    "FunctionResponseTypes",
    "MetricsConfig",
    "StartingPosition",
    "StartingPositionTimestamp",
    "ParallelizationFactor",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "TumblingWindowInSeconds",
}
_KAFKA: Final = _FILTER | {
    "FunctionResponseTypes",
    "ProvisionedPollerConfig",
    "MetricsConfig",
    "LoggingConfig",
    "StartingPosition",
    "StartingPositionTimestamp",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "Topics",
    "SourceAccessConfigurations",
}

TAKES: Final[dict[str, frozenset[str]]] = {
    "sqs": _QUEUE,
    "fifo": _QUEUE,
    "webhook": _STREAM,
    "kinesis": _STREAM,
    "dynamodb": _STREAM - {"StartingPositionTimestamp"},
    "msk": _KAFKA | {"AmazonManagedKafkaEventSourceConfig"},
    "kafka": _KAFKA | {"SelfManagedKafkaEventSourceConfig", "SelfManagedEventSource"},
    "mq": _FILTER | {"Queues", "SourceAccessConfigurations"},
    "documentdb": frozenset(
        {
            "StartingPosition",
            "StartingPositionTimestamp",
            "SourceAccessConfigurations",
            "DocumentDBEventSourceConfig",
        }
    ),
}
"""Per kind of source, what it takes beside what all of them take."""

ALL_TAKE: Final = frozenset(
    {
        "UUID",
        "EventSourceArn",
        "FunctionName",
        "Enabled",
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "DestinationConfig",
        "Tags",
    }
)

WITH_DESTINATION: Final = frozenset({"webhook", "kinesis", "dynamodb", "msk", "kafka"})
NEEDS_POSITION: Final = frozenset({"kinesis", "dynamodb"})

NAMES: Final = {
    "sqs": "SQS",
    "fifo": "SQS FIFO",
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "msk": "Amazon MSK",
    "kafka": "self-managed Kafka",
    "mq": "Amazon MQ",
    "documentdb": "DocumentDB",
}
"""What people call the kinds of sources this version refuses."""


def kind_of(params: Mapping[str, Any]) -> str:
    """The kind of source a request names. Raises `ApiError` for none and for unknown ones."""
    unrecognized = invalid("Unrecognized event source.")
    text = params.get("EventSourceArn")
    if text is None:
        if params.get("SelfManagedEventSource"):
            return "kafka"
        raise unrecognized
    try:
        arn = parse_arn(text)
    except ArnError:
        raise unrecognized from None
    match arn.service:
        case "sqs":
            return "fifo" if arn.resource.endswith(".fifo") else "sqs"
        case "router" if arn.resource.startswith("webhook/"):
            return "webhook"
        case "kinesis" | "dynamodb" | "kafka" | "mq":
            return "msk" if arn.service == "kafka" else arn.service
        case "rds":
            return "documentdb"
    raise unrecognized


def check_destination_shape(params: Mapping[str, Any]) -> None:
    """OnSuccess exists in the model and is refused for every source."""
    config = params.get("DestinationConfig") or {}
    if config.get("OnSuccess"):
        raise invalid(UNSUPPORTED_DESTINATION)


def check_position(kind: str, params: Mapping[str, Any], now_s: float) -> None:
    """StartingPosition and its timestamp, at creation. Raises `ApiError`."""
    position = params.get("StartingPosition")
    if position is None:
        if kind in NEEDS_POSITION:
            raise invalid(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
                "constraint: Member must not be null."
            )
        return
    timestamp = params.get("StartingPositionTimestamp")
    if position == "AT_TIMESTAMP":
        if kind == "dynamodb":
            arn = params.get("EventSourceArn")
            raise invalid(f"Unsupported starting position for arn type: {arn}")
        if timestamp is None:
            raise invalid("Need to specify a timestamp")
        if timestamp > now_s:
            raise invalid("StartingPositionTimestamp cannot be in the future.")
    elif timestamp is not None and "StartingPositionTimestamp" in TAKES[kind]:
        raise invalid("StartingPositionTimestamp is valid only with AT_TIMESTAMP.")


def check_batch(kind: str, batch_size: int, window_s: int) -> None:
    """Batch size and window together. Raises `ApiError`."""
    if kind == "fifo":
        if window_s > 0:
            raise invalid("Batching window is not supported for FIFO queues")
        if batch_size > FIFO_BATCH_MAX:
            raise invalid("Maximum batch size must be between 1 and 10 inclusive")
    if kind == "sqs" and batch_size > 10 and window_s == 0:
        raise invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10"
        )


def check_taken(kind: str, params: Mapping[str, Any]) -> None:
    """Refuse what the kind of source does not take. An empty value is not set."""
    for name, value in params.items():
        if name in ALL_TAKE or name in TAKES[kind] or value in ({}, [], ""):
            continue
        raise invalid(
            f"Unsupported '{name[:1].lower() + name[1:]}' parameter for given event source "
            "mapping type."
        )
    destination = on_failure(params)
    if destination and kind not in WITH_DESTINATION:
        raise invalid(UNSUPPORTED_DESTINATION)
    age_s = params.get("MaximumRecordAgeInSeconds", -1)
    if 0 <= age_s < RECORD_AGE_S_MIN:
        raise invalid(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 "
            "(inclusive)"
        )
    if kind == "kafka" and not params.get("SourceAccessConfigurations"):
        raise invalid("Required 'sourceAccessConfigurations' parameter is missing.")
    metrics = (params.get("MetricsConfig") or {}).get("Metrics") or []
    if kind not in {"msk", "kafka"} and any(metric != "EventCount" for metric in metrics):
        raise invalid("Unsupported 'metricsConfig' parameter for given event source mapping type.")


def on_failure(params: Mapping[str, Any]) -> str | None:
    """The on-failure destination; empty text takes it away, None says nothing of it."""
    config = params.get("DestinationConfig")
    if config is None:
        return None
    destination: str = (config.get("OnFailure") or {}).get("Destination") or ""
    return destination


def filters_of(params: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The filters a request sets; none takes them away, None says nothing of them."""
    criteria = params.get("FilterCriteria")
    if criteria is None:
        return None
    return tuple(item.get("Pattern") or "" for item in criteria.get("Filters") or ())


def check_filters(kind: str, texts: tuple[str, ...]) -> None:
    """Raise `ApiError` for too many filters and for what is no pattern for this kind of source."""
    if len(texts) > FILTERS_MAX:
        raise invalid(f"Filter criteria exceed the limit of {FILTERS_MAX} filters.")
    for text in texts:
        try:
            parse_filter(FAMILIES[kind], text)
        except PatternError:
            raise invalid("Invalid filter pattern definition.") from None
