"""What functions may be, beyond what the model can say (`functions-and-invocation.md` 4)."""

import re
from typing import Any, Final

import orjson

from router.control.errors import ValidationFailed
from router.control.lambda_service.names import NAME_LENGTH_MAX, invalid, not_yet
from router.model.destination import is_dead_letter_target
from router.model.hosting import MOUNT_PATH, Hosting
from router.model.limits import ENVIRONMENT_BYTES_MAX, MEMORY_MB_MAX, TIMEOUT_S_MAX
from router.model.log_settings import level_problem, merged_config
from router.model.resources import Function
from router.model.runtimes import CUSTOM, RETIRED

EPHEMERAL_MB_MAX: Final = 10_240
TAGS_MAX: Final = 50
TOO_MANY_TAGS: Final = "Number of tags exceeds resource tag limit."

RESERVED_VARIABLES: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Set by the environment itself (`functions-and-invocation.md` 8.4)."""

KEPT: Final = (
    "CodeSigningConfigArn",
    "DeadLetterConfig",
    "FileSystemConfigs",
    "KMSKeyArn",
    "LoggingConfig",
    "SnapStart",
    "TracingConfig",
    "VpcConfig",
)
"""Stored and given back without effect (`docs/compatibility.md`); of `FileSystemConfigs` the path
has one, and `LoggingConfig` is heeded."""

LATER: Final = {
    "AcceleratorConfig": "Accelerators are",
    "CapacityProviderConfig": "Capacity providers are",
    "DurableConfig": "Durable executions are",
    "PublishTo": "Versions published to capacity providers are",
    "RuntimeConfig": "Custom runtimes are",
    "TenancyConfig": "Tenant isolation is",
}
"""Refused by name when they hold anything."""


def check_create(params: dict[str, Any], runtimes_known: tuple[str, ...], hosting: Hosting) -> None:
    """Raise `ApiError` for settings no function here can have."""
    refuse_later(params)
    if params.get("PackageType") == "Image":
        refuse_with_image(params)
    elif not params.get("Runtime") or not params.get("Handler"):
        raise invalid(
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages."
        )
    elif params.get("ImageConfig"):
        raise invalid("ImageConfig is for functions created with PackageType Image.")
    _check_settings(params, runtimes_known)
    check_logging(params.get("LoggingConfig"))
    if len(params.get("Tags") or {}) > TAGS_MAX:
        raise invalid(TOO_MANY_TAGS)
    _check_hosting(params.get("Runtime") or "", mount_paths(params), hosting)


def check_update(
    params: dict[str, Any],
    before: Function,
    runtimes_known: tuple[str, ...],
    hosting: Hosting,
) -> None:
    """As `check_create`, for what UpdateFunctionConfiguration gives."""
    refuse_later(params)
    if before.image is not None:
        refuse_with_image(params)
    elif params.get("ImageConfig"):
        raise invalid("ImageConfig is for functions created with PackageType Image.")
    _check_settings(params, runtimes_known)
    if params.get("LoggingConfig") is not None:
        check_logging(merged_config(before.extra.get("LoggingConfig"), params["LoggingConfig"]))
    is_mounted = params.get("FileSystemConfigs") is not None
    paths = mount_paths(params) if is_mounted else before.file_systems
    if params.get("Runtime") or is_mounted:
        _check_hosting(params.get("Runtime") or before.runtime, paths, hosting)


def refuse_later(params: dict[str, Any]) -> None:
    """Raise `ApiError` for members that are not here."""
    for name, what in LATER.items():
        if params.get(name):
            raise not_yet(what)


def refuse_with_image(params: dict[str, Any]) -> None:
    """Raise `ApiError` for what an image brings itself."""
    if params.get("Runtime") or params.get("Handler") or params.get("Layers"):
        raise invalid(
            "Please don't provide Handler or Runtime or Layer when the intended function "
            "PackageType is Image."
        )


def _check_settings(params: dict[str, Any], runtimes_known: tuple[str, ...]) -> None:
    if params.get("Runtime"):
        _check_runtime(params["Runtime"], runtimes_known)
    _check_maximum("timeout", params.get("Timeout"), TIMEOUT_S_MAX)
    _check_maximum("memorySize", params.get("MemorySize"), MEMORY_MB_MAX)
    storage = params.get("EphemeralStorage") or {}
    _check_maximum("ephemeralStorage.size", storage.get("Size"), EPHEMERAL_MB_MAX)
    check_environment((params.get("Environment") or {}).get("Variables") or {})
    check_dead_letter(params.get("DeadLetterConfig") or {})


def _check_hosting(runtime: str, paths: tuple[str, ...], hosting: Hosting) -> None:
    for path in paths:
        if re.fullmatch(MOUNT_PATH, path) is None:
            raise invalid(f"LocalMountPath {path} is no path below /mnt.")
    if problem := hosting.problem(runtime, paths):
        raise invalid(f"{problem}.")


def check_dead_letter(config: dict[str, Any]) -> None:
    """Raise `ApiError` for a target that dead letters cannot go to. No target takes it away."""
    target = config.get("TargetArn")
    if target and not is_dead_letter_target(target):
        raise invalid(
            f"The dead letter target {target} is invalid: give the ARN of a standard SQS queue or "
            "SNS topic."
        )


def mount_paths(params: dict[str, Any]) -> tuple[str, ...]:
    """Where the function asks to see file systems."""
    return tuple(config["LocalMountPath"] for config in params.get("FileSystemConfigs") or ())


def check_bare_name(name: str) -> None:
    """Raise `ApiError` for a name too long to create."""
    if len(name) > NAME_LENGTH_MAX:
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
            f"constraint: Member must have length less than or equal to {NAME_LENGTH_MAX}"
        )
    if not re.fullmatch(r"[a-zA-Z0-9-_]+", name, re.ASCII):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+"
        )


def _check_runtime(runtime: str, known: tuple[str, ...]) -> None:
    if runtime not in known:
        raise invalid(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
            f"value set: [{', '.join(known)}] or be a valid ARN"
        )
    if runtime in RETIRED:
        raise invalid(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating "
            "AWS Lambda functions. We recommend you use a supported runtime while creating or "
            "updating functions."
        )
    if runtime == CUSTOM:
        raise not_yet("Custom runtimes are")


def _check_maximum(path: str, value: int | None, limit: int) -> None:
    """The model allows more, for kinds of functions that do not exist here."""
    if value is not None and value > limit:
        problem = (
            f"Value '{value}' at '{path}' failed to satisfy constraint: "
            f"Member must have value less than or equal to {limit}"
        )
        raise ValidationFailed([problem])


def check_environment(variables: dict[str, str]) -> None:
    """Raise `ApiError` for reserved names and for more than 4 KB."""
    reserved = [name for name in variables if name in RESERVED_VARIABLES]
    start = (
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided "
    )
    if reserved:
        raise invalid(
            f"{start}contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = orjson.dumps(variables)
    if len(measured) > ENVIRONMENT_BYTES_MAX:
        raise invalid(f"{start}exceeded the 4KB limit. String measured: {measured.decode()}")


def check_logging(config: dict[str, Any] | None) -> None:
    """Raise `ApiError` for levels that only JSON has. `config` is whole: as it will be kept."""
    if problem := level_problem(config):
        raise invalid(problem)
