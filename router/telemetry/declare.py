"""How a metric is declared: once, with all that `docs/metrics.md` says of it.

Prefix `router_`, then what it tells of, base units last, `_total` for counters. Labels are from
bounded sets only; never an id, a key, a URL or an error text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector

from router.telemetry.cells import Counter, Facts, Family, Gauge, Histogram, Labels

REGISTRY: Final = CollectorRegistry()
"""Ours alone: nothing of a library's default registry leaks in."""

LIBRARY: Final = CollectorRegistry()
"""What the library collects for us: what every process tells of itself."""

ProcessCollector(registry=LIBRARY)

FAMILIES: Final[list[Family[Any]]] = []
"""All that are declared, in order."""

DURATION_BUCKETS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900,
)  # fmt: skip
"""Up to the longest timeout of a function."""

MAPPING: Final[Labels] = {
    "mapping": "the mapping's name in the template, else the first characters of its UUID"
}
FUNCTION: Final[Labels] = {"function": "the function's name"}
WEBHOOK: Final[Labels] = {"webhook": "the webhook's name"}

Aws = str | Mapping[str, str]
"""Its name on AWS; or each of its names, and which part of the metric that is."""


def counter(name: str, text: str, labels: Labels | None = None, aws: Aws = "") -> Counter:
    """Declare a counter."""
    return _kept(Counter(REGISTRY, _facts(name, text, labels, aws)))


def gauge(name: str, text: str, labels: Labels | None = None, aws: Aws = "") -> Gauge:
    """Declare a gauge."""
    return _kept(Gauge(REGISTRY, _facts(name, text, labels, aws)))


def histogram(
    name: str,
    text: str,
    labels: Labels | None = None,
    aws: Aws = "",
    *,
    buckets: Sequence[float] = DURATION_BUCKETS_S,
) -> Histogram:
    """Declare a histogram."""
    return _kept(Histogram(REGISTRY, _facts(name, text, labels, aws), buckets))


def _facts(name: str, text: str, labels: Labels | None, aws: Aws) -> Facts:
    names = {aws: ""} if isinstance(aws, str) and aws else aws or {}
    return Facts(name, text, labels or {}, names)


F = TypeVar("F", bound=Family[Any])


def _kept(family: F) -> F:
    FAMILIES.append(family)
    return family
