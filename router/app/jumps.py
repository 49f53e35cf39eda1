"""Forward jumps of the wall clock, so that nothing is thrown away because a clock was set.

What was stamped before a jump of a day looks a day older after it. That may change ages that are
told (T1), but retention deletes, and a deletion cannot be taken back: it waits as long as the
record was promised, counted by a clock that does not jump.
"""

import time
from collections.abc import Callable

from router.mapping.driver import SystemClock

JUMP_MS_MIN = 5_000
"""Steps below this are the usual corrections of a clock."""

REMEMBERED_MAX = 64
"""Jumps remembered; older ones are merged into the oldest."""


def _elapsed_ms() -> int:
    # Counts on while the machine sleeps, as records age on.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Jumps:
    """What is known of the wall clock since the start. A restart forgets it."""

    def __init__(
        self, wall_ms: Callable[[], int], elapsed_ms: Callable[[], int] = _elapsed_ms
    ) -> None:
        self._wall_ms = wall_ms
        self._elapsed_ms = elapsed_ms
        self._ahead_ms = wall_ms() - elapsed_ms()
        self._jumps: list[tuple[int, int]] = []
        """(wall time just before, by how much), oldest first; forward ones only."""

    def look(self) -> int:
        """See whether the clock was set since the last look; by how many milliseconds."""
        wall_ms = self._wall_ms()
        ahead_ms = wall_ms - self._elapsed_ms()
        by_ms, self._ahead_ms = ahead_ms - self._ahead_ms, ahead_ms
        if abs(by_ms) < JUMP_MS_MIN:
            return 0
        if by_ms > 0:
            self._jumps.append((wall_ms - by_ms, by_ms))
        else:
            self._take_back(-by_ms)
        if len(self._jumps) > REMEMBERED_MAX:
            (at_ms, first), (_, second) = self._jumps[:2]
            self._jumps[:2] = [(at_ms, first + second)]
        return by_ms

    def _take_back(self, by_ms: int) -> None:
        """A clock set back undoes what it was set forward before."""
        while by_ms and self._jumps:
            at_ms, forward_ms = self._jumps.pop()
            undone_ms = min(by_ms, forward_ms)
            by_ms -= undone_ms
            if forward_ms > undone_ms:
                self._jumps.append((at_ms, forward_ms - undone_ms))

    def wall_ms(self) -> int:
        """The wall clock, but for what it was set by since the last look.

        `look` is followed at once by moving the due times that are stored, so by this clock
        nothing is taken to be due, or over, or is stored out of time, in between.
        """
        return self._ahead_ms + self._elapsed_ms()

    def before_ms(self, age_ms: int) -> int:
        """Stamps below this are older than `age_ms`, however the clock was set since."""
        before_ms = self._wall_ms() - age_ms
        for at_ms, by_ms in reversed(self._jumps):
            if before_ms >= at_ms + by_ms:
                break
            before_ms -= by_ms
        return before_ms


class SteadyClock(SystemClock):
    """The machine's clocks, the wall's as `Jumps` tells it."""

    def __init__(self) -> None:
        self.jumps = Jumps(super().wall_ms)

    def wall_ms(self) -> int:
        """Epoch milliseconds."""
        return self.jumps.wall_ms()
