"""Small pictures of the last ten minutes, as SVG: lines for what changes, bars for shares. Pure.

The number stands beside each picture, so pictures are hidden from screen readers.
"""

from collections.abc import Sequence
from typing import Final

from router.ops.history import POINTS
from router.ops.html import Html, tag

WIDTH: Final = 120
HEIGHT: Final = 28
CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 120

TOP_MIN: Final = 1e-9
"""A picture of nothing is a line at the bottom."""


def spark(points: Sequence[float], tone: str = "") -> Html:
    """A line without axes; the last point is now."""
    return _svg(points, WIDTH, HEIGHT, _top(points), f"spark {tone}".strip())


def chart(points: Sequence[float], tone: str = "") -> tuple[Html, float]:
    """A line above a grid, and the value of the grid's top."""
    top = _round_up(_top(points))
    return _svg(points, CHART_WIDTH, CHART_HEIGHT, top, f"chart {tone}".strip(), grid=4), top


def bar(parts: Sequence[tuple[float, str]], whole: float) -> Html:
    """Parts of a whole, each with its tone, side by side."""
    pieces, at = [], 0.0
    for part, tone in parts:
        wide = WIDTH * min(part, max(0.0, whole - at)) / whole if whole > 0 else 0.0
        left = WIDTH * at / whole if whole > 0 else 0.0
        if wide > 0:
            box = {"x": _n(left), "y": "0", "width": _n(max(wide, 1.5)), "height": "6"}
            pieces.append(tag("rect", class_=tone, **box))
        at += part
    ground = tag("rect", class_="ground", x="0", y="0", width=str(WIDTH), height="6", rx="3")
    view = {"viewBox": f"0 0 {WIDTH} 6", "preserveAspectRatio": "none"}
    return tag("svg", ground, pieces, class_="bar", aria_hidden="true", **view)


def _svg(
    points: Sequence[float], width: int, height: int, top: float, class_: str, *, grid: int = 0
) -> Html:
    lines = [
        tag("path", class_="grid", d=f"M0 {_n(height * n / grid)}H{width}") for n in range(1, grid)
    ]
    if not grid:
        lines = [tag("path", class_="base", d=f"M0 {height}H{width}")]
    shown = list(points[-POINTS:])
    view = {"viewBox": f"0 -1.5 {width} {height + 3}", "preserveAspectRatio": "none"}
    if len(shown) < 2:
        shown = [*shown, *shown] or [0.0, 0.0]
    step = width / (POINTS - 1)
    left = width - step * (len(shown) - 1)
    places = [
        f"{_n(left + step * at)} {_n(height - height * min(1.0, value / top))}"
        for at, value in enumerate(shown)
    ]
    line = "M" + "L".join(places)
    area = f"{line}L{width} {height}L{_n(left)} {height}Z"
    return tag(
        "svg",
        lines,
        tag("path", class_="area", d=area),
        tag("path", class_="line", d=line),
        class_=class_,
        aria_hidden="true",
        **view,
    )


def _top(points: Sequence[float]) -> float:
    return max(max(points, default=0.0), TOP_MIN)


def _round_up(top: float) -> float:
    """To 1, 2 or 5 and zeros: what a grid's top is called."""
    if top <= TOP_MIN:
        return 1.0
    unit = 10.0 ** len(str(int(top))) / 10 if top >= 1 else 0.001
    while True:
        for times in (1, 2, 5):
            if unit * times >= top:
                return unit * times
        unit *= 10


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
