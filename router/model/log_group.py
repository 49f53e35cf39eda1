"""Log groups that were made or given properties by name; others exist because of their lines."""

from typing import Final

import msgspec

from router.model.resources import Owner

RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)  # fmt: skip
"""What a retention may be (CloudWatch Logs)."""


class LogGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One log group."""

    name: str
    created_ms: int
    """Epoch."""
    retention_days: int | None = None
    """Older lines are not shown any more; None: all that are kept."""
    tags: dict[str, str] = {}
    owner: Owner | None = None
