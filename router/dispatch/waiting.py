"""Who waits for a slot, by how many invocations each runs. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """Turns of claimants. Finding the least served costs the same however many wait."""

    def __init__(self) -> None:
        self.turns: dict[str, deque[T]] = {}
        """By claimant; empty when nobody waits."""
        self._levels: dict[int, dict[str, None]] = {}
        """Invocations running → who waits with so many, in the order they came to it."""

    def __bool__(self) -> bool:
        return bool(self.turns)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Every claimant's turns, in the order they came; it may change meanwhile."""
        for claimant, turns in list(self.turns.items()):
            for turn in list(turns):
                yield claimant, turn

    def add(self, claimant: str, turn: T, running: int) -> None:
        """Wait, behind those that are served as little."""
        turns = self.turns.get(claimant)
        if turns is None:
            turns = self.turns[claimant] = deque()
            self._levels.setdefault(running, {})[claimant] = None
        turns.append(turn)

    def first(self) -> str:
        """The least served; of several the one that waits longest at that."""
        return next(iter(self._levels[min(self._levels)]))

    def pop(self, claimant: str, running: int) -> T:
        """Its oldest turn."""
        turn = self.turns[claimant].popleft()
        self._tidy(claimant, running)
        return turn

    def remove(self, claimant: str, turn: T, running: int) -> None:
        """A turn that is waited for no more; none where it is not."""
        turns = self.turns.get(claimant, ())
        if turn in turns:
            self.turns[claimant].remove(turn)
            self._tidy(claimant, running)

    def move(self, claimant: str, before: int, after: int) -> None:
        """It runs another number of invocations than before."""
        if claimant in self.turns:
            self._leave(claimant, before)
            self._levels.setdefault(after, {})[claimant] = None

    def _tidy(self, claimant: str, running: int) -> None:
        if not self.turns[claimant]:
            del self.turns[claimant]
            self._leave(claimant, running)

    def _leave(self, claimant: str, running: int) -> None:
        claimants = self._levels[running]
        del claimants[claimant]
        if not claimants:
            del self._levels[running]
