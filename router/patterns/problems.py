"""Why a pattern is refused."""

from router.model.errors import RouterError


class PatternError(RouterError):
    """The text is no pattern. The error's text is the reason alone, for callers to put in theirs.

    Wherever the reference engine has a reason of its own, it is worded the same
    (`docs/contracts/bus-http-and-schedules.md` 1.5).
    """

    code = "invalid_pattern"
