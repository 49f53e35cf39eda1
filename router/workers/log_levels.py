"""Which of a function's own lines a level lets through; only with the JSON format.

A line that is JSON with a `level` and a valid `timestamp` has that level, any other counts as
INFO (`functions-and-invocation.md` 8.7).
"""

import datetime as dt
from typing import Final, Self

import orjson

from router.model.log_settings import APPLICATION_LEVELS, LogSettings

INFO: Final = APPLICATION_LEVELS.index("INFO")

RANKS: Final = {name: rank for rank, name in enumerate(APPLICATION_LEVELS)} | {
    "WARNING": APPLICATION_LEVELS.index("WARN"),
    "CRITICAL": APPLICATION_LEVELS.index("FATAL"),
}
"""Python's own names among them."""


class Threshold:
    """The lowest level shown."""

    def __init__(self, lowest: int) -> None:
        self._lowest = lowest

    @classmethod
    def of(cls, settings: LogSettings) -> Self | None:
        """None when every line is shown."""
        lowest = RANKS[settings.application_level]
        return cls(lowest) if settings.is_json and lowest > 0 else None

    def shows(self, line: bytes) -> bool:
        """Whether a line is kept."""
        return level_of(line) >= self._lowest


def level_of(line: bytes) -> int:
    """The rank of a line's level."""
    if not line.startswith(b"{"):
        return INFO
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return INFO
    level, moment = document.get("level"), document.get("timestamp")
    if not isinstance(level, str) or not isinstance(moment, str):
        return INFO
    try:
        is_whole = dt.datetime.fromisoformat(moment).tzinfo is not None
    except ValueError:
        return INFO
    return RANKS.get(level.upper(), INFO) if is_whole else INFO
