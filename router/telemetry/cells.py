"""Counters, gauges and histograms: what is added to is a slot, and rendering is a join.

They are registered with prometheus-client like its own. Its children take a lock and some
kilobytes for each mapping and metric, which thousands of mappings multiply; these take neither.
An increment needs no lock: nothing is called between reading a slot and writing it, so no other
thread has its turn there. What is rendered meanwhile is at most one observation short.
"""

import math
import sys
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

_go_not_finite: Callable[[float], str] = floatToGoString

Labels = Mapping[str, "str | Sequence[str]"]
"""Name → its values where they are a closed set, else what they are."""


class Count:
    """What a counter has come to."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, by: float = 1) -> None:
        """Count so many more. Raises `ValueError` for less than none."""
        if by < 0:
            raise ValueError("a counter never falls")
        self.value += by


class Level:
    """What a gauge shows."""

    __slots__ = ("_ask", "_value")

    def __init__(self) -> None:
        self._value: float = 0
        self._ask: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Show this from now on."""
        self._value = value

    def inc(self, by: float = 1) -> None:
        """Show so much more."""
        self._value += by

    def dec(self, by: float = 1) -> None:
        """Show so much less."""
        self._value -= by

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Show one more for as long as it lasts."""
        self.inc()
        try:
            yield
        finally:
            self.dec()

    def set_function(self, ask: Callable[[], float]) -> None:
        """Show what this says whenever somebody looks."""
        self._ask = ask

    @property
    def value(self) -> float:
        """What it shows now."""
        return self._value if self._ask is None else self._ask()


class Cells:
    """What a histogram observed."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def take(self) -> tuple[list[int], float]:
        """Counts of each bucket and the sum of all values; both begin anew."""
        taken = self._counts, self._sum
        self._counts, self._sum = [0] * len(self._counts), 0.0
        return taken

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count what another process took. Raises `ValueError` for other buckets."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    @property
    def counts(self) -> tuple[int, ...]:
        """How many each bucket has, and above the last one."""
        return tuple(self._counts)

    def cumulative(self) -> tuple[list[int], float]:
        """How many were at most each bound, the last one without any; and the sum of all."""
        return list(accumulate(self._counts)), self._sum


C = TypeVar("C", Count, Level, Cells)
V = TypeVar("V", Count, Level)


class Facts(NamedTuple):
    """What a metric is, for people."""

    name: str
    text: str
    labels: Labels
    aws: Mapping[str, str]
    """Each of its names on AWS, and which part of it that is; empty: all of it."""


class _Child(NamedTuple, Generic[C]):
    """A child and its labels as they are rendered."""

    cell: C
    text: str


class Family(Collector, Generic[C]):
    """A metric and its children. Without labels it has one, from the beginning."""

    kind: ClassVar[str]

    def __init__(self, registry: CollectorRegistry, facts: Facts) -> None:
        """Raises `ValueError` for a name that is there already."""
        self.facts = facts
        self._names = tuple(self.facts.labels)
        self._children: dict[tuple[str, ...], _Child[C]] = {}
        registry.register(self)
        if not self._names:
            self.labels()

    @property
    def family_name(self) -> str:
        """Without the suffix of a counter, as OpenMetrics wants it."""
        return self.facts.name

    def labels(self, *values: str) -> C:
        """The child of these values; keep it. Raises `ValueError` for too many or too few."""
        child = self._children.get(values)
        if child is None:
            pairs = sorted(zip(self._names, values, strict=True))
            text = ",".join(f'{name}="{escaped(value)}"' for name, value in pairs)
            # Those of one mapping share it.
            child = self._children[values] = _Child(self._new(), sys.intern(text))
        return child.cell

    def remove(self, *values: str) -> None:
        """Show a child no more. One that is not there is gone already."""
        self._children.pop(values, None)

    def clear(self) -> None:
        """Show no child any more."""
        self._children.clear()

    def peek(self, *values: str) -> C | None:
        """The child of these values, where there is one; none is made."""
        child = self._children.get(values)
        return None if child is None else child.cell

    def items(self) -> list[tuple[tuple[str, ...], C]]:
        """Values of labels → child, of all there are."""
        return [(values, child.cell) for values, child in list(self._children.items())]

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """The samples in Prometheus's text format, each child's in one piece; no header."""

    def describe(self) -> Iterable[Metric]:
        """See `Collector`: the registry asks for the name."""
        return [self._family()]

    @abstractmethod
    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""

    @abstractmethod
    def _new(self) -> C:
        """A child at its beginning."""

    @abstractmethod
    def _family(self) -> Any:
        """What the library calls this metric, without a sample."""


