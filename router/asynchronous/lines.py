"""Which function's events are taken from the queue next, and how many. Pure.

Each function has a line of its own: one that is slow, throttled or broken holds up no other (L4).
Few events of a line wait in memory at a time: a window that grows while they get their turn and
is one, with a pause, when they get none. `now_ms` is monotonic.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from router.model.backoff import backoff_ms
from router.model.limits import MIB

CYCLE_EVENTS_MAX: Final = 100
"""Events taken in one transaction, all functions together."""

WINDOW_FIRST: Final = 8
WINDOW_MAX: Final = 100
"""Events of one function that are in memory and wait for their turn."""

HELD_MAX: Final = 2_000
"""Events of one function in memory, running ones included."""

HELD_BYTES_MAX: Final = 128 * MIB
"""Bytes of all events in memory. Of each function one may be, however large and many they are."""

PAUSE_MS_MIN: Final = 1_000
PAUSE_MS_MAX: Final = 30_000
"""How long no event of a function is taken after one could not be run."""


class Wanted(msgspec.Struct, frozen=True):
    """Events of one function to take from the queue."""

    function: str
    events_max: int
    bytes_max: int
    """One event may be larger."""


class _Line:
    """One function's."""

    __slots__ = ("due_ms", "held", "held_bytes", "is_asked", "pauses", "running", "until_ms",
                 "window")  # fmt: skip

    def __init__(self) -> None:
        self.due_ms: int | None = None
        """When the next event that is not in memory is due; None: there is none."""
        self.held = 0
        self.held_bytes = 0
        self.running = 0
        self.window = WINDOW_FIRST
        self.pauses = 0
        self.until_ms = 0
        """No event is taken before."""
        self.is_asked = False
        """The queue is being asked for events just now."""


class Lines:
    """All functions that have events."""

    def __init__(self, held_bytes_max: int = HELD_BYTES_MAX) -> None:
        self._lines: dict[str, _Line] = {}
        self._held_bytes_max = held_bytes_max
        self._held_bytes = 0

    def holds(self, function: str) -> bool:
        """Whether events of the function are in memory."""
        line = self._lines.get(function)
        return line is not None and line.held > 0

    @property
    def held(self) -> int:
        """Events in memory."""
        return sum(line.held for line in self._lines.values())

    @property
    def held_bytes(self) -> int:
        """Bytes of events in memory."""
        return self._held_bytes

    def arrived(self, function: str, due_ms: int) -> None:
        """An event of the function is in the queue, due then."""
        line = self._lines.setdefault(function, _Line())
        line.due_ms = due_ms if line.due_ms is None else min(line.due_ms, due_ms)

    def next_ms(self) -> int | None:
        """When to ask for `wanted` next; None: only an event can change anything."""
        ready = [self._ready_ms(line) for line in self._lines.values()]
        return min((at_ms for at_ms in ready if at_ms is not None), default=None)

    def wanted(self, now_ms: int) -> list[Wanted]:
        """What to take now. Each is answered by `taken`, or by `not_taken`."""
        ready = [
            (function, line)
            for function, line in self._lines.items()
            if (at_ms := self._ready_ms(line)) is not None and at_ms <= now_ms
        ][:CYCLE_EVENTS_MAX]
        wanted, left, waiting = [], CYCLE_EVENTS_MAX, len(ready)
        free_bytes = self._held_bytes_max - self._held_bytes
        for function, line in ready:
            # An equal part, and what those before left of theirs.
            events = max(1, min(_room(line), left // waiting))
            bytes_max = max(1, free_bytes, self._share_bytes - line.held_bytes)
            left, waiting, free_bytes = left - events, waiting - 1, free_bytes - bytes_max
            line.is_asked, line.due_ms = True, None
            wanted.append(Wanted(function, events, bytes_max))
            # Whoever was asked for least recently comes first.
            self._lines[function] = self._lines.pop(function)
        return wanted

    @property
    def _share_bytes(self) -> int:
        return self._held_bytes_max // len(self._lines)

    def _ready_ms(self, line: _Line) -> int | None:
        """When something may be taken; None as long as nothing else happens."""
        if line.due_ms is None or line.is_asked or _room(line) < 1:
            return None
        is_full = self._held_bytes >= self._held_bytes_max
        if is_full and line.held and line.held_bytes >= self._share_bytes:
            return None
        return max(line.due_ms, line.until_ms)

    def taken(self, function: str, sizes_bytes: Sequence[int], next_due_ms: int | None) -> None:
        """These events came; `next_due_ms` is of the first one still there."""
        line = self._lines[function]
        line.is_asked = False
        line.held += len(sizes_bytes)
        line.held_bytes += sum(sizes_bytes)
        self._held_bytes += sum(sizes_bytes)
        if next_due_ms is not None:
            self.arrived(function, next_due_ms)
        self._tidy(function)

    def not_taken(self, function: str, now_ms: int) -> None:
        """The queue could not be asked; nobody knows what is there."""
        self._lines[function].is_asked = False
        self.arrived(function, now_ms)

    def began(self, function: str) -> None:
        """One got its turn."""
        line = self._lines[function]
        line.running += 1
        line.window = min(line.window + 1, WINDOW_MAX)
        line.pauses, line.until_ms = 0, 0

    def held_up(self, function: str, now_ms: int) -> None:
        """One could not be run: the others of its function would not fare better just now."""
        line = self._lines[function]
        line.window = 1
        if line.until_ms <= now_ms:
            line.pauses += 1
            wait_ms = backoff_ms(line.pauses, PAUSE_MS_MIN, PAUSE_MS_MAX, f"line:{function}")
            line.until_ms = now_ms + wait_ms

    def ran(self, function: str) -> None:
        """One that had its turn is not running any more."""
        self._lines[function].running -= 1

    def left(self, function: str, size_bytes: int) -> None:
        """One is in memory no more."""
        line = self._lines[function]
        line.held -= 1
        line.held_bytes -= size_bytes
        self._held_bytes -= size_bytes
        self._tidy(function)

    def _tidy(self, function: str) -> None:
        line = self._lines[function]
        if line.held == 0 and line.due_ms is None and not line.is_asked:
            del self._lines[function]


def _room(line: _Line) -> int:
    """How many more events may be in memory."""
    return min(line.window - (line.held - line.running), HELD_MAX - line.held)
