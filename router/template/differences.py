"""What differs between a resource as it is and as it shall be, in the template's words.

Values that may be secret (environment variables, signatures) are never part of it.
"""

import json
from typing import Any, Final

import msgspec

from router.mapping.rules import settings
from router.model.concurrency import Provisioned
from router.model.event_invoke import EventInvoke
from router.model.function_url import FunctionUrl
from router.model.log_group import LogGroup
from router.model.permission import Permission
from router.model.resources import Function, Mapping, Queue, Webhook
from router.model.version import Alias
from router.template.desired import Desired

HIDDEN: Final = "(not shown)"

TEXT_CHARACTERS_MAX: Final = 120
"""Longest value shown."""

TEXT_BEFORE: Final = 40
"""Of these, how many stand before the place where two long values begin to differ."""

_BOOKKEEPING: Final = frozenset(
    {
        "arn",
        "code_path",
        "code_sha256",
        "code_size",
        "created_ms",
        "created_s",
        "id",
        "layers_path",
        "unzipped_bytes",
        "last_modified_ms",
        "lineage",
        "modified_ms",
        "modified_s",
        "name",
        "revision_id",
        "spec",
        "uuid",
    }
)
"""Members that say nothing about what was asked for, or follow from others."""

_NAMES: Final[dict[type, dict[str, str]]] = {
    Function: {
        "timeout_s": "Timeout",
        "memory_mb": "MemorySize",
        "last_version": "newest version",
        "ephemeral_mb": "EphemeralStorage.Size",
        "recursive_loop": "RecursiveLoop",
        "runtime_management": "RuntimeManagementConfig",
        "file_systems": "FileSystemConfigs.LocalMountPath",
        "architecture": "Architectures",
        "code_hash": "Code",
        "is_in_place": "Code used in place",
        "environment": "Environment.Variables",
        "reserved_concurrency": "ReservedConcurrentExecutions",
    },
    Mapping: {
        "function": "FunctionName",
        "qualifier": "FunctionName qualifier",
        "is_enabled": "Enabled",
        "window_s": "MaximumBatchingWindowInSeconds",
        "factor": "ParallelizationFactor",
        "retries_max": "MaximumRetryAttempts",
        "record_age_s_max": "MaximumRecordAgeInSeconds",
        "is_bisecting": "BisectBatchOnFunctionError",
        "response_types": "FunctionResponseTypes",
        "destination_arn": "DestinationConfig.OnFailure.Destination",
        "filters": "FilterCriteria.Filters",
        "tumbling_window_s": "TumblingWindowInSeconds",
        "starting_timestamp_ms": "StartingPositionTimestamp",
        "bootstrap_servers": "SelfManagedEventSource.Endpoints.KafkaBootstrapServers",
        "concurrency_max": "ScalingConfig.MaximumConcurrency",
        "pollers": "ProvisionedPollerConfig",
        "source_access": "SourceAccessConfigurations",
        "consumer_group": "ConsumerGroupId",
    },
    Webhook: {
        "retention_s": "RetentionSeconds",
        "deduplicate": "Deduplicate",
        "body_bytes_max": "BodyBytesMax",
    },
    EventInvoke: {
        "function": "FunctionName",
        "retries_max": "MaximumRetryAttempts",
        "age_s_max": "MaximumEventAgeInSeconds",
        "on_success": "DestinationConfig.OnSuccess.Destination",
        "on_failure": "DestinationConfig.OnFailure.Destination",
    },
    FunctionUrl: {"is_signed": "AuthType AWS_IAM"},
    Provisioned: {"requested": "ProvisionedConcurrentExecutions"},
    Alias: {"version": "FunctionVersion", "function": "FunctionName"},
    Permission: {"function": "FunctionName", "qualifier": "FunctionName qualifier"},
    LogGroup: {"retention_days": "RetentionInDays"},
    Queue: {},
}
"""Names in templates where they are not the member's own in capitals."""


class Difference(msgspec.Struct, frozen=True):
    """One property; None: not there."""

    property: str
    before: str | None
    after: str | None


def differences(before: Desired, after: Desired) -> tuple[Difference, ...]:
    """What changes, by property."""
    old, new = _flat(before), _flat(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, shall_be = old.get(name), new.get(name)
        if was != shall_be:
            at = _first_difference(was or "", shall_be or "")
            found.append(Difference(name, _shown(name, was, at), _shown(name, shall_be, at)))
    return tuple(found)


def _flat(resource: Desired) -> dict[str, str]:
    """Properties as text, mappings of texts by key."""
    names = _NAMES[type(resource)]
    members: dict[str, Any] = {}
    _collect(resource, names, members)
    if isinstance(resource, Webhook):
        _collect(resource.spec, names, members)
        members |= _signature(members.pop("Signature"))
    if isinstance(resource, Function):
        members |= _image(members.pop("Image"))
    if isinstance(resource, Mapping):
        members["FilterCriteria.Filters"] = dict(enumerate(resource.filters, 1))
        members["ProvisionedPollerConfig"] = settings.poller_config(resource)
        members["SourceAccessConfigurations"] = settings.source_access(resource)
    properties: dict[str, str] = {}
    for name, value in members.items():
        if isinstance(value, dict):
            is_api_name = name in ("Attributes", "Extra")
            properties |= {
                key if is_api_name else f"{name}.{key}": _text(inner)
                for key, inner in value.items()
            }
        elif value is not None:
            properties[name] = _text(value)
    return properties


def _collect(struct: msgspec.Struct, names: dict[str, str], members: dict[str, Any]) -> None:
    for field in struct.__struct_fields__:
        if field not in _BOOKKEEPING and field != "owner":
            value = msgspec.to_builtins(getattr(struct, field))
            members[names.get(field) or field.title().replace("_", "")] = value


def _signature(signature: dict[str, Any]) -> dict[str, Any]:
    secrets = signature.pop("secrets")
    signature["secret"] = json.dumps(secrets)
    return {f"Signature.{name.title().replace('_', '')}": signature[name] for name in signature}


def _image(image: dict[str, Any] | None) -> dict[str, Any]:
    """What a template says of an image; what the image itself says is part of the code."""
    if image is None:
        return {}
    return {"Code.ImageUri": image["uri"], "ImageConfig": _text(image["config"])}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _first_difference(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _shown(name: str, text: str | None, at: int) -> str | None:
    """A long text around `at`, where it begins to differ."""
    if text is None:
        return None
    if name.startswith("Environment.") or name == "Signature.Secret":
        return HIDDEN
    if name == "Code":
        return text[:12]
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    start = at - TEXT_BEFORE if at >= TEXT_CHARACTERS_MAX else 0
    end = start + TEXT_CHARACTERS_MAX
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
