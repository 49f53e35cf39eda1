"""What a command adds to the settings."""

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a router is started."""

    mode: str = "run"
    """run: folders in place, the nearest interpreter. serve: snapshots, mapped runtimes."""
    template: Path | None = None
    parameters: Mapping[str, str] = {}
    stack_name: str | None = None
    is_watching: bool = False
    ready_file: Path | None = None
