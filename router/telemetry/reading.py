"""Reads a metric's value, for the page that shows it.

Nothing is made by asking: a child that does not exist is 0.
"""

from collections.abc import Iterator

from router.telemetry.cells import Counter, Gauge


def total(counter: Counter, *labels: str) -> float:
    """What a counter has come to."""
    child = counter.peek(*labels)
    return 0.0 if child is None else float(child.value)


def level(gauge: Gauge, *labels: str) -> float:
    """What a gauge says now, also one that asks for it."""
    child = gauge.peek(*labels)
    return 0.0 if child is None else float(child.value)


def totals(counter: Counter) -> Iterator[tuple[tuple[str, ...], float]]:
    """All children of a counter: the values of their labels, and what they have come to."""
    for labels, count in counter.items():
        yield labels, float(count.value)
