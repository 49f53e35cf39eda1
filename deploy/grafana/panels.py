"""One function for each kind of panel: what `source.py` says of it → Grafana's JSON."""

from typing import Any, Final

from .source import (
    AnyPanel,
    Column,
    Heatmap,
    Lines,
    Panel,
    Query,
    Stat,
    Table,
    Thresholds,
)

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
TOP: Final = 10
"""Series that a graph shows of those that are many."""

QUANTILES: Final = (50, 90, 99)
LIMIT: Final = "limit"
"""The legend of what others must stay below."""

STAYS: Final = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
"""What a link to another dashboard takes along, with the time."""


def heading(title: str) -> dict[str, Any]:
    """Above a row's panels."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def made(panel: AnyPanel, palettes: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A panel without its place."""
    match panel:
        case Stat():
            return _stat(panel, palettes.get(panel.palette or "", {}))
        case Lines():
            name = "quantiles" if panel.quantiles else panel.palette
            return _lines(panel, palettes.get(name or "", {}))
        case Table():
            return _table(panel)
        case Heatmap():
            return _heatmap(panel)


def _stat(panel: Stat, palette: dict[str, str]) -> dict[str, Any]:
    is_name = panel.shows == "name"
    has_past = not is_name and not panel.is_over_range
    target = _target("A", Query(expr=panel.expr, legend=panel.legend or panel.title))
    if not has_past:
        target |= {"instant": True, "range": False}
    base = "green" if panel.thresholds else "text"
    return _panel(
        panel,
        "stat",
        [target],
        defaults={
            "thresholds": _thresholds(panel.thresholds, base),
            "color": {"mode": "thresholds"},
            "noValue": "–",
        },
        overrides=[_color(name, color) for name, color in palette.items()],
        options={
            "colorMode": "value",
            "graphMode": "area" if has_past else "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "name" if is_name else "value",
            "wideLayout": True,
        },
    )


def _lines(panel: Lines, palette: dict[str, str]) -> dict[str, Any]:
    queries = _quantiles(panel.quantiles) if panel.quantiles else panel.queries
    targets = [_target(chr(ord("A") + n), query) for n, query in enumerate(queries)]
    is_many = queries[0].top is not None
    custom: dict[str, Any] = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        # Without lines what is 0 is not seen: it would lie on top of all the others, in its color.
        "lineWidth": 0 if panel.is_stacked else 1,
        "fillOpacity": 60 if panel.is_stacked else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "axisPlacement": "auto",
        "axisSoftMin": 0,
        "stacking": {"group": "A", "mode": "normal" if panel.is_stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        "scaleDistribution": {"type": "log", "log": 10} if panel.is_log else {"type": "linear"},
    }
    if panel.is_log:
        del custom["axisSoftMin"]
    defaults: dict[str, Any] = {
        "color": {"mode": "palette-classic"},
        "thresholds": _thresholds(panel.thresholds, "transparent"),
        "custom": custom,
        **({} if panel.is_log else {"min": 0}),
        **({} if panel.max is None else {"max": panel.max}),
    }
    overrides = [_color(name, color) for name, color in palette.items()]
    if any(query.legend.startswith(LIMIT) for query in queries):
        overrides.append(_as_limit())
    return _panel(
        panel,
        "timeseries",
        targets,
        defaults=defaults,
        overrides=overrides,
        options={
            "legend": {
                "showLegend": True,
                "displayMode": "table" if is_many else "list",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"] if is_many else [],
                **({"sortBy": "Max", "sortDesc": True} if is_many else {}),
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def _quantiles(histogram: str) -> list[Query]:
    rates = f"sum by (le) (rate({_bucket(histogram)}[$__rate_interval]))"
    return [
        # Without observations there is no quantile; a comparison leaves it out.
        Query(expr=f"histogram_quantile({percent / 100}, {rates}) >= 0", legend=f"p{percent}")
        for percent in QUANTILES
    ]


def _bucket(histogram: str) -> str:
    name, brace, labels = histogram.partition("{")
    return f"{name}_bucket{brace}{labels}"


def _table(panel: Table) -> dict[str, Any]:
    targets = []
    names = {}
    for n, column in enumerate(panel.columns):
        ref = chr(ord("A") + n)
        names[f"Value #{ref}"] = column.title
        target = _target(ref, Query(expr=column.expr, legend="__auto"))
        targets.append(target | {"instant": True, "range": False, "format": "table"})
    first = panel.by.capitalize()
    order = {panel.by: 0} | {value: n + 1 for n, value in enumerate(names)}
    link = [] if panel.opens is None else [_link(panel.opens, "${__value.raw:percentencode}")]
    return _panel(
        panel,
        "table",
        targets,
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": _thresholds({}, "text"),
            "noValue": "–",
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
        },
        overrides=[
            _by_name(first, {"links": link, "unit": "string", "custom.minWidth": 160}),
            *(_column(column) for column in panel.columns),
        ],
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            "sortBy": [{"displayName": panel.worst, "desc": True}],
        },
    ) | {
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    "renameByName": {panel.by: first, **names},
                },
            },
        ]
    }


