"""How a function's log lines are written (`functions-and-invocation.md` 4.1, 8.7)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

APPLICATION_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
SYSTEM_LEVELS: Final = ("DEBUG", "INFO", "WARN")

LEVELS_NEED_JSON: Final = (
    'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request '
    'or change the LogFormat to "JSON" and try again.'
)


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`LoggingConfig` of one function."""

    is_json: bool = False
    """The platform's lines are JSON, and so are those of the runtime's own logging."""
    application_level: str = "INFO"
    """One of `APPLICATION_LEVELS`: what the function writes below it is left out. JSON only."""
    system_level: str = "INFO"
    """One of `SYSTEM_LEVELS`, for the platform's own lines. JSON only."""
    group: str = ""
    """A log group of its own choice; empty: `/aws/lambda/<function>`."""


TEXT: Final = LogSettings()


def log_settings(function: str, config: object) -> LogSettings:
    """The settings in a stored `LoggingConfig`, which was checked when it came in."""
    if not isinstance(config, Mapping):
        return TEXT
    group = str(config.get("LogGroup") or "")
    return LogSettings(
        is_json=config.get("LogFormat") == "JSON",
        application_level=str(config.get("ApplicationLogLevel") or "INFO"),
        system_level=str(config.get("SystemLogLevel") or "INFO"),
        group="" if group == default_group(function) else group,
    )


def default_group(function: str) -> str:
    """The log group of a function that names none."""
    return f"/aws/lambda/{function}"


def merged_config(stored: object, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """`LoggingConfig` after an update that names some of its members.

    Back to Text the levels go, as they mean nothing there.
    """
    merged = {**(stored if isinstance(stored, Mapping) else {}), **(given or {})}
    if merged.get("LogFormat") != "JSON":
        for name in ("ApplicationLogLevel", "SystemLogLevel"):
            if name not in (given or {}):
                merged.pop(name, None)
    return merged


def level_problem(config: Mapping[str, Any] | None) -> str | None:
    """Why a `LoggingConfig` as merged cannot be: levels without JSON."""
    levels = ("ApplicationLogLevel", "SystemLogLevel")
    if config and config.get("LogFormat") != "JSON" and any(config.get(name) for name in levels):
        return LEVELS_NEED_JSON
    return None