class _OneValue(Family[V]):
    """A metric each of whose children is one number."""

    def lines(self) -> Iterator[str]:
        """See `Family`."""
        return _lines(self.facts.name, self._children)

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        family = self._family()
        for values, cell in self.items():
            family.add_metric(values, cell.value)
        return [family]


class Counter(_OneValue[Count]):
    """Only grows. Its name ends in `_total`."""

    kind = "counter"

    @property
    def family_name(self) -> str:
        """See `Family`."""
        return self.facts.name.removesuffix("_total")

    def inc(self, by: float = 1) -> None:
        """Of the only child."""
        self.labels().inc(by)

    def _new(self) -> Count:
        return Count()

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.facts.name, self.facts.text, labels=self._names)


class Gauge(_OneValue[Level]):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: float) -> None:
        """Of the only child."""
        self.labels().set(value)

    def set_function(self, ask: Callable[[], float]) -> None:
        """Of the only child."""
        self.labels().set_function(ask)

    def _new(self) -> Level:
        return Level()

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.facts.name, self.facts.text, labels=self._names)


class Histogram(Family[Cells]):
    """Counts values by size."""

    kind = "histogram"

    def __init__(self, registry: CollectorRegistry, facts: Facts, buckets: Sequence[float]) -> None:
        """`buckets`: their upper bounds, the last one of all aside."""
        self.bounds = tuple(map(float, buckets))
        self._bound_names = [*map(str, self.bounds), "+Inf"]
        super().__init__(registry, facts)
        comma = "," if self._names else ""
        ends = [f'{comma}le="{bound}"}} ' for bound in self._bound_names]
        parts = [f"{facts.name}_bucket{{%s{end}%d\n" for end in ends]
        braces = "{%s}" if self._names else "%s"
        parts += f"{facts.name}_count{braces} %d\n", f"{facts.name}_sum{braces} %s\n"
        self._form = "".join(parts)

    def observe(self, value: float) -> None:
        """Of the only child."""
        self.labels().observe(value)

    def counts(self, *values: str) -> tuple[int, ...]:
        """Of each bucket of a child, and above; none of one that does not exist."""
        cells = self.peek(*values)
        return () if cells is None else cells.counts

    def lines(self) -> Iterator[str]:
        """See `Family`."""
        form = self._form
        for cells, labels in list(self._children.values()):
            counts, total = cells.cumulative()
            told: list[Any] = [labels] * (2 * len(counts) + 4)
            told[1 : 2 * len(counts) : 2] = counts
            told[-3], told[-1] = counts[-1], _go(total)
            yield form % tuple(told)

    def take(self) -> dict[tuple[str, ...], tuple[list[int], float]]:
        """What each child observed since it was asked before; those that did."""
        taken = {values: cells.take() for values, cells in self.items()}
        return {values: cells for values, cells in taken.items() if any(cells[0])}

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        family = self._family()
        for values, cells in self.items():
            counts, total = cells.cumulative()
            buckets = list(zip(self._bound_names, map(float, counts), strict=True))
            family.add_metric(values, buckets, total)
        return [family]

    def _new(self) -> Cells:
        return Cells(self.bounds)

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.facts.name, self.facts.text, labels=self._names)


def escaped(value: str) -> str:
    """A label's value as it is rendered."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _lines(name: str, children: Mapping[Any, _Child[Any]]) -> Iterator[str]:
    for cell, labels in list(children.values()):
        value = cell.value
        number = value if type(value) is int else _go(value)
        yield f"{name}{{{labels}}} {number}\n" if labels else f"{name} {number}\n"


def _go(value: float) -> str:
    """As a parser in Go takes it; a bool is 0 or 1."""
    return repr(float(value)) if math.isfinite(value) else _go_not_finite(value)
