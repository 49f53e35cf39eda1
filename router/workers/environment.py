"""The variables an environment starts with (`functions-and-invocation.md` 8.4).

Built from an allow-list: nothing of the router's own environment gets in.
"""

import os
from collections.abc import Mapping

from router.model.arn import parse_arn
from router.model.function import FunctionVersion
from router.model.hosting import is_custom
from router.workers.runtime_api.program import Program

READ_AT_EXEC = ("LD_", "PYTHON", "MALLOC_", "GLIBC_TUNABLES")
"""Variables that only count when they are there at exec (`design.md` 7a)."""

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
"""A script of the function that starts its runtime; only for runtimes that are managed."""

RUNTIME_API = "AWS_LAMBDA_RUNTIME_API"

IMAGE = "AWS_Lambda_Image"
"""`AWS_EXECUTION_ENV` of an image."""

_EVERYWHERE = {"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR"}
"""Defaults of images too, which bring all others themselves (recorded on AWS)."""

Paths = Mapping[str, str]
"""Where the function sees its folders: task, opt, tmp, runtime; empty where there is none."""


def build(
    function: FunctionVersion,
    user: Mapping[str, str],
    extra: Mapping[str, str],
    paths: Paths,
    log_stream: str,
    program: Program | None = None,
) -> dict[str, str]:
    """All variables: defaults, then the user's, then ours that a user cannot set.

    `extra` are credentials and endpoints; an endpoint the user chose stays the user's. `program`
    is what runs instead of the fast path, if anything.
    """
    chosen = {name: text for name, text in extra.items() if not _is_choice(name, user)}
    defaults = _defaults(paths)
    if program is not None and program.root:
        defaults = {**_EVERYWHERE, **program.variables_in(paths)}
    elif program is not None:
        defaults.pop("PYTHONPATH", None)
        defaults |= program.variables_in(paths)
    return defaults | dict(user) | chosen | _reserved(function, paths, log_stream)


def needs_fresh_exec(function: FunctionVersion, user: Mapping[str, str]) -> bool:
    """Whether variables or shipped libraries only work in a newly started interpreter."""
    if WRAPPER in user or any(name.startswith(READ_AT_EXEC) for name in user):
        return True
    # A cold start waits for it: one call where there is no such folder, the usual case.
    if _has_libraries(f"{function.code_path}/lib"):
        return True
    return bool(function.layers_path) and _has_libraries(f"{function.layers_path}/lib")


def _has_libraries(folder: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(name.endswith(".so") or ".so." in name for name in names)


def _is_choice(name: str, user: Mapping[str, str]) -> bool:
    return name.startswith("AWS_ENDPOINT_URL") and name in user


def _defaults(paths: Paths) -> dict[str, str]:
    task, opt, runtime = paths["task"], paths.get("opt") or "/opt", paths.get("runtime", "")
    variables = {
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
        "PATH": f"/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin",
        "LD_LIBRARY_PATH": (
            f"/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:{task}:{task}/lib:{opt}/lib"
        ),
        **_EVERYWHERE,
    }
    if runtime:
        variables["PYTHONPATH"] = runtime
    if paths["tmp"] != "/tmp":  # noqa: S108  # no private file view: say where it may write
        variables["TMPDIR"] = paths["tmp"]
        variables["HOME"] = paths["tmp"]
    return variables


def _reserved(function: FunctionVersion, paths: Paths, log_stream: str) -> dict[str, str]:
    region = parse_arn(function.arn).region
    logging = {
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": function.logs.application_level,
    }
    name = IMAGE if function.image is not None else f"AWS_Lambda_{function.runtime}"
    named = {"AWS_EXECUTION_ENV": name}
    return {
        **(logging if function.logs.is_json else {}),
        **({} if is_custom(function.runtime) else named),
        "_HANDLER": function.handler,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": function.initialization,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group or f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "LAMBDA_TASK_ROOT": paths["task"],
        "LAMBDA_RUNTIME_DIR": paths.get("runtime") or "/var/runtime",
    }