def _column(column: Column) -> dict[str, Any]:
    properties: dict[str, Any] = {"unit": column.unit}
    if column.thresholds:
        properties["thresholds"] = _thresholds(column.thresholds, "text")
        properties["custom.cellOptions"] = {"type": "color-text"}
    return _by_name(column.title, properties)


def _heatmap(panel: Heatmap) -> dict[str, Any]:
    buckets = f"sum by (le) (increase({_bucket(panel.histogram)}[$__rate_interval]))"
    target = _target("A", Query(expr=buckets, legend="{{le}}")) | {"format": "heatmap"}
    return _panel(
        panel,
        "heatmap",
        [target],
        defaults={"custom": {"scaleDistribution": {"type": "linear"}}},
        overrides=[],
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "scale": "exponential",
                "exponent": 0.5,
                "fill": "dark-orange",
                "reverse": False,
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "unit": panel.unit, "reverse": False},
        },
    )


def _panel(
    panel: Panel,
    kind: str,
    targets: list[dict[str, Any]],
    defaults: dict[str, Any],
    overrides: list[dict[str, Any]],
    options: dict[str, Any],
) -> dict[str, Any]:
    links = []
    if panel.opens is not None and kind != "table":
        links = [_link(panel.opens, f"${{__field.labels.{panel.opens}:percentencode}}")]
    return {
        "type": kind,
        "title": panel.title,
        "description": " ".join(panel.description.split()),
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, **defaults, "links": links},
            "overrides": overrides,
        },
        "options": options,
    }


def _target(ref: str, query: Query) -> dict[str, Any]:
    expr = " ".join(query.expr.split())
    if query.top is not None:
        highest = f"max_over_time(({expr})[$__range:$__interval] @ end())"
        expr = f"({expr}) and on ({query.top}) topk({TOP}, {highest})"
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": query.legend,
        "editorMode": "code",
        "instant": False,
        "range": True,
    }


def _thresholds(values: Thresholds, base: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": base, "value": None}]
    steps += [{"color": color, "value": value} for color, value in values.items()]
    return {"mode": "absolute", "steps": steps}


def _by_name(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _color(name: str, color: str) -> dict[str, Any]:
    return _by_name(name, {"color": {"mode": "fixed", "fixedColor": color}})


def _as_limit() -> dict[str, Any]:
    properties = {
        "color": {"mode": "fixed", "fixedColor": "red"},
        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
        "custom.fillOpacity": 0,
        "custom.stacking": {"group": "A", "mode": "none"},
    }
    return {
        "matcher": {"id": "byRegexp", "options": f"^{LIMIT}"},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _link(dashboard: str, value: str) -> dict[str, Any]:
    return {
        "title": f"Open {dashboard}",
        "url": f"/d/router-{dashboard}/?{STAYS}&${{__url_time_range}}&var-{dashboard}={value}",
        "targetBlank": False,
    }
