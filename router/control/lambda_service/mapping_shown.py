"""Mappings as the API shows them: exactly the fields of each kind of source.

`event-source-mappings.md` 1.4 and 1.7.
"""

from typing import Any, Final, Protocol

from router.mapping.rules import settings
from router.mapping.rules.kafka import CONFIG
from router.mapping.rules.source import SERVERS
from router.mapping.rules.takes import takes
from router.model.arn import function_arn, mapping_arn
from router.model.resources import Mapping
from router.model.source_kind import KAFKAS, QUEUES, STREAMS, SourceKind

_DID: Final = {
    kind: "User action" if kind in STREAMS | {SourceKind.DOCUMENTDB} else "USER_INITIATED"
    for kind in SourceKind
}
"""StateTransitionReason of what a user did."""


class Status(Protocol):
    """What runs says of a mapping."""

    @property
    def state(self) -> str:
        """Creating, Enabling, Enabled, Disabling, Disabled, Updating, Deleting."""

    @property
    def transition_reason(self) -> str:
        """Empty: what a user did. Else a code of 1.7."""

    @property
    def last_processing_result(self) -> str:
        """`No records processed`, `OK`, `PROBLEM: …`."""


def shown_mapping(
    mapping: Mapping, status: Status, region: str, account: str, state: str | None = None
) -> dict[str, Any]:
    """An EventSourceMappingConfiguration; `state` where it is not what runs says."""
    kind = mapping.kind
    shown: dict[str, Any] = {
        "UUID": mapping.uuid,
        "BatchSize": mapping.batch_size,
        "EventSourceMappingArn": mapping_arn(region, account, mapping.uuid),
        "FunctionArn": function_arn(region, account, mapping.function, mapping.qualifier),
        "LastModified": mapping.last_modified_ms / 1000,
        "State": state or status.state,
        "StateTransitionReason": status.transition_reason or _DID[kind],
        **_when_set(kind, mapping),
        **mapping.extra,
    }
    if mapping.window_s is not None:
        shown["MaximumBatchingWindowInSeconds"] = mapping.window_s
    if kind not in QUEUES:
        shown["LastProcessingResult"] = status.last_processing_result
    if takes(kind, "StartingPosition"):
        shown["StartingPosition"] = mapping.starting_position
        if mapping.starting_timestamp_ms is not None:
            shown["StartingPositionTimestamp"] = mapping.starting_timestamp_ms / 1000
    if kind in QUEUES | STREAMS:
        shown["FunctionResponseTypes"] = list(mapping.response_types)
    if kind in STREAMS:
        shown |= _stream(mapping)
    if kind in KAFKAS:
        shown |= _kafka(kind, mapping)
    return shown


def listed_mapping(shown: dict[str, Any]) -> dict[str, Any]:
    """The same in a list, where encrypted filters are not shown (1.8)."""
    if shown.get("KMSKeyArn"):
        shown.pop("FilterCriteria", None)
    return shown


def _when_set(kind: SourceKind, mapping: Mapping) -> dict[str, Any]:
    """Blocks that appear only when they say something."""
    blocks = {
        "EventSourceArn": mapping.event_source_arn,
        "FilterCriteria": settings.filter_criteria(mapping),
        "ScalingConfig": settings.scaling_config(mapping),
        "ProvisionedPollerConfig": settings.poller_config(mapping),
        "Topics": list(mapping.topics),
        "SourceAccessConfigurations": settings.source_access(mapping),
    }
    if mapping.bootstrap_servers:
        endpoints = {SERVERS: list(mapping.bootstrap_servers)}
        blocks["SelfManagedEventSource"] = {"Endpoints": endpoints}
    if kind in KAFKAS and mapping.destination_arn:
        blocks["DestinationConfig"] = {"OnFailure": {"Destination": mapping.destination_arn}}
    return {name: block for name, block in blocks.items() if block}


def _stream(mapping: Mapping) -> dict[str, Any]:
    destination = mapping.destination_arn
    return {
        "BisectBatchOnFunctionError": mapping.is_bisecting,
        "DestinationConfig": {"OnFailure": {"Destination": destination} if destination else {}},
        "MaximumRecordAgeInSeconds": mapping.record_age_s_max,
        "MaximumRetryAttempts": mapping.retries_max,
        "ParallelizationFactor": mapping.factor,
        "TumblingWindowInSeconds": mapping.tumbling_window_s,
    }


def _kafka(kind: SourceKind, mapping: Mapping) -> dict[str, Any]:
    """The group always; retries in provisioned mode, which alone has them."""
    shown: dict[str, Any] = {CONFIG[kind]: settings.kafka_config(mapping)}
    if mapping.factor != 1:
        shown["ParallelizationFactor"] = mapping.factor
    if mapping.pollers is not None:
        shown |= {
            "BisectBatchOnFunctionError": mapping.is_bisecting,
            "FunctionResponseTypes": list(mapping.response_types),
            "MaximumRecordAgeInSeconds": mapping.record_age_s_max,
            "MaximumRetryAttempts": mapping.retries_max,
        }
    return shown
