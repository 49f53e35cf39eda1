"""A pot of slots, shared out fairly between claimants. Pure.

A slot is the right to run one invocation. Among those that wait the one with the fewest running
invocations comes first, and none may take the last slots while others that run nothing could want
one: a mapping cannot starve another (L4).
"""

from typing import Generic, Protocol, TypeVar

from router.dispatch.waiting import Waiting


class Claim(Protocol):
    """One invocation that waits for a slot."""

    claimant: str

    def done(self) -> bool:
        """Whether it waits no more: it has a slot, or was given up."""


T = TypeVar("T", bound=Claim)


class Pot(Generic[T]):
    """`size` slots, of which `used` are taken.

    More may be taken than there are, for a while, after the pot was made smaller. `reason` is what
    a caller hears when none is free (`functions-and-invocation.md` 6.4).
    """

    __slots__ = ("_idle", "_leaving", "_running", "is_ready", "reason", "size", "used", "waiting")

    def __init__(self, size: int, reason: str, *, is_ready: bool = False) -> None:
        """`is_ready`: its slots are environments that are provisioned, nothing is kept back."""
        self.size = size
        self.reason = reason
        self.is_ready = is_ready
        self.used = 0
        self.waiting: Waiting[T] = Waiting()
        self._running: dict[str, int] = {}
        """What each claimant runs by slots of this pot."""
        self._idle = 0
        """How many of those that may ask run nothing."""
        self._leaving: set[str] = set()
        """Who will not ask again and still runs something."""

    def register(self, claimant: str) -> None:
        """One that may ask for slots."""
        self._leaving.discard(claimant)
        if claimant not in self._running:
            self._running[claimant] = 0
            self._idle += 1

    def unregister(self, claimant: str) -> None:
        """One that will not ask again; what it runs still counts until it ends."""
        running = self._running.get(claimant)
        if running == 0:
            del self._running[claimant]
            self._idle -= 1
        elif running is not None:
            self._leaving.add(claimant)

    def may_take(self, claimant: str) -> bool:
        """Whether a slot is free, and fair for this claimant to take."""
        free = self.size - self.used
        if free < 1:
            return False
        mine = self._running.get(claimant, 0)
        if self.is_ready or mine < max(1, self.size // max(1, len(self._running))):
            return True
        idle = self._idle - (claimant in self._running and not mine)
        return free > min(idle, self.size // 2)

    def take(self, claimant: str) -> None:
        """It has one more slot."""
        self.used += 1
        self._count(claimant, 1)

    def leave(self, claimant: str) -> None:
        """It runs one less. Whose slot that was has been settled: `used` is not touched."""
        self._count(claimant, -1)
        if self._leaving and claimant in self._leaving and not self._running[claimant]:
            self._leaving.remove(claimant)
            self.unregister(claimant)

    def wait(self, turn: T) -> None:
        """Wait for a slot."""
        self.waiting.add(turn.claimant, turn, self._running.get(turn.claimant, 0))

    def forget(self, turn: T) -> None:
        """Wait no more."""
        if self.waiting:
            self.waiting.remove(turn.claimant, turn, self._running.get(turn.claimant, 0))

    def next_turn(self) -> T | None:
        """Whose turn it is, taken out of those that wait; None while nobody may have a slot.

        When the least served may not take one, nobody may: who runs more has less of a claim.
        """
        while self.waiting:
            claimant = self.waiting.first()
            if not self.may_take(claimant):
                return None
            turn = self.waiting.pop(claimant, self._running.get(claimant, 0))
            if not turn.done():
                return turn
        return None

    def _count(self, claimant: str, change: int) -> None:
        before = self._running.get(claimant)
        self._running[claimant] = after = (before or 0) + change
        self._idle += (after == 0) - (before == 0)
        if self.waiting.turns:  # asked with every invocation: no call for it
            self.waiting.move(claimant, before or 0, after)
