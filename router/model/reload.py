"""How the last look at a router's own template ended, for log, metric and page."""

import typing

import msgspec

Result = typing.Literal["ok", "failed"]


class ReloadStatus(msgspec.Struct, frozen=True):
    """One reading of the template with its code and secrets; the first is the router's start."""

    at_ms: int
    """Wall time."""
    result: Result
    """failed: it was refused as a whole, and what ran before goes on."""
    message: str = ""
    """Why it was refused: a line for each problem, with file, line, resource and what to do."""
