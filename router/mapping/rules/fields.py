"""The form of a mapping's settings: which members there are, of which type, within which bounds.

What the API's own model checks of a request, for those who read settings elsewhere (templates).
A contract test holds the two together (`event-source-mappings.md` 1.2).
"""

from typing import Final

import msgspec

from router.model import limits


class Flag(msgspec.Struct, frozen=True):
    """A boolean."""


class Integer(msgspec.Struct, frozen=True):
    """A whole number within bounds."""

    least: int
    most: int


class Text(msgspec.Struct, frozen=True):
    """A text; with choices, one of them."""

    length_max: int
    pattern: str | None = None
    choices: tuple[str, ...] = ()


class ListOf(msgspec.Struct, frozen=True):
    """A list of texts or of blocks."""

    item: "Text | Block"
    items_max: int


class Block(msgspec.Struct, frozen=True):
    """Members by name."""

    members: "dict[str, Field]"
    required: tuple[str, ...] = ()


Field = Flag | Integer | Text | ListOf | Block

_ARN: Final = Text(10_000)
_URI: Final = Text(200, r"[ a-zA-Z0-9\-/*:_+=.@]+")
_GROUP: Final = Text(200, r"[ a-zA-Z0-9\-/*:_+=.@]+")

_ACCESS_TYPES: Final = (
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
    "IAM_AUTH",
    "IAM_OAUTHBEARER_AUTH",
)
_REGISTRY_TYPES: Final = (
    "BASIC_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
)

_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?"

_SCHEMA_REGISTRY: Final = Block(
    {
        "SchemaRegistryURI": Text(10_000, r"[a-zA-Z0-9\-/*:_+=.@]+"),
        "EventRecordFormat": Text(10, choices=("JSON", "SOURCE")),
        "AccessConfigs": ListOf(Block({"Type": Text(40, choices=_REGISTRY_TYPES), "URI": _ARN}), 2),
        "SchemaValidationConfigs": ListOf(
            Block({"Attribute": Text(10, choices=("KEY", "VALUE"))}), 2
        ),
    }
)

FIELDS: Final[dict[str, Field]] = {
    "EventSourceArn": _ARN,
    "BatchSize": Integer(1, limits.BATCH_SIZE_MAX),
    "MaximumBatchingWindowInSeconds": Integer(0, limits.WINDOW_S_MAX),
    "ParallelizationFactor": Integer(1, limits.KAFKA_FACTOR_MAX),
    "MaximumRetryAttempts": Integer(-1, limits.RETRIES_MAX),
    "MaximumRecordAgeInSeconds": Integer(-1, limits.RECORD_AGE_S_MAX),
    "BisectBatchOnFunctionError": Flag(),
    "TumblingWindowInSeconds": Integer(0, limits.TUMBLING_WINDOW_S_MAX),
    "FunctionResponseTypes": ListOf(Text(100, choices=("ReportBatchItemFailures",)), 1),
    "DestinationConfig": Block(
        {
            "OnSuccess": Block({"Destination": Text(350)}),
            "OnFailure": Block({"Destination": Text(350)}),
        }
    ),
    "FilterCriteria": Block(
        {"Filters": ListOf(Block({"Pattern": Text(4_096)}, ("Pattern",)), 10_000)}
    ),
    "KMSKeyArn": _ARN,
    "MetricsConfig": Block(
        {"Metrics": ListOf(Text(20, choices=("EventCount", "ErrorCount", "KafkaMetrics")), 3)}
    ),
    "LoggingConfig": Block({"SystemLogLevel": Text(10, choices=("DEBUG", "INFO", "WARN"))}),
    "ScalingConfig": Block({"MaximumConcurrency": Integer(2, 1_000)}),
    "ProvisionedPollerConfig": Block(
        {
            "MinimumPollers": Integer(1, 200),
            "MaximumPollers": Integer(1, 10_000),
            "PollerGroupName": Text(128, r"[a-zA-Z0-9\-_]*"),
        }
    ),
    "StartingPosition": Text(20, choices=("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")),
    "Topics": ListOf(Text(249, r"[^.]([a-zA-Z0-9\-_.]+)"), 1),
    "Queues": ListOf(Text(1_000), 1),
    "SourceAccessConfigurations": ListOf(
        Block({"Type": Text(40, choices=_ACCESS_TYPES), "URI": _URI}, ("Type",)), 23
    ),
    "SelfManagedEventSource": Block(
        {
            "Endpoints": Block(
                {
                    "KAFKA_BOOTSTRAP_SERVERS": ListOf(
                        Text(300, rf"({_HOST}\.)*{_HOST}:[0-9]{{1,5}}"), 10
                    )
                }
            )
        }
    ),
    "AmazonManagedKafkaEventSourceConfig": Block(
        {"ConsumerGroupId": _GROUP, "SchemaRegistryConfig": _SCHEMA_REGISTRY}
    ),
    "SelfManagedKafkaEventSourceConfig": Block(
        {
            "ConsumerGroupId": _GROUP,
            "SchemaRegistryConfig": _SCHEMA_REGISTRY,
            "ConsumptionMode": Text(10, choices=("Stream", "Queue")),
        }
    ),
    "DocumentDBEventSourceConfig": Block(
        {
            "DatabaseName": Text(63),
            "CollectionName": Text(57),
            "FullDocument": Text(20, choices=("Default", "UpdateLookup")),
        }
    ),
}
"""Members of both CreateEventSourceMapping and templates, but for the function, the switch, the
tags and the timestamp, which the two write differently."""
