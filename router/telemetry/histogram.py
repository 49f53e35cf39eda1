"""A histogram for the hot path: an observation is one search and two additions.

The library's takes a lock for each of its cells, four times the time of this. Used in the event
loop's thread alone; what another thread renders meanwhile is at most one observation short.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString


class Cells:
    """One child: what was observed under its label."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def counts(self) -> list[int]:
        """Of each bucket, and above the last."""
        return self._counts

    def take(self) -> tuple[list[int], float]:
        """Counts of each bucket and the sum of all values; both begin anew."""
        taken = self._counts, self._sum
        self._counts, self._sum = [0] * len(self._counts), 0.0
        return taken

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count what another process took. Raises `ValueError` for other buckets."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    def rendered(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets by their upper bound, and the sum of all values."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        counts = accumulate(self._counts)
        return [(name, float(count)) for name, count in zip(names, counts, strict=True)], self._sum


class FastHistogram(Collector):
    """A histogram with one label."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label: str,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._buckets = tuple(map(float, buckets))
        self._children: dict[str, Cells] = {}
        registry.register(self)

    def labels(self, value: str) -> Cells:
        """The child of a label's value; keep it."""
        child = self._children.get(value)
        if child is None:
            child = self._children[value] = Cells(self._buckets)
        return child

    def counts(self, value: str) -> tuple[int, ...]:
        """Of each bucket of a child, and above; none of one that does not exist."""
        child = self._children.get(value)
        return () if child is None else tuple(child.counts)

    def take(self) -> dict[str, tuple[list[int], float]]:
        """What each child observed since it was asked before; those that did."""
        taken = {value: child.take() for value, child in self._children.items()}
        return {value: cells for value, cells in taken.items() if any(cells[0])}

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What the registry asks for."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, child in list(self._children.items()):
            buckets, total = child.rendered()
            family.add_metric([value], buckets, total)
        return [family]
