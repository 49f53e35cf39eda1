"""Who may send a large body now: so many at a time, in the order in which they came."""

from collections import deque
from typing import Protocol


class Waiting(Protocol):
    """Who has not been read on for want of a place."""

    def on_place(self) -> None:
        """A place is this one's now."""


class Places:
    """Places for large bodies. Whoever has one gives it back."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Waiting] = deque()

    @property
    def is_free(self) -> bool:
        """Whether there is a place now."""
        return self._free > 0

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def take(self, who: Waiting) -> bool:
        """Whether there is a place now; else `on_place` is called when there is."""
        if self._free:
            self._free -= 1
            return True
        self._waiting.append(who)
        return False

    def give(self) -> None:
        """Whoever waits longest has it next."""
        if self._waiting:
            self._waiting.popleft().on_place()
        else:
            self._free += 1

    def leave(self, who: Waiting) -> None:
        """Wait no longer."""
        self._waiting.remove(who)
