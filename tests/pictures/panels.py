"""Panels as Grafana paints them, as far as a still picture needs: colors, axes, legends, tables."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.pictures.svg import Drawing, Point, cut, width_of
from tests.pictures.units import written

PAPER, PANEL, EDGE = "#111217", "#181b1f", "#2a2d34"
TEXT, DIM, GRID, LINK = "#ccccdc", "#8e8e9b", "#2a2d34", "#6e9fff"
NAMED = {
    "green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c",
    "dark-red": "#c4162a", "blue": "#5794f2", "purple": "#b877d9", "text": TEXT,
}  # fmt: skip
PALETTE = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0",
    "#37872d", "#fade2a",
)  # fmt: skip
ORANGES = ("#3a2412", "#6b3a10", "#a04f0d", "#d4680f", "#ff9830", "#ffc98a")
LEGEND_ROWS_MAX = 4

Height = tuple[list[float | None] | None, list[float | None]]


@dataclass
class Series:
    """A line: its name, its labels, and its value at each time of the picture, if it has one."""

    name: str
    labels: dict[str, str]
    values: list[float | None]


@dataclass
class Frame:
    """What a panel draws: for each query its series, all over the same times."""

    times: list[float]
    queries: list[list[Series]]

    @property
    def series(self) -> list[Series]:
        """Of all queries."""
        return [one for query in self.queries for one in query]


@dataclass
class Box:
    """A place on the drawing."""

    x: float
    y: float
    w: float
    h: float


def paint(drawing: Drawing, panel: dict[str, Any], frame: Frame, box: Box) -> None:
    """One panel with its frame and title."""
    drawing.rect(box.x, box.y, box.w, box.h, PANEL, stroke=EDGE, radius=2)
    title = cut(panel["title"], box.w - 16, 12)
    drawing.text(box.x + 8, box.y + 17, title, TEXT, size=12, is_bold=True)
    inside = Box(box.x + 8, box.y + 26, box.w - 16, box.h - 34)
    kinds: dict[str, Callable[..., None]] = {
        "stat": _stat, "timeseries": _lines, "table": _table, "heatmap": _heatmap,
    }  # fmt: skip
    kinds[panel["type"]](drawing, panel, frame, inside)


def _stat(drawing: Drawing, panel: dict[str, Any], frame: Frame, box: Box) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    series = frame.series
    if not series:
        drawing.text(box.x + box.w / 2, box.y + box.h / 2 + 10, "–", DIM, size=24, anchor="middle")
        return
    if panel["options"]["textMode"] == "name":
        for number, one in enumerate(series):
            size = min(24.0, box.w / (len(one.name) * 0.56))
            color = _own_color(panel, one.name) or TEXT
            y = box.y + (number + 0.5) * box.h / len(series) + size / 3
            drawing.text(box.x + box.w / 2, y, one.name, color, size=round(size), anchor="middle")
        return
    values = [value for value in series[0].values if value is not None]
    color = _judged(defaults["thresholds"], values[-1])
    if panel["options"]["graphMode"] == "area" and len(values) > 1:
        low = Box(box.x - 7, box.y + box.h * 0.6, box.w + 14, box.h * 0.4 + 7)
        top = max(*values, 1e-9)
        spots = [
            (x, low.y + low.h - (value or 0) / top * low.h)
            for x, value in zip(_spread(low, frame.times), series[0].values, strict=True)
            if value is not None
        ]
        drawing.area(spots, [(x, low.y + low.h) for x, _ in spots], color, 0.2)
        drawing.polyline([spots], color)
    text = written(values[-1], defaults["unit"])
    size = min(30.0, box.w / (len(text) * 0.58))
    y = box.y + box.h / 2 + size / 3
    drawing.text(box.x + box.w / 2, y, text, color, size=round(size), anchor="middle")


@dataclass
class Axis:
    """Where values are on a plot, from `low` at its foot to `high` at its head."""

    plot: Box
    low: float
    high: float
    ticks: list[float]
    is_log: bool

    def at(self, value: float) -> float:
        """The height of a value on the drawing."""
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low)))
            if self.is_log
            else (self.low, self.high, value)
        )
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.plot.y + self.plot.h * (1 - share)


def _lines(drawing: Drawing, panel: dict[str, Any], frame: Frame, box: Box) -> None:
    defaults, options = panel["fieldConfig"]["defaults"], panel["options"]
    custom, unit = defaults["custom"], defaults["unit"]
    series = sorted(frame.series, key=lambda one: one.name) if _is_top(panel) else frame.series
    colors = {
        id(one): _own_color(panel, one.name) or PALETTE[number % len(PALETTE)]
        for number, one in enumerate(series)
    }
    is_table = options["legend"]["displayMode"] == "table"
    rows = min(LEGEND_ROWS_MAX, len(series)) + 1 if is_table else 1
    plot = Box(box.x + 52, box.y + 4, box.w - 60, box.h - 22 - 15 * rows)
    heights = _heights(series, frame, is_stacked=custom["stacking"]["mode"] == "normal")
    shown = [v for _, values in heights.values() for v in values if v is not None]
    is_log = custom["scaleDistribution"]["type"] == "log"
    scale = _log_scale(shown) if is_log else _scale(shown, defaults.get("max"), unit)
    axis = Axis(plot, *scale, is_log=is_log)
    for tick in axis.ticks:
        y = axis.at(tick)
        drawing.line((plot.x, y), (plot.x + plot.w, y), GRID)
        drawing.text(plot.x - 6, y + 4, written(tick, unit), DIM, size=10, anchor="end")
    _time_axis(drawing, frame.times, plot)
    if custom["thresholdsStyle"]["mode"] != "off":
        for step in defaults["thresholds"]["steps"][1:]:
            if axis.low < step["value"] < axis.high:
                y = axis.at(step["value"])
                drawing.line((plot.x, y), (plot.x + plot.w, y), NAMED[step["color"]], dash="6 4")
    for one in series:
        _line(drawing, one, heights[id(one)], axis, frame.times, colors[id(one)], custom)
    if not shown:
        middle = plot.x + plot.w / 2
        drawing.text(middle, plot.y + plot.h / 2, "No data", DIM, size=13, anchor="middle")
    _legend(drawing, series, colors, unit, Box(box.x, box.y + box.h - 15 * rows, box.w, 0),
            is_table=is_table)  # fmt: skip


def _line(
    drawing: Drawing, one: Series, height: Height, axis: Axis, times: list[float], color: str,
    custom: dict[str, Any],
) -> None:  # fmt: skip
    floor, values = height
    xs = _spread(axis.plot, times)
    runs = _runs(xs, values, axis.at)
    is_limit = one.name.startswith("limit")
    if custom["fillOpacity"] and not is_limit and not axis.is_log:
        bases = dict(zip(xs, floor or [0.0] * len(xs), strict=True))
        for run in runs:
            bottom = [(x, axis.at(bases[x] or 0)) for x, _ in run]
            drawing.area(run, bottom, color, custom["fillOpacity"] / 100)
    if custom["lineWidth"] or is_limit:
        drawing.polyline(runs, color, dash="8 5" if is_limit else "")


def _legend(
    drawing: Drawing, series: list[Series], colors: dict[int, str], unit: str, box: Box,
    *, is_table: bool,
) -> None:  # fmt: skip
    if not is_table:
        x = box.x
        for one in series:
            width = width_of(one.name, 11.5) + 22
            if x + width > box.x + box.w + 12:
                drawing.text(x, box.y + 13, "…", DIM)
                return
            drawing.rect(x, box.y + 8, 12, 3, colors[id(one)])
            drawing.text(x + 16, box.y + 13, one.name, TEXT, size=10)
            x += width
        return
    for x, name in ((box.x + box.w - 70, "Last"), (box.x + box.w, "Max")):
        drawing.text(x, box.y + 9, name, DIM, size=10, anchor="end")

    def highest(one: Series) -> float:
        return max((value for value in one.values if value is not None), default=0.0)

    worst = sorted(series, key=highest, reverse=True)
    for number, one in enumerate(worst[:LEGEND_ROWS_MAX]):
        y = box.y + 9 + 15 * (number + 1)
        if number == LEGEND_ROWS_MAX - 1 and len(worst) > LEGEND_ROWS_MAX:
            drawing.text(box.x + 16, y, f"and {len(worst) - number} more", DIM, size=10)
            return
        last = next((value for value in reversed(one.values) if value is not None), 0.0)
        drawing.rect(box.x, y - 5, 12, 3, colors[id(one)])
        drawing.text(box.x + 16, y, cut(one.name, box.w - 160, 10), TEXT, size=10)
        drawing.text(box.x + box.w - 70, y, written(last, unit), TEXT, size=10, anchor="end")
        drawing.text(box.x + box.w, y, written(highest(one), unit), TEXT, size=10, anchor="end")


def _table(drawing: Drawing, panel: dict[str, Any], frame: Frame, box: Box) -> None:
    renamed = panel["transformations"][1]["options"]["renameByName"]
    first, titles = next(iter(renamed.items()))[1], list(renamed.values())[1:]
    by = next(iter(renamed))
    rows: dict[str, dict[str, float]] = {}
    for title, series in zip(titles, frame.queries, strict=True):
        for one in series:
            value = one.values[-1]
            if value is not None:
                rows.setdefault(one.labels.get(by, ""), {})[title] = value
    worst = panel["options"]["sortBy"][0]["displayName"]
    order = sorted(rows, key=lambda name: rows[name].get(worst, -1.0), reverse=True)
    wide = max(120.0, box.w * 0.26)
    step = (box.w - wide) / len(titles)
    drawing.text(box.x, box.y + 12, first, DIM, is_bold=True)
    for number, title in enumerate(titles):
        text = f"{title} ↓" if title == worst else title
        x = box.x + wide + (number + 1) * step
        drawing.text(x, box.y + 12, cut(text, step, 11), DIM, anchor="end", is_bold=True)
    overrides = {o["matcher"]["options"]: o for o in panel["fieldConfig"]["overrides"]}
    is_link = any(p["id"] == "links" and p["value"] for p in overrides[first]["properties"])
    y = box.y + 18.0
    for name in order:
        if y + 22 > box.y + box.h + 8:
            break
        drawing.line((box.x, y), (box.x + box.w, y), GRID)
        drawing.text(box.x, y + 15, cut(name, wide, 11), LINK if is_link else TEXT)
        for number, title in enumerate(titles):
            value = rows[name].get(title)
            about = {p["id"]: p["value"] for p in overrides[title]["properties"]}
            color = TEXT if value is not None else DIM
            if value is not None and "thresholds" in about:
                color = _judged(about["thresholds"], value)
            text = "–" if value is None else written(value, about["unit"])
            drawing.text(box.x + wide + (number + 1) * step, y + 15, text, color, anchor="end")
        y += 22


def _heatmap(drawing: Drawing, panel: dict[str, Any], frame: Frame, box: Box) -> None:
    unit = panel["options"]["yAxis"]["unit"]
    plot = Box(box.x + 52, box.y + 4, box.w - 60, box.h - 24)
    buckets = sorted(frame.series, key=lambda one: float(one.labels["le"]))
    single: list[tuple[str, list[float]]] = []
    below = [0.0] * len(frame.times)
    for one in buckets:
        values = [value or 0.0 for value in one.values]
        counts = [max(0.0, high - low) for high, low in zip(values, below, strict=True)]
        single.append((one.labels["le"], counts))
        below = values
    used = [n for n, (_, counts) in enumerate(single) if max(counts, default=0) > 1e-9]
    _time_axis(drawing, frame.times, plot)
    if not used:
        drawing.text(
            plot.x + plot.w / 2, plot.y + plot.h / 2, "No data", DIM, size=13, anchor="middle"
        )
        return
    single = single[: used[-1] + 1]
    tall = plot.h / len(single)
    wide = plot.w / len(frame.times)
    most = max(max(counts) for _, counts in single)
    cells: dict[str, list[tuple[float, float, float, float]]] = {}
    for row, (bound, counts) in enumerate(single):
        y = plot.y + plot.h - (row + 1) * tall
        if row % (1 + len(single) // 9) == 0 and bound != "+Inf":
            text = written(float(bound), unit)
            drawing.text(plot.x - 6, y + 4, text, DIM, size=10, anchor="end")
        for column, count in enumerate(counts):
            if count > 1e-9:
                share = math.sqrt(count / most)
                color = ORANGES[min(len(ORANGES) - 1, int(share * len(ORANGES)))]
                cells.setdefault(color, []).append(
                    (plot.x + column * wide, y, max(1, wide - 0.5), tall - 1)
                )
    for color, places in cells.items():
        drawing.cells(places, color)


# Scales


def _scale(values: list[float], top: float | None, unit: str) -> tuple[float, float, list[float]]:
    """From 0: lowest, highest, and where lines are drawn."""
    highest = top if top is not None else max([*values, 0.0])
    if highest <= 0:
        highest = 1.0
    base = 1024.0 if unit == "bytes" else 10.0
    step = highest / 4
    size = base ** math.floor(math.log(step, base))
    factors = (
        (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if unit == "bytes" else (1, 2, 2.5, 5, 10)
    )
    step = next(size * factor for factor in factors if size * factor >= step * 0.999)
    if unit == "short" and step < 1:
        step = 1
    count = max(1, math.ceil(highest / step - 1e-9))
    return 0.0, count * step, [n * step for n in range(count + 1)]


def _log_scale(values: list[float]) -> tuple[float, float, list[float]]:
    above = [value for value in values if value > 0] or [0.001, 1.0]
    low = 10.0 ** math.floor(math.log10(min(above)))
    high = 10.0 ** math.ceil(math.log10(max(above)) + 1e-9)
    if high <= low:
        high = low * 10
    count = round(math.log10(high / low))
    return low, high, [low * 10.0**n for n in range(count + 1)]


def _time_axis(drawing: Drawing, times: list[float], plot: Box) -> None:
    span = times[-1] - times[0]
    every = next(
        s for s in (5, 10, 15, 30, 60, 120, 300, 600, 1e9) if span / s <= max(2, plot.w / 75)
    )
    first = math.ceil(times[0] / every) * every
    number = 0
    while (moment := first + number * every) <= times[-1]:
        x = plot.x + (moment - times[0]) / span * plot.w
        label = time.strftime("%H:%M:%S", time.gmtime(moment))
        drawing.text(x, plot.y + plot.h + 14, label, DIM, size=10, anchor="middle")
        number += 1


def _spread(box: Box, times: list[float]) -> list[float]:
    span = max(1e-9, times[-1] - times[0])
    return [box.x + (moment - times[0]) / span * box.w for moment in times]


def _runs(
    xs: list[float], values: list[float | None], at: Callable[[float], float]
) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for x, value in zip(xs, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, at(value)))
    return [run for run in runs if run]


def _heights(series: list[Series], frame: Frame, *, is_stacked: bool) -> dict[int, Height]:
    """Of each: where it begins, if that is not 0, and where it ends."""
    placed: dict[int, Height] = {}
    floor: list[float | None] = [0.0] * len(frame.times)
    for one in series:
        if not is_stacked or one.name.startswith("limit"):
            placed[id(one)] = (None, one.values)
            continue
        top: list[float | None] = [
            (low or 0) + (value or 0) for low, value in zip(floor, one.values, strict=True)
        ]
        placed[id(one)] = (floor, top)
        floor = top
    return placed


# Colors


def _own_color(panel: dict[str, Any], name: str) -> str | None:
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        is_meant = (
            matcher["options"] == name
            if matcher["id"] == "byName"
            else name.startswith(matcher["options"].removeprefix("^"))
        )
        for one in override["properties"]:
            if is_meant and one["id"] == "color":
                return NAMED[one["value"]["fixedColor"]]
    return None


def _judged(thresholds: dict[str, Any], value: float) -> str:
    color = thresholds["steps"][0]["color"]
    for step in thresholds["steps"][1:]:
        if value >= step["value"]:
            color = step["color"]
    return NAMED[color]


def _is_top(panel: dict[str, Any]) -> bool:
    return panel["options"]["legend"]["displayMode"] == "table"
