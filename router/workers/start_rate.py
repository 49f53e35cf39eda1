"""How fast a function may be given environments (`functions-and-invocation.md` 9)."""

from typing import Final

STARTS_MAX: Final = 1_000
"""At once (Lambda quota)."""

REFILL_S: Final = 10.0
"""In which as many more may be started; what is not used is not added up."""


class StartRate:
    """A token bucket: one token for each environment. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._tokens = float(STARTS_MAX)
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more may be started now."""
        gained = (now_s - self._at_s) * STARTS_MAX / REFILL_S
        self._tokens = min(float(STARTS_MAX), self._tokens + gained)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
