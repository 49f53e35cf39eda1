"""The last invocations of each mapping and function, for people who ask what just happened.

Each has its last `EACH_MAX`, all together `ALL_MAX` (about 6 MB): beyond that whoever began first
begins anew. To note one costs less than half a microsecond.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

EACH_MAX: Final = 25
"""Of one mapping, or one function."""

ALL_MAX: Final = 20_000
"""Of all mappings, and as many of all functions."""

ERROR_CHARACTERS_MAX: Final = 200
"""Of an error's text that are kept."""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One invocation that has ended."""

    wall_ms: int
    """When it ended."""
    outcome: str
    """Of a batch a label of `router_mapping_batches_total`, of a function one of its results."""
    duration_ms: float
    request_id: str
    error: str = ""
    """What went wrong, in the function's own word; never a part of an event."""
    records: int = 0
    """In the batch."""
    attempt: int = 1
    """Of the batch."""
    place: str = ""
    """Shard and lane, where there are any."""
    version: str = ""
    init_ms: float | None = None
    """Set when the invocation made its environment."""
    memory_mb: int = 0


class Ring:
    """The last attempts of one thing."""

    __slots__ = ("_attempts", "_rings")

    def __init__(self, rings: "Rings") -> None:
        self._rings = rings
        self._attempts: deque[Attempt] = deque(maxlen=EACH_MAX)

    def note(self, attempt: Attempt) -> None:
        """One more."""
        attempts = self._attempts
        is_full = len(attempts) == EACH_MAX
        attempts.append(attempt)
        if not is_full:
            self._rings.grew(self)

    def clear(self) -> int:
        """Forget all; how many there were."""
        count = len(self._attempts)
        self._attempts.clear()
        return count

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def last_first(self) -> Sequence[Attempt]:
        """All that are kept."""
        return list(reversed(self._attempts))


class Rings:
    """Of all things of a kind."""

    def __init__(self, all_max: int = ALL_MAX) -> None:
        self._all_max = all_max
        self._rings: dict[str, Ring] = {}
        self._order: deque[Ring] = deque()
        """Those that hold something, in the order in which they began."""
        self._count = 0

    def of(self, key: str) -> Ring:
        """The ring of a thing; keep it."""
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = Ring(self)
        return ring

    def known(self, key: str) -> Sequence[Attempt]:
        """The last attempts of a thing, the last first; none of one that is not known."""
        ring = self._rings.get(key)
        return () if ring is None else ring.last_first

    def forget(self, key: str) -> None:
        """A thing is gone."""
        if (ring := self._rings.pop(key, None)) is not None and len(ring):
            self._order.remove(ring)
            self._count -= ring.clear()

    def grew(self, ring: Ring) -> None:
        """A ring holds one more than before."""
        self._count += 1
        if len(ring) == 1:
            self._order.append(ring)
        while self._count > self._all_max:
            self._count -= self._order.popleft().clear()


BATCHES: Final = Rings()
"""By mapping's UUID."""

INVOCATIONS: Final = Rings()
"""By function's name."""
