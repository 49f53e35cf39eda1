"""Numbers as Grafana writes them: three digits, and the unit's own prefixes."""

from collections.abc import Sequence

SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1, "s"), (60, "min"), (3600, "h"))
BYTES = tuple((1024**n, unit) for n, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))
BYTE_RATES = tuple((1000**n, unit) for n, unit in enumerate(("B/s", "kB/s", "MB/s", "GB/s")))
COUNTS = tuple((1000**n, unit) for n, unit in enumerate(("", "K", "Mil", "Bil")))
RATES = {"recps": "rec/s", "reqps": "req/s"}


def written(value: float, unit: str) -> str:
    """A value with its unit."""
    match unit:
        case "s":
            return _scaled(value, SECONDS)
        case "bytes":
            return _scaled(value, BYTES)
        case "Bps":
            return _scaled(value, BYTE_RATES)
        case "percentunit":
            return f"{_digits(value * 100)}%"
        case "recps" | "reqps":
            number = _scaled(value, COUNTS).replace(" ", "")
            return f"{number} {RATES[unit]}"
        case "short":
            return _scaled(value, COUNTS)
        case _:
            return _digits(value)


def _scaled(value: float, steps: Sequence[tuple[float, str]]) -> str:
    if value == 0:
        return f"0 {dict(steps).get(1, '')}".strip()
    size, unit = steps[0]
    for size_, unit_ in steps:
        if abs(value) >= size_:
            size, unit = size_, unit_
    return f"{_digits(value / size)} {unit}".strip()


def _digits(value: float) -> str:
    """Three that matter, without zeros behind the point."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2}f}".rstrip("0").rstrip(".")
