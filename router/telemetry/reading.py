"""Reads a metric's value, for the page that shows it: the library only renders all of them.

Nothing is made by asking: a child that does not exist is 0.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import Counter, Gauge


def total(counter: Counter, *labels: str) -> float:
    """What a counter has come to."""
    child: Any = counter._metrics.get(labels)  # noqa: SLF001  # `labels()` would make it
    return 0.0 if child is None else float(child._value.get())  # noqa: SLF001


def level(gauge: Gauge, *labels: str) -> float:
    """What a gauge says now, also one that asks for it."""
    child: Any = gauge._metrics.get(labels)  # noqa: SLF001
    return 0.0 if child is None else float(next(iter(child._child_samples())).value)  # noqa: SLF001


def totals(counter: Counter) -> Iterator[tuple[tuple[str, ...], float]]:
    """All children of a counter: the values of their labels, and what they have come to."""
    children: list[tuple[Any, Any]] = list(counter._metrics.items())  # noqa: SLF001
    for labels, child in children:
        yield labels, float(child._value.get())  # noqa: SLF001
