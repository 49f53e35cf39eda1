"""Functions from what the API is given: new, with other code, with other settings (4.1)."""

from typing import Any, Final

import msgspec

from router.control.lambda_service import settings
from router.functions.packages import Package, package_of, with_code
from router.model.log_settings import merged_config
from router.model.resources import Function, LayerUse

Params = dict[str, Any]

_SIMPLE: Final = {
    "Description": "description",
    "Handler": "handler",
    "MemorySize": "memory_mb",
    "Role": "role",
    "Runtime": "runtime",
    "Timeout": "timeout_s",
}
"""Members of requests that a function has as they are."""


def new_function(
    name: str, params: Params, package: Package | None, now_ms: int, revision: str
) -> Function:
    """What CreateFunction makes; without a package it is an image."""
    empty = Function(
        name=name,
        runtime=params.get("Runtime") or "",
        handler=params.get("Handler") or "",
        role=params["Role"],
        architecture=(params.get("Architectures") or ["x86_64"])[0],
        code_path="",
        code_hash="",
        last_modified_ms=now_ms,
        revision_id=revision,
        tags=params.get("Tags") or {},
    )
    return with_settings(with_code(empty, package) if package else empty, params)


def with_code_of(function: Function, other: Function) -> Function:
    """The function with the code, or the image, of what it was a moment ago."""
    image = other.image
    if image is not None and function.image is not None:
        image = msgspec.structs.replace(image, config=function.image.config)
    built = with_code(function, package_of(other), is_in_place=other.is_in_place)
    return msgspec.structs.replace(built, image=image)


def with_layers(function: Function, layers: tuple[LayerUse, ...], path: str) -> Function:
    """The function with other layers, put together at a path."""
    return msgspec.structs.replace(function, layers=layers, layers_path=path)


def with_settings(function: Function, params: Params) -> Function:
    """The function with the settings that are given; the others stay."""
    changed: dict[str, Any] = {
        field: params[member] for member, field in _SIMPLE.items() if params.get(member) is not None
    }
    if params.get("Environment") is not None:
        changed["environment"] = params["Environment"].get("Variables") or {}
    if (size_mb := (params.get("EphemeralStorage") or {}).get("Size")) is not None:
        changed["ephemeral_mb"] = size_mb
    if params.get("FileSystemConfigs") is not None:
        changed["file_systems"] = settings.mount_paths(params)
    changed["extra"] = _extra(function.extra, params)
    return msgspec.structs.replace(function, **changed)


def _extra(before: dict[str, object], params: Params) -> dict[str, object]:
    """Members kept as they are given; an empty one takes away what was there."""
    extra = dict(before)
    for name in settings.KEPT:
        given = params.get(name)
        if given is None or (name == "DeadLetterConfig" and not given):
            continue  # an empty DeadLetterConfig keeps the target, one with an empty ARN does not
        if name == "LoggingConfig":
            given = merged_config(before.get(name), given)
        if _is_empty(name, given):
            extra.pop(name, None)
        else:
            extra[name] = given
    return extra


def _is_empty(name: str, given: Any) -> bool:
    match name:
        case "DeadLetterConfig":
            return not given.get("TargetArn")
        case "VpcConfig":
            return not any(given.values())
        case _:
            return not given
