"""How many batches of a queue may run at once, and how many receives may wait for messages.

The numbers of `event-source-mappings.md` 8.2 and 8.3. Two things hold a mapping back: its own
concurrency, which grows while messages remain, and the turns that the router's other work leaves
it. What is received and cannot run only burns receive counts, so receives are opened one after
the other: each that brings messages whose batches run at once allows another, a batch that has to
wait for its turn allows none.
"""

import math
from typing import Final

from router.model.mapping_spec import MappingSpec

START: Final = 5
"""Batches at a time in the beginning, and on a quiet queue."""

LEAST: Final = 2
"""Failures bring it down to this, but no lower."""

CEILING: Final = 1_250
"""Most batches of one mapping at a time."""

GROWTH_PER_MINUTE: Final = 300
PROVISIONED_GROWTH_PER_MINUTE: Final = 1_000

POLLER_BATCHES: Final = 10
"""Batches of one provisioned poller at a time."""

STEP_MS_MAX: Final = 2_000
"""Messages that come further apart than this do not count as remaining ones."""

RECEIVES_MAX: Final = 32
"""Most receives of one mapping that are open at a time."""

PENALTY_MS: Final = 1_000
"""However many batches fail together, the pace falls once in this time."""


class Pace:
    """Of one mapping."""

    def __init__(self, spec: MappingSpec, slots_max: int) -> None:
        """`slots_max`: invocations the router runs at a time, whoever asks."""
        self._slots_max = max(1, slots_max)
        self._seen_ms: int | None = None
        """When messages came last; None while the queue is quiet."""
        self._fell_ms: int | None = None
        self._receives = 1
        self._batches = math.inf
        self.change(spec)
        self._batches = float(self._start)

    def change(self, spec: MappingSpec) -> None:
        """Other settings."""
        start, ceiling = START, CEILING
        self._growth_per_ms = GROWTH_PER_MINUTE / 60_000
        self._least = LEAST
        if spec.concurrency_max is not None:
            ceiling = spec.concurrency_max
        if spec.pollers is not None:
            start = self._least = spec.pollers.minimum * POLLER_BATCHES
            ceiling = spec.pollers.maximum * POLLER_BATCHES
            self._growth_per_ms = PROVISIONED_GROWTH_PER_MINUTE / 60_000
        self._ceiling = min(ceiling, self._slots_max)
        self._start = min(start, self._ceiling)
        self._least = min(self._least, self._start)
        self._batches = min(self._batches, float(self._ceiling))

    @property
    def batches_max(self) -> int:
        """Batches that may run or wait to run."""
        return int(self._batches)

    @property
    def receives_max(self) -> int:
        """Receives that may be open, as far as what they bring can be run."""
        return self._receives

    def received(self, *, is_plenty: bool, now_ms: int) -> None:
        """Messages came; `is_plenty`: as many as to expect more."""
        if self._seen_ms is not None:
            step_ms = now_ms - self._seen_ms
            if step_ms <= STEP_MS_MAX:
                grown = self._batches + step_ms * self._growth_per_ms
                self._batches = min(grown, float(self._ceiling))
        self._seen_ms = now_ms
        if is_plenty:
            self._receives = min(2 * self._receives, RECEIVES_MAX)

    def was_quiet(self) -> None:
        """A receive waited to its end and nothing came."""
        self._seen_ms = None
        self._receives = 1
        self._batches = float(self._start)

    def waited(self) -> None:
        """A batch had to wait for its turn: others need the slots."""
        self._receives = 1

    def failed(self, now_ms: int) -> None:
        """A batch failed, or found no slot at all."""
        if self._fell_ms is not None and now_ms - self._fell_ms < PENALTY_MS:
            return
        self._fell_ms = now_ms
        self._batches = max(self._batches / 2, float(self._least))
