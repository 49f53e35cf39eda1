"""`AWS::Lambda::Function`: code from a local folder, or written in the template."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.model import limits
from router.model.arn import function_arn
from router.model.destination import is_dead_letter_target
from router.model.hosting import FILE_SYSTEM_ARN, MOUNT_PATH
from router.model.image import Image
from router.model.resources import Function
from router.model.runtimes import KNOWN, RETIRED, RUNTIMES, Family, family_of
from router.model.version import LATEST
from router.template.dynamic import check_references
from router.template.properties import Properties
from router.template.resources import images
from router.template.resources.base import At, Draft, InlineCode
from router.template.resources.handlers import missing
from router.template.resources.layer import uses_of
from router.template.resources.logging_config import logging_config

NAME_CHARACTERS_MAX = 64
"""Longest function name (Lambda quota)."""

INLINE_CHARACTERS_MAX = 4_194_304
"""Longest ZipFile text (CloudFormation quota: 4 MB)."""

INLINE_FILES = {Family.PYTHON: "index.py", Family.NODEJS: "index.js"}
"""What code in a template becomes; other runtimes have none (CloudFormation)."""

UPDATES = ("Auto", "FunctionUpdate", "Manual")
"""When a function gets a newer runtime; only with the last one it names one."""

EPHEMERAL_MB_MIN = 512
EPHEMERAL_MB_MAX = 10_240
"""Size of /tmp in MB (Lambda quota)."""

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY_ID",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
    }
)
"""Set by the environment itself (`functions-and-invocation.md` 8.4)."""

_RUNTIME_PATTERN = r"arn:(aws[a-zA-Z-]*):lambda:[a-z0-9-]+::runtime:[a-z0-9]{1,2048}"
_VARIABLE_NAME = re.compile(r"[a-zA-Z]([a-zA-Z0-9_])+")
_ROLE_PATTERN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"

RESERVED_MAX = 2**31 - 1
"""Whether there is as much is seen where it runs: `router doctor` says so."""

FILE_SYSTEMS_MAX = 1
"""File systems of one function (Lambda quota)."""

_PROPERTIES = (
    "FunctionName",
    "Runtime",
    "Handler",
    "Role",
    "Code",
    "DeadLetterConfig",
    "Description",
    "Timeout",
    "MemorySize",
    "EphemeralStorage",
    "Environment",
    "FileSystemConfigs",
    "ImageConfig",
    "Layers",
    "LoggingConfig",
    "Architectures",
    "PackageType",
    "RecursiveLoop",
    "RuntimeManagementConfig",
    "ReservedConcurrentExecutions",
    "Tags",
)

_WITHOUT_EFFECT = {
    "CodeSigningConfigArn": "CodeSigningConfigArn",
    "KmsKeyArn": "KMSKeyArn",
    "SnapStart": "SnapStart",
    "TracingConfig": "TracingConfig",
    "VpcConfig": "VpcConfig",
}
"""Stored and returned without effect: name in templates → name in the API."""

_REFUSED = {
    "CapacityProviderConfig": "there are no capacity providers",
    "DurableConfig": "durable executions are not supported",
    "TenancyConfig": "tenants are not kept apart",
}


class LambdaFunction:
    """A function."""

    name = "AWS::Lambda::Function"
    effect = ""

    def ref(self, at: At) -> str:
        """The function's name."""
        return at.physical_name("FunctionName", NAME_CHARACTERS_MAX)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Arn."""
        around = at.surroundings
        return {"Arn": lambda: function_arn(around.region, around.account, self.ref(at))}

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the function."""
        properties.check_known((*_PROPERTIES, *_WITHOUT_EFFECT), self.name, _REFUSED)
        properties.require("Role")
        properties.text("FunctionName", pattern=r"[a-zA-Z0-9-_]{1,64}")
        name = self.ref(at)
        if name in draft.functions:
            properties.problem("FunctionName", f"two functions are named {name}")
        image, code_path = _package(properties, name, draft)
        runtime = _runtime(properties)
        handler = properties.text("Handler", pattern=r"[^\s]+", length_max=128)
        ephemeral = properties.section("EphemeralStorage")
        draft.functions[name] = Function(
            name=name,
            runtime=runtime,
            handler=handler,
            role=properties.text("Role", pattern=_ROLE_PATTERN),
            description=properties.text("Description", length_max=256),
            timeout_s=properties.integer("Timeout", 1, limits.TIMEOUT_S_MAX, 3),
            memory_mb=properties.integer(
                "MemorySize", limits.MEMORY_MB_MIN, limits.MEMORY_MB_MAX, limits.MEMORY_MB_MIN
            ),
            ephemeral_mb=ephemeral.integer(
                "Size", EPHEMERAL_MB_MIN, EPHEMERAL_MB_MAX, EPHEMERAL_MB_MIN
            )
            if ephemeral
            else EPHEMERAL_MB_MIN,
            environment=_environment(properties, draft),
            file_systems=_file_systems(properties, draft),
            layers=uses_of(properties),
            architecture=_architecture(properties),
            code_path=code_path,
            image=image,
            code_hash="",
            last_modified_ms=0,
            revision_id="",
            reserved_concurrency=properties.integer(
                "ReservedConcurrentExecutions", 0, RESERVED_MAX, 0
            )
            if "ReservedConcurrentExecutions" in properties
            else None,
            recursive_loop=properties.text(
                "RecursiveLoop", "Terminate", choices=("Terminate", "Allow")
            ),
            runtime_management=_runtime_management(properties),
            tags=properties.tags(),
            extra=_extra(at, properties, draft),
            owner=at.owner,
        )
        if "RecursiveLoop" not in properties:
            draft.loops_unset.append(name)
        if lack := missing(draft.functions[name]):
            draft.warnings.append(f"{at.logical_id}: {lack}")


