"""What the ingress process counts, added up in the router, whose `/metrics` shows it.

Only increases travel, so a process that is started again begins at nothing and no counter falls.
"""

from typing import Final

from router.ingress.frames import Cells, Counts, FrameError
from router.telemetry import metrics
from router.telemetry.cells import Counter

COUNTERS: Final[tuple[Counter, ...]] = (
    metrics.WEBHOOK_REQUESTS,
    metrics.WEBHOOK_BYTES,
    metrics.WEBHOOK_UNKEYED,
    metrics.INGRESS_REFUSED,
    metrics.STORE_ERRORS,
)
"""All that taking in requests counts. Named by their index."""


class Tally:
    """In the ingress process: what has been counted and is not told yet."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, tuple[str, ...]], float] = {}

    def take(self, connections: int, stall_s: float) -> Counts:
        """What was counted since this was asked before."""
        counters: list[tuple[int, list[str], float]] = []
        for index, counter in enumerate(COUNTERS):
            for labels, count in counter.items():
                if more := count.value - self._told.get((index, labels), 0.0):
                    self._told[index, labels] = count.value
                    counters.append((index, [*labels], more))
        durations = {
            webhook: Cells(counts, total)
            for (webhook,), (counts, total) in metrics.WEBHOOK_DURATION.take().items()
        }
        return Counts(counters, durations, connections, stall_s)


def add(counts: Counts) -> None:
    """In the router: count it. Raises `FrameError` for what cannot be counted."""
    try:
        for index, labels, more in counts.counters:
            COUNTERS[index].labels(*labels).inc(more)
        for webhook, cells in counts.durations.items():
            metrics.WEBHOOK_DURATION.labels(webhook).add(cells.counts, cells.total)
    except (ValueError, IndexError) as error:
        raise FrameError(f"counts: {type(error).__name__}") from None
