"""Settings in the API's form into a `Mapping`, and back."""

from typing import Any, Final

import msgspec

from router.mapping.rules import kafka
from router.mapping.rules.batch import batch_size_default
from router.mapping.rules.destination import destination_of
from router.mapping.rules.filters import filters_of
from router.mapping.rules.refusal import Settings
from router.mapping.rules.scaling import pollers_of
from router.mapping.rules.source import SERVERS, bootstrap_servers
from router.mapping.rules.takes import is_unset, takes
from router.model.resources import Mapping, SourceAccess
from router.model.source_kind import KAFKAS, SourceKind

PLAIN: Final = {
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "window_s",
    "ParallelizationFactor": "factor",
    "MaximumRetryAttempts": "retries_max",
    "MaximumRecordAgeInSeconds": "record_age_s_max",
    "BisectBatchOnFunctionError": "is_bisecting",
    "TumblingWindowInSeconds": "tumbling_window_s",
    "StartingPosition": "starting_position",
}
"""Members of the API that are kept as they come, and the fields that hold them."""

KEPT: Final = (
    "MetricsConfig",
    "LoggingConfig",
    "KMSKeyArn",
    "Queues",
    "DocumentDBEventSourceConfig",
)
"""Members stored and returned as they came (`Mapping.extra`)."""

WINDOW_DEFAULTS: Final = {SourceKind.MQ: None, SourceKind.DOCUMENTDB: None} | dict.fromkeys(
    KAFKAS, None
)
"""Kinds that wait 500 ms until a window is set; the others have one of 0 s."""

_MERGED: Final = ("ProvisionedPollerConfig", "DocumentDBEventSourceConfig")
"""Blocks whose members stay when an update leaves them out."""

_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Mapping)}


def with_settings(mapping: Mapping, kind: SourceKind, settings: Settings) -> Mapping:
    """The mapping with exactly these settings; what they leave out has its default."""
    fields: dict[str, Any] = {
        field: settings.get(member, _FIELDS[field].default) for member, field in PLAIN.items()
    }
    fields["batch_size"] = settings.get("BatchSize", batch_size_default(kind))
    fields["window_s"] = settings.get(
        "MaximumBatchingWindowInSeconds", WINDOW_DEFAULTS.get(kind, 0)
    )
    timestamp_s = settings.get("StartingPositionTimestamp")
    scaling = settings.get("ScalingConfig") or {}
    config = kafka.config_of(kind, settings)
    group = (config.get("ConsumerGroupId") or mapping.uuid) if kind in KAFKAS else ""
    return msgspec.structs.replace(
        mapping,
        **fields,
        event_source_arn=settings.get("EventSourceArn") or "",
        bootstrap_servers=bootstrap_servers(settings),
        starting_timestamp_ms=None if timestamp_s is None else int(timestamp_s * 1000),
        response_types=tuple(settings.get("FunctionResponseTypes") or ()),
        destination_arn=destination_of(settings) or None,
        filters=filters_of(settings),
        concurrency_max=scaling.get("MaximumConcurrency"),
        pollers=pollers_of(kind, settings),
        topics=tuple(settings.get("Topics") or ()),
        source_access=tuple(
            SourceAccess(item["Type"], item.get("URI", ""))
            for item in settings.get("SourceAccessConfigurations") or ()
        ),
        consumer_group=group,
        consumption_mode=config.get("ConsumptionMode") or "",
        extra=_kept(settings),
    )


def _kept(settings: Settings) -> dict[str, object]:
    kept = {name: settings[name] for name in KEPT if not is_unset(settings.get(name))}
    if kept.get("MetricsConfig") == {"Metrics": []}:
        del kept["MetricsConfig"]
    if (documents := "DocumentDBEventSourceConfig") in kept:
        kept[documents] = {"FullDocument": "Default", **kept[documents]}
    return kept


def settings_of(mapping: Mapping) -> Settings:
    """What `with_settings` makes this mapping of: no defaults where none need be said."""
    kind = mapping.kind
    settings: Settings = {"BatchSize": mapping.batch_size, **mapping.extra}
    for member, field in PLAIN.items():
        value = getattr(mapping, field)
        if takes(kind, member) and value is not None and value != _FIELDS[field].default:
            settings[member] = value
    for member, value in _blocks(kind, mapping).items():
        if value:
            settings[member] = value
    if mapping.starting_timestamp_ms is not None:
        settings["StartingPositionTimestamp"] = mapping.starting_timestamp_ms / 1000
    if takes(kind, "StartingPosition"):
        settings["StartingPosition"] = mapping.starting_position
    if mapping.window_s is not None:
        settings["MaximumBatchingWindowInSeconds"] = mapping.window_s
    return settings


def _blocks(kind: SourceKind, mapping: Mapping) -> Settings:
    """Members that are not plain; empty ones say nothing."""
    servers, destination = list(mapping.bootstrap_servers), mapping.destination_arn
    blocks: Settings = {
        "EventSourceArn": mapping.event_source_arn,
        "SelfManagedEventSource": {"Endpoints": {SERVERS: servers}} if servers else {},
        "FunctionResponseTypes": list(mapping.response_types),
        "DestinationConfig": {"OnFailure": {"Destination": destination}} if destination else {},
        "FilterCriteria": filter_criteria(mapping),
        "ScalingConfig": scaling_config(mapping),
        "ProvisionedPollerConfig": poller_config(mapping),
        "Topics": list(mapping.topics),
        "SourceAccessConfigurations": source_access(mapping),
    }
    if kind in KAFKAS:
        blocks[kafka.CONFIG[kind]] = kafka_config(mapping)
    return blocks


def merged(mapping: Mapping, asked: Settings) -> Settings:
    """The settings as they will be; what an update leaves out stays, what it empties goes."""
    known = settings_of(mapping)
    result = {**known, **{name: value for name, value in asked.items() if value is not None}}
    for name in _MERGED:
        if asked.get(name):
            result[name] = {**known.get(name, {}), **asked[name]}
    if (kafka_name := kafka.CONFIG.get(mapping.kind)) and kafka_name in asked:
        result[kafka_name] = {**known.get(kafka_name, {}), **asked[kafka_name]}
    return result


def filter_criteria(mapping: Mapping) -> dict[str, Any]:
    """FilterCriteria as the API shows it; empty for none."""
    filters = [{"Pattern": pattern} for pattern in mapping.filters]
    return {"Filters": filters} if filters else {}


def scaling_config(mapping: Mapping) -> dict[str, Any]:
    """ScalingConfig as the API shows it; empty for none."""
    most = mapping.concurrency_max
    return {} if most is None else {"MaximumConcurrency": most}


def poller_config(mapping: Mapping) -> dict[str, Any]:
    """ProvisionedPollerConfig as the API shows it; empty for none."""
    pollers = mapping.pollers
    if pollers is None:
        return {}
    config: dict[str, Any] = {
        "MinimumPollers": pollers.minimum,
        "MaximumPollers": pollers.maximum,
    }
    return config | ({"PollerGroupName": pollers.group} if pollers.group else {})


def source_access(mapping: Mapping) -> list[dict[str, str]]:
    """SourceAccessConfigurations as the API shows them."""
    return [
        {"Type": item.type} | ({"URI": item.uri} if item.uri else {})
        for item in mapping.source_access
    ]


def kafka_config(mapping: Mapping) -> dict[str, str]:
    """The Kafka block as the API shows it; the group is always said."""
    config = {"ConsumerGroupId": mapping.consumer_group}
    mode = mapping.consumption_mode
    return config | ({"ConsumptionMode": mode} if mode else {})