def _package(properties: Properties, name: str, draft: Draft) -> tuple[Image | None, str]:
    """The image it is, if it is one, and the folder of that or of its code."""
    if properties.text("PackageType", "Zip", choices=("Zip", "Image")) == "Image":
        return images.read(properties, draft)
    properties.require("Runtime", "Handler")
    if "ImageConfig" in properties:
        properties.problem("ImageConfig", "is for functions of PackageType Image")
    return None, _code_path(properties, name, draft)


def _runtime(properties: Properties) -> str:
    runtime = properties.text("Runtime")
    if runtime and runtime not in RUNTIMES:
        hint = f"supported: {', '.join(RUNTIMES)}"
        if runtime in RETIRED:
            properties.problem("Runtime", f"{runtime} is retired: Lambda runs it no more", hint)
        elif runtime in KNOWN:
            properties.problem("Runtime", f"{runtime} is not run here", hint)
        else:
            properties.problem("Runtime", f"unknown runtime {runtime!r}", hint)
    return runtime


def _architecture(properties: Properties) -> str:
    given = properties.texts("Architectures", choices=("x86_64", "arm64"))
    if len(given) > 1:
        properties.problem("Architectures", "must be exactly one of x86_64, arm64")
    return given[0] if given else "x86_64"


def _environment(properties: Properties, draft: Draft) -> dict[str, str]:
    section = properties.section("Environment")
    if section is None:
        return {}
    section.check_known(("Variables",), "Environment")
    variables = section.text_map("Variables", owner="the value of an environment variable")
    inner = section.section("Variables") or section
    for name, value in variables.items():
        if name in RESERVED_VARIABLES:
            inner.problem(name, "is reserved: the environment sets it itself")
        elif not _VARIABLE_NAME.fullmatch(name):
            inner.problem(name, "is no name for an environment variable", "[a-zA-Z][a-zA-Z0-9_]+")
        check_references(value, (*inner.path, name), draft.problems)
    size_bytes = len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode())
    if size_bytes > limits.ENVIRONMENT_BYTES_MAX:
        text = f"{size_bytes} bytes, more than {limits.ENVIRONMENT_BYTES_MAX} as compact JSON"
        section.problem("Variables", text)
    return variables


