"""What `dashboards.yaml` may say, as types: what it misspells is refused by name and place.

A panel's queries are PromQL with two additions. Words in capitals, such as `IN_MAPPING`, stand for
what `words` has for them. A query with `top` keeps to the ten values of that label that were
highest at any time shown, so that a router of 500 mappings draws ten lines.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import Meta

FILE: Final = Path(__file__).with_name("dashboards.yaml")

COLUMNS: Final = 24
"""Of Grafana's grid."""

Unit = Literal["bytes", "Bps", "none", "percentunit", "recps", "reqps", "s", "short", "string"]
"""Grafana's names: `recps` are records a second, `reqps` requests, `s` seconds, `short` a count."""

Text = Annotated[str, Meta(min_length=1)]
Sentence = Annotated[str, Meta(pattern=r"(?s)^[A-Z0-9`].*\.\s*$")]
Label = Annotated[str, Meta(pattern="^[a-z_]+$")]
Thresholds = dict[Text, float]
"""Colour → value it begins at; below the lowest it is green."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Refuses what it does not know."""


class Query(_Strict, frozen=True, kw_only=True):
    """One expression of a panel."""

    expr: Text
    legend: Text
    top: Label | None = None


class Panel(_Strict, tag_field="kind", frozen=True, kw_only=True):
    """What all kinds have."""

    title: Text
    description: Sentence
    unit: Unit
    width: Annotated[int, Meta(ge=3, le=COLUMNS)] | None = None
    """Of 24 columns; without one it shares a line with others of its row."""
    opens: Literal["mapping", "function"] | None = None
    """The dashboard that a click on a series opens, for the series' label of that name."""
    thresholds: Thresholds = {}


class Stat(Panel, tag="stat", frozen=True, kw_only=True):
    """One number, now. Without thresholds it is in no colour: it is neither good nor bad."""

    expr: Text
    legend: str = ""
    shows: Literal["value", "name"] = "value"
    """`name`: the series' names are what is told, not their values."""
    palette: str | None = None
    is_over_range: bool = False
    """What happened in the range shown: no line of the past is drawn behind it."""


class Lines(Panel, tag="lines", frozen=True, kw_only=True):
    """Series over time. A series whose legend is `limit` is a dashed line that others run into."""

    queries: list[Query] = []
    quantiles: Text | None = None
    """Instead of queries: a histogram with its labels. Half, nine tenths and 99 of 100 of its
    observations are below the lines `p50`, `p90` and `p99`."""
    palette: str | None = None
    is_stacked: bool = False
    is_log: bool = False
    max: float | None = None


class Column(_Strict, frozen=True, kw_only=True):
    """One of a table."""

    title: Text
    expr: Text
    unit: Unit
    thresholds: Thresholds = {}


class Table(Panel, tag="table", frozen=True, kw_only=True):
    """One line for each value of a label, worst first."""

    by: Label
    columns: Annotated[list[Column], Meta(min_length=2)]
    worst: Text
    """The column that says what is worst; of those that are equally bad any is first."""


class Heatmap(Panel, tag="heatmap", frozen=True, kw_only=True):
    """How a histogram's observations spread, over time."""

    histogram: Text
    """With its labels."""


AnyPanel = Stat | Lines | Table | Heatmap


class Row(_Strict, frozen=True, kw_only=True):
    """Panels below one heading. They break into lines where 24 columns are full."""

    title: Text
    height: Annotated[int, Meta(ge=3, le=16)]
    panels: Annotated[list[AnyPanel], Meta(min_length=1)]


class Variable(_Strict, frozen=True, kw_only=True):
    """A choice at the top of a dashboard."""

    label: Text
    query: Text
    is_many: bool = False
    """Several may be chosen, and all are at first."""


class Dashboard(_Strict, frozen=True, kw_only=True):
    """One file. Its name is also its address: `/d/router-NAME`."""

    title: Text
    description: Sentence
    variables: list[str]
    rows: Annotated[list[Row], Meta(min_length=1)]


class Annotation(_Strict, frozen=True, kw_only=True):
    """Marks on every graph of every dashboard."""

    name: Text
    expr: Text
    title: Text
    text: Text
    color: Text
    is_at_value: bool = False
    """It happened at the time, in milliseconds, that is the value."""


class Source(_Strict, frozen=True, kw_only=True):
    """The whole file."""

    words: dict[Annotated[str, Meta(pattern="^[A-Z_]+$")], str]
    palettes: dict[str, dict[str, str]]
    """Name → legend → colour: the same thing has the same colour wherever it is drawn."""
    variables: dict[str, Variable]
    annotations: list[Annotation]
    dashboards: dict[Annotated[str, Meta(pattern="^[a-z]+$")], Dashboard]


def load(file: Path = FILE) -> Source:
    """Read the source. Raises `msgspec.ValidationError` or `ValueError` with the place."""
    tree: Any = yaml.safe_load(file.read_text("utf-8"))
    source = msgspec.convert(tree, Source)
    for name, dashboard in source.dashboards.items():
        _check(source, name, dashboard)
    return source


def _check(source: Source, name: str, dashboard: Dashboard) -> None:
    for variable in dashboard.variables:
        if variable not in source.variables:
            raise ValueError(f"{name}: there is no variable {variable!r}")
    panels = [panel for row in dashboard.rows for panel in row.panels]
    titles = [panel.title for panel in panels]
    for title in titles:
        if titles.count(title) > 1:
            raise ValueError(f"{name}: two panels are called {title!r}")
    for panel in panels:
        palette = panel.palette if isinstance(panel, Stat | Lines) else None
        if palette is not None and palette not in source.palettes:
            raise ValueError(f"{name}: {panel.title}: there is no palette {palette!r}")
        if isinstance(panel, Lines) and bool(panel.queries) == bool(panel.quantiles):
            raise ValueError(f"{name}: {panel.title}: either queries or quantiles")
        if isinstance(panel, Table) and panel.worst not in {c.title for c in panel.columns}:
            raise ValueError(f"{name}: {panel.title}: there is no column {panel.worst!r}")
