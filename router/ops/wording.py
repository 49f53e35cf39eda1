"""Numbers as people read them at a glance: short, always with their unit."""

from datetime import UTC, datetime
from typing import Final

NOTHING: Final = "–"
"""Where there is no number."""

_STEPS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SPANS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
"""Seconds of a unit, its name, and the same of what is told beside it."""

EXACT_BELOW: Final = 10_000
"""Counts below it are told in full."""


def count(value: float | None) -> str:
    """`1,234`, `12.3k`, `4.50M`."""
    if value is None:
        return NOTHING
    if abs(value) < EXACT_BELOW:
        return f"{round(value):,}"
    for size, unit in _STEPS:
        if abs(value) >= size * 0.9995:  # or the number before the unit would be 1000
            return _three(value / size) + unit
    raise AssertionError(value)


def _three(value: float) -> str:
    """Three digits."""
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}"


def rate(per_s: float) -> str:
    """`0`, `0.03/s`, `12.5/s`, `1,250/s`."""
    if per_s < 0.005:
        return "0/s" if per_s <= 0 else "<0.01/s"
    if per_s < 9.995:
        return f"{per_s:.2g}/s"
    return f"{count(per_s)}/s"


def span(seconds: float) -> str:
    """A length of time: `0 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    whole = max(0, int(seconds))
    for size, unit, part, part_unit in _SPANS:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def short_span(seconds: float) -> str:
    """The same by its first unit alone."""
    return " ".join(span(seconds).split(" ")[:2])


def duration(ms: float | None) -> str:
    """A measured time: `0.4 ms`, `12 ms`, `1.25 s`, `2 min`."""
    if ms is None:
        return NOTHING
    if ms < 10:
        return f"{ms:.2g} ms"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.3g} s"
    return span(ms / 1_000)


def size(size_bytes: float) -> str:
    """`512 B`, `1.5 KiB`, `20 GiB`."""
    if size_bytes < 1_024:
        return f"{size_bytes:.0f} B"
    units = iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    unit, size_bytes = next(units), size_bytes / 1_024
    while size_bytes >= 999.5 and unit != "PiB":
        unit, size_bytes = next(units), size_bytes / 1_024
    return f"{size_bytes:.3g} {unit}"


def clock(wall_ms: int) -> str:
    """A moment of today, UTC: `14:03:59`."""
    return _moment(wall_ms).strftime("%H:%M:%S")


def moment(wall_ms: int) -> str:
    """`2026-01-31 14:03:59 UTC`."""
    return _moment(wall_ms).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(wall_ms: int) -> str:
    """For machines."""
    return _moment(wall_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def plural(number: float, one: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{count(number)} {one if round(number) == 1 else many or one + 's'}"


def _moment(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1_000, UTC)
