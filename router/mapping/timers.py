"""Who wants to be woken when, without a clock."""

from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Timer(Generic[T]):
    """One owner's alarm. Set it through `Timers.set`."""

    __slots__ = ("due_ms", "number", "owner", "queued_ms")

    def __init__(self, owner: T) -> None:
        self.owner = owner
        self.due_ms: int | None = None
        """Monotonic; None: not waiting."""
        self.queued_ms: int | None = None
        """The earliest heap entry that stands for this timer."""
        self.number = -1
        """Among timers that are due at one time: the order in which they were first set."""


class Timers(Generic[T]):
    """A heap that forgets lazily.

    A timer that is set again and again to a later time (a batching window that each full batch
    restarts) keeps its one entry, so the heap holds about one entry per timer. What it forgets
    when depends on who asks for the earliest time, and how often; the order in which timers are due
    does not: a trace is decided again by an engine that is asked less.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Timer[T]]] = []
        self._numbers, self._entries = count(), count()

    def set(self, timer: Timer[T], due_ms: int | None) -> None:
        """Wake the owner at this time instead of any earlier wish; None: not at all."""
        timer.due_ms = due_ms
        if timer.number < 0:
            timer.number = next(self._numbers)
        if due_ms is not None and (timer.queued_ms is None or due_ms < timer.queued_ms):
            self._queue(timer, due_ms)

    def next_ms(self) -> int | None:
        """The earliest time anyone waits for."""
        heap = self._heap
        while heap:
            entry_ms, _, _, timer = heap[0]
            if timer.queued_ms == entry_ms and timer.due_ms == entry_ms:
                return entry_ms
            heappop(heap)
            if timer.queued_ms == entry_ms:
                timer.queued_ms = None
                if timer.due_ms is not None:
                    self._queue(timer, timer.due_ms)
        return None

    def pop_due(self, now_ms: int) -> list[T]:
        """Owners whose time has come, earliest first. Their timers are unset."""
        owners: list[T] = []
        while (due_ms := self.next_ms()) is not None and due_ms <= now_ms:
            timer = heappop(self._heap)[3]
            timer.due_ms = timer.queued_ms = None
            owners.append(timer.owner)
        return owners

    def _queue(self, timer: Timer[T], due_ms: int) -> None:
        timer.queued_ms = due_ms
        heappush(self._heap, (due_ms, timer.number, next(self._entries), timer))