def _file_systems(properties: Properties, draft: Draft) -> tuple[str, ...]:
    """The paths where the function sees folders that settings name."""
    given = properties.items("FileSystemConfigs")
    if len(given) > FILE_SYSTEMS_MAX:
        properties.problem("FileSystemConfigs", f"more than {FILE_SYSTEMS_MAX} file system")
    paths = []
    for index, item in enumerate(given):
        place = (*properties.path, "FileSystemConfigs", index)
        config = Properties(item, place, draft.problems)
        config.check_known(("Arn", "LocalMountPath"), "FileSystemConfig")
        config.require("Arn", "LocalMountPath")
        config.text("Arn", pattern=FILE_SYSTEM_ARN)
        paths.append(config.text("LocalMountPath", pattern=MOUNT_PATH))
    return tuple(paths)


def _code_path(properties: Properties, name: str, draft: Draft) -> str:
    """The code's folder; empty for inline code, which the draft keeps."""
    code = properties.raw("Code")
    if code is None:
        properties.problem("Code", "is required", "CodeUri: ./folder, or InlineCode")
        return ""
    if isinstance(code, str):
        return _folder(properties, code, draft)
    source = properties.section("Code")
    if source is None or "ZipFile" not in source:
        properties.problem("Code", "only code in a local folder or inline is supported")
        return ""
    source.check_known(("ZipFile",), "Code")
    text = source.text("ZipFile", length_max=INLINE_CHARACTERS_MAX)
    family = family_of(properties.text("Runtime"))
    file_name = INLINE_FILES.get(family) if family else None
    if file_name is None:
        properties.problem("Code", "only Python and Node.js can be written inline", "use a folder")
        return ""
    draft.inline_code[name] = InlineCode(file_name, text)
    if properties.text("Handler").partition(".")[0] != "index":
        hint = "such as index.handler"
        properties.problem("Handler", f"inline code is the file {file_name}", hint)
    return ""


def _folder(properties: Properties, written: str, draft: Draft) -> str:
    if written.startswith("s3://"):
        properties.problem("Code", "code in S3 is not supported", "use a local folder")
        return ""
    if "\0" in written:
        properties.problem("Code", f"{written!r} is no path")
        return ""
    folder = Path(draft.folder, written).resolve()
    if not folder.exists():
        properties.problem("Code", f"folder {written} does not exist", f"looked at {folder}")
    elif not folder.is_dir():
        properties.problem("Code", f"{written} is not a folder", "name the folder that holds it")
    return str(folder)


def _dead_letter_target(properties: Properties) -> str:
    """Where events go that it never succeeds with; empty: nowhere."""
    section = properties.section("DeadLetterConfig")
    if section is None:
        return ""
    section.check_known(("TargetArn",), "DeadLetterConfig")
    target = section.text("TargetArn")
    if target and not is_dead_letter_target(target):
        section.problem("TargetArn", f"{target} is no standard SQS queue or SNS topic")
    return target


def _runtime_management(properties: Properties) -> dict[str, dict[str, str]]:
    """As `PutRuntimeManagementConfig` keeps it, of `$LATEST`."""
    section = properties.section("RuntimeManagementConfig")
    if section is None:
        return {}
    section.check_known(("UpdateRuntimeOn", "RuntimeVersionArn"), "RuntimeManagementConfig")
    section.require("UpdateRuntimeOn")
    kept = {"UpdateRuntimeOn": section.text("UpdateRuntimeOn", choices=UPDATES)}
    is_manual = kept["UpdateRuntimeOn"] == UPDATES[-1]
    if is_manual != ("RuntimeVersionArn" in section):
        section.problem("RuntimeVersionArn", "belongs to UpdateRuntimeOn Manual, and only to it")
    elif is_manual:
        kept["RuntimeVersionArn"] = section.text("RuntimeVersionArn", pattern=_RUNTIME_PATTERN)
    return {LATEST: kept}


def _extra(at: At, properties: Properties, draft: Draft) -> dict[str, object]:
    extra: dict[str, object] = {}
    if properties.raw("FileSystemConfigs"):
        extra["FileSystemConfigs"] = properties.raw("FileSystemConfigs")
    if logging := logging_config(properties):
        extra["LoggingConfig"] = logging
    if target := _dead_letter_target(properties):
        extra["DeadLetterConfig"] = {"TargetArn": target}
    for written, stored in _WITHOUT_EFFECT.items():
        if written in properties:
            extra[stored] = properties.raw(written)
            draft.warnings.append(f"{at.logical_id}: {written} is kept and has no effect")
    return extra
