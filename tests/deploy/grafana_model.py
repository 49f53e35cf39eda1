"""As much of Grafana's model of a dashboard as ours use, strictly: what is not here is refused.

After the types of its schema (`Dashboard`, `Panel`, `FieldConfig`, the options of each kind of
panel), which allow much more.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


Text = Annotated[str, Meta(min_length=1)]
Color = Literal[
    "text", "transparent", "green", "yellow", "orange", "red", "dark-red", "blue", "purple"
]


class Datasource(Strict):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class Place(Strict):
    x: Annotated[int, Meta(ge=0, lt=24)]
    y: Annotated[int, Meta(ge=0)]
    w: Annotated[int, Meta(ge=1, le=24)]
    h: Annotated[int, Meta(ge=1)]


class Target(Strict, kw_only=True):
    ref_id: Annotated[str, Meta(pattern="^[A-Z]$")]
    datasource: Datasource
    expr: Text
    legend_format: Text
    editor_mode: Literal["code"]
    instant: bool
    range: bool
    format: Literal["time_series", "table", "heatmap"] = "time_series"


class Step(Strict):
    color: Color
    value: float | None


class Thresholds(Strict):
    mode: Literal["absolute"]
    steps: Annotated[list[Step], Meta(min_length=1)]


class ColorMode(Strict):
    mode: Literal["thresholds", "palette-classic", "fixed"]
    fixed_color: Color | None = None


class Link(Strict):
    title: Text
    url: Annotated[str, Meta(pattern="^/d/router-")]
    target_blank: bool


class Defaults(Strict, kw_only=True):
    unit: Text
    links: list[Link]
    color: ColorMode | None = None
    thresholds: Thresholds | None = None
    custom: dict[str, Any] = {}
    min: float | None = None
    max: float | None = None
    no_value: str | None = None


class Matcher(Strict):
    id: Literal["byName", "byRegexp"]
    options: Text


class Property(Strict):
    id: Literal[
        "unit", "color", "links", "thresholds", "custom.cellOptions", "custom.minWidth",
        "custom.lineStyle", "custom.fillOpacity", "custom.stacking",
    ]  # fmt: skip
    value: Any


class Override(Strict):
    matcher: Matcher
    properties: list[Property]


class FieldConfig(Strict):
    defaults: Defaults
    overrides: list[Override]


class Transformation(Strict):
    id: Literal["merge", "organize"]
    options: dict[str, Any]


class LineCustom(Strict, kw_only=True):
    draw_style: Literal["line"]
    line_interpolation: Literal["linear"]
    line_width: int
    fill_opacity: int
    gradient_mode: Literal["none"]
    show_points: Literal["never"]
    span_nulls: bool
    axis_placement: Literal["auto"]
    axis_soft_min: float | None = None
    stacking: dict[Literal["group", "mode"], Literal["A", "none", "normal"]]
    thresholds_style: dict[Literal["mode"], Literal["off", "dashed"]]
    scale_distribution: dict[Literal["type", "log"], Literal["linear", "log", 10]]


class Legend(Strict, kw_only=True):
    show_legend: bool
    display_mode: Literal["list", "table"]
    placement: Literal["bottom"]
    calcs: list[Literal["lastNotNull", "max"]]
    sort_by: Literal["Max"] | None = None
    sort_desc: bool | None = None


class Tooltip(Strict):
    mode: Literal["multi"]
    sort: Literal["desc"]


class LineOptions(Strict):
    legend: Legend
    tooltip: Tooltip


class Reduce(Strict):
    calcs: list[Literal["lastNotNull"]]
    fields: Literal[""]
    values: bool


class StatOptions(Strict):
    color_mode: Literal["value"]
    graph_mode: Literal["area", "none"]
    justify_mode: Literal["auto"]
    orientation: Literal["auto"]
    percent_change_color_mode: Literal["standard"]
    reduce_options: Reduce
    show_percent_change: bool
    text_mode: Literal["value", "name"]
    wide_layout: bool


class SortBy(Strict):
    display_name: Text
    desc: bool


class TableOptions(Strict):
    show_header: bool
    cell_height: Literal["sm"]
    frame_index: int
    sort_by: Annotated[list[SortBy], Meta(min_length=1, max_length=1)]


class TableCustom(Strict):
    align: Literal["auto"]
    cell_options: dict[Literal["type"], Literal["auto"]]
    inspect: bool


class HeatmapCustom(Strict):
    scale_distribution: dict[Literal["type"], Literal["linear"]]


class HeatmapColor(Strict, kw_only=True):
    mode: Literal["scheme"]
    scheme: Literal["Oranges"]
    scale: Literal["exponential"]
    exponent: float
    fill: Text
    reverse: bool
    steps: Annotated[int, Meta(ge=2, le=128)]


class HeatmapOptions(Strict, kw_only=True):
    calculate: Literal[False]
    cell_gap: int
    cell_values: dict[Literal["unit"], Text]
    color: HeatmapColor
    exemplars: dict[Literal["color"], Text]
    filter_values: dict[Literal["le"], float]
    legend: dict[Literal["show"], bool]
    rows_frame: dict[Literal["layout"], Literal["auto"]]
    show_value: Literal["never"]
    tooltip: dict[Literal["mode", "showColorScale", "yHistogram"], Any]
    y_axis: dict[Literal["axisPlacement", "unit", "reverse"], Any]


class Base(Strict, tag_field="type", kw_only=True):
    id: Annotated[int, Meta(ge=1)]
    grid_pos: Place
    title: Text


class RowPanel(Base, tag="row", kw_only=True):
    collapsed: Literal[False]
    panels: Annotated[list[Any], Meta(max_length=0)]


class Panel(Base, kw_only=True):
    description: Text
    datasource: Datasource
    targets: Annotated[list[Target], Meta(min_length=1)]
    field_config: FieldConfig


class TimeSeries(Panel, tag="timeseries", kw_only=True):
    options: LineOptions


class Stat(Panel, tag="stat", kw_only=True):
    options: StatOptions


class Table(Panel, tag="table", kw_only=True):
    options: TableOptions
    transformations: Annotated[list[Transformation], Meta(min_length=1)]


class Heatmap(Panel, tag="heatmap", kw_only=True):
    options: HeatmapOptions


CUSTOM = {"timeseries": LineCustom, "table": TableCustom, "heatmap": HeatmapCustom}
"""What `fieldConfig.defaults.custom` is; a stat has none."""

AnyPanel = RowPanel | TimeSeries | Stat | Table | Heatmap


class Variable(Strict, kw_only=True):
    name: Annotated[str, Meta(pattern="^[a-z]+$")]
    label: Text
    type: Literal["datasource", "query"]
    query: str | dict[Literal["qryType", "query", "refId"], str | int]
    refresh: Literal[1, 2]
    datasource: Datasource | None = None
    sort: Literal[7] | None = None
    multi: bool = False
    include_all: bool = False
    all_value: str | None = None
    current: dict[str, Any] | None = None


class Templating(Strict):
    list: list[Variable]


class AnnotationTarget(Strict):
    ref_id: Text
    expr: Text
    interval: Text


class Annotation(Strict, kw_only=True):
    name: Text
    enable: bool
    icon_color: Text
    datasource: dict[str, str]
    built_in: int = 0
    hide: bool = False
    type: Literal["dashboard"] | None = None
    target: AnnotationTarget | None = None
    title_format: str = ""
    text_format: str = ""
    use_value_for_time: bool = False


class Annotations(Strict):
    list: list[Annotation]


class DashboardLink(Strict, kw_only=True):
    type: Literal["dashboards"]
    title: Text
    tooltip: Text
    tags: list[Text]
    icon: Literal["external link"]
    as_dropdown: bool
    include_vars: bool
    keep_time: bool
    target_blank: bool


class Range(Strict):
    from_: str = msgspec.field(name="from")
    to: str = ""


class Dashboard(Strict, kw_only=True):
    uid: Annotated[str, Meta(pattern="^router-[a-z]+$", max_length=40)]
    title: Text
    description: Text
    tags: list[Text]
    schema_version: Literal[39]
    version: int
    editable: bool
    graph_tooltip: Literal[0, 1, 2]
    refresh: str
    time: Range
    timezone: Literal["browser"]
    links: list[DashboardLink]
    annotations: Annotations
    templating: Templating
    panels: list[AnyPanel]
