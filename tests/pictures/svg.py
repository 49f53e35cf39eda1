"""A drawing, as SVG: shapes and text, with whole pixels so that it stays small."""

from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"
CHARACTER = 0.54
"""Width of a character of that font, in its size; near enough to place texts."""

Point = tuple[float, float]


def width_of(text: str, size: float) -> float:
    """Of a text on one line."""
    return len(text) * size * CHARACTER


def cut(text: str, width: float, size: float) -> str:
    """A text that fits, with an ellipsis where it had to be cut."""
    if width_of(text, size) <= width:
        return text
    return text[: max(1, int(width / (size * CHARACTER)) - 1)].rstrip() + "…"


class Drawing:
    """Parts in the order in which they are painted."""

    def __init__(self, width: int, height: int, background: str) -> None:
        self.width, self.height, self._background = width, height, background
        self._parts: list[str] = []

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str,
        *, stroke: str = "", radius: int = 0,
    ) -> None:  # fmt: skip
        """A filled box."""
        more = (f' stroke="{stroke}"' if stroke else "") + (f' rx="{radius}"' if radius else "")
        self._parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}" fill="{fill}"{more}/>'
        )

    def text(
        self, x: float, y: float, text: str, fill: str,
        *, size: float = 11, anchor: str = "start", is_bold: bool = False,
    ) -> None:  # fmt: skip
        """One line; `y` is its base."""
        more = "" if anchor == "start" else f' text-anchor="{anchor}"'
        more += ' font-weight="600"' if is_bold else ""
        self._parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" fill="{fill}" font-size="{size:g}"{more}>'
            f"{escape(text)}</text>"
        )

    def line(self, start: Point, end: Point, color: str, *, dash: str = "") -> None:
        """A thin one."""
        more = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<path d="M{start[0]:.0f} {start[1]:.0f}L{end[0]:.0f} {end[1]:.0f}" '
            f'stroke="{color}"{more}/>'
        )

    def polyline(self, runs: Sequence[Sequence[Point]], color: str, *, dash: str = "") -> None:
        """A line with gaps between its runs."""
        path = "".join(_path(run) for run in runs if len(run) > 1)
        more = f' stroke-dasharray="{dash}"' if dash else ""
        if path:
            self._parts.append(f'<path d="{path}" fill="none" stroke="{color}"{more}/>')

    def area(self, top: Sequence[Point], bottom: Sequence[Point], color: str, share: float) -> None:
        """Between two lines, `share` of 1 opaque."""
        if len(top) > 1:
            path = _path([*top, *reversed(bottom)])
            self._parts.append(f'<path d="{path}Z" fill="{color}" fill-opacity="{share:g}"/>')

    def cells(self, places: Sequence[tuple[float, float, float, float]], color: str) -> None:
        """Boxes of one color, as (x, y, width, height)."""
        path = "".join(f"M{x:.0f} {y:.0f}h{w:.0f}v{h:.0f}h-{w:.0f}z" for x, y, w, h in places)
        self._parts.append(f'<path d="{path}" fill="{color}"/>')

    def __str__(self) -> str:
        """The file."""
        size = f'width="{self.width}" height="{self.height}"'
        view = f'viewBox="0 0 {self.width} {self.height}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="{FONT}">\n'
            f'<rect width="100%" height="100%" fill="{self._background}"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


def _path(points: Sequence[Point]) -> str:
    """Absolute first, then steps: whole pixels, few characters. Straight stretches are one step."""
    spots = [(round(x), round(y)) for x, y in points]
    kept = [spots[0]]
    for before, here, after in zip(spots, spots[1:], spots[2:], strict=False):
        if not before[1] == here[1] == after[1]:
            kept.append(here)
    kept.append(spots[-1])
    steps = [f"M{kept[0][0]} {kept[0][1]}"]
    for (x0, y0), (x1, y1) in pairwise(kept):
        steps.append(f"l{x1 - x0} {y1 - y0}")
    return "".join(steps)
