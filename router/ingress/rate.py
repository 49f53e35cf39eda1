"""A bound on how often something may happen."""

import math


class RateLimit:
    """So many per minute on average, and as many at once after a quiet minute."""

    def __init__(self, per_minute: int) -> None:
        self._step_s = 60.0 / per_minute
        self._ahead_s_max = 60.0 - self._step_s
        self._next_s = -math.inf
        """When the bucket would be full again: each admitted one moves it by a step."""

    def wait_s(self, now_s: float) -> int:
        """0 admits one more; else the whole seconds after which to ask again."""
        begin_s = max(self._next_s, now_s)
        ahead_s = begin_s - now_s
        if ahead_s > self._ahead_s_max + 1e-9:
            return max(1, math.ceil(ahead_s - self._ahead_s_max))
        self._next_s = begin_s + self._step_s
        return 0
