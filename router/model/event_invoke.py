"""How one version or alias of a function is invoked when nobody waits (5.4 and 7)."""

import msgspec

from router.model.resources import Owner

RETRIES_MAX = 2
"""Largest MaximumRetryAttempts, and the default (Lambda quota)."""

EVENT_AGE_S_MIN = 60
EVENT_AGE_S_MAX = 21_600
"""MaximumEventAgeInSeconds; the largest is the default (Lambda quota)."""


class EventInvoke(msgspec.Struct, frozen=True, kw_only=True):
    """One event-invoke config. Of what was not set the defaults hold, and answers leave it out."""

    function: str
    """Bare function name."""
    qualifier: str
    """Version number, alias name or `$LATEST`; no other qualifier's config stands in for it."""
    retries_max: int | None = None
    age_s_max: int | None = None
    on_success: str | None = None
    """ARN."""
    on_failure: str | None = None
    """ARN."""
    last_modified_ms: int
    owner: Owner | None = None

    @property
    def name(self) -> str:
        """Its name in the catalog: `FUNCTION:QUALIFIER`."""
        return f"{self.function}:{self.qualifier}"
