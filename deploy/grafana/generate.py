"""Writes the dashboards' JSON from `dashboards.yaml`.

The result is for Grafana 10.4 and newer (schema 39), provisioned as it is: the data source is a
choice at the top, nothing has to be filled in.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from . import panels
from .source import COLUMNS, Dashboard, Row, Source, Stat, load

FOLDER: Final = Path(__file__).with_name("dashboards")
SCHEMA_VERSION: Final = 39
TAG: Final = "event-router"
LINE_PANELS_MAX: Final = 4
"""Narrower graphs have no room for their legends."""

WORD: Final = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


def rendered(source: Source) -> dict[str, str]:
    """File name → text, of every dashboard."""
    return {
        f"{name}.json": json.dumps(_dashboard(source, name, dashboard), indent=2) + "\n"
        for name, dashboard in source.dashboards.items()
    }


def _dashboard(source: Source, name: str, dashboard: Dashboard) -> dict[str, Any]:
    tree = {
        "uid": f"router-{name}",
        "title": dashboard.title,
        "description": _flat(dashboard.description),
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all graphs: what happened at the same time shows
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_link_to_others()],
        "annotations": {"list": _annotations(source)},
        "templating": {"list": _variables(source, dashboard)},
        "panels": _laid_out(source, dashboard.rows),
    }
    filled: dict[str, Any] = _fill(tree, source.words)
    return filled


def _laid_out(source: Source, rows: list[Row]) -> list[dict[str, Any]]:
    """Panels with their places: from left to right, in lines of 24 columns, below each heading."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        placed.append(panels.heading(row.title) | {"id": len(placed) + 1, "gridPos": place})
        x, y = 0, y + 1
        for panel, width in zip(row.panels, _widths(row), strict=True):
            if x + width > COLUMNS:
                x, y = 0, y + row.height
            place = {"x": x, "y": y, "w": width, "h": row.height}
            made = panels.made(panel, source.palettes)
            placed.append({"id": len(placed) + 1, "gridPos": place} | made)
            x += width
        y += row.height
    return placed


def _widths(row: Row) -> list[int]:
    """Of each panel: its own, else stats share one line and others lines of four at most."""
    if any(panel.width for panel in row.panels):
        return [panel.width or COLUMNS // 3 for panel in row.panels]
    if all(isinstance(panel, Stat) for panel in row.panels):
        return _shared(COLUMNS, len(row.panels))
    lines = -(-len(row.panels) // LINE_PANELS_MAX)
    return [width for count in _shared(len(row.panels), lines) for width in _shared(COLUMNS, count)]


def _shared(whole: int, parts: int) -> list[int]:
    """Whole numbers as equal as they can be, larger ones first."""
    least, more = divmod(whole, parts)
    return [least + (number < more) for number in range(parts)]


def _variables(source: Source, dashboard: Dashboard) -> list[dict[str, Any]]:
    chosen: list[dict[str, Any]] = [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
        }
    ]
    for name in dashboard.variables:
        variable = source.variables[name]
        more: dict[str, Any] = {}
        if variable.is_many:
            every = {"selected": True, "text": ["All"], "value": ["$__all"]}
            more = {"multi": True, "includeAll": True, "allValue": ".*", "current": every}
        query = {"qryType": 1, "query": variable.query, "refId": "A"}
        chosen.append(
            {
                "name": name,
                "label": variable.label,
                "type": "query",
                "datasource": panels.DATASOURCE,
                "query": query,
                "refresh": 2,  # when the time range changes: what existed then can be chosen
                "sort": 7,  # by name, 9 before 10
                **more,
            }
        )
    return chosen


def _annotations(source: Source) -> list[dict[str, Any]]:
    own = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    return [
        own,
        *(
            {
                "name": annotation.name,
                "datasource": panels.DATASOURCE,
                "enable": True,
                "iconColor": annotation.color,
                "target": {"refId": "A", "expr": _flat(annotation.expr), "interval": "30s"},
                "titleFormat": annotation.title,
                "textFormat": annotation.text,
                **({"useValueForTime": True} if annotation.is_at_value else {}),
            }
            for annotation in source.annotations
        ),
    ]


def _link_to_others() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "Event Router",
        "tooltip": "Its other dashboards",
        "tags": [TAG],
        "icon": "external link",
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _fill(tree: Any, words: dict[str, str]) -> Any:
    """The same with every word in capitals replaced. Raises `ValueError` for an unknown one."""

    def meaning(match: re.Match[str]) -> str:
        if match[0] not in words:
            raise ValueError(f"{match[0]} is none of the words of the source")
        return words[match[0]]

    match tree:
        case dict():
            return {
                key: WORD.sub(meaning, value) if key == "expr" else _fill(value, words)
                for key, value in tree.items()
            }
        case list():
            return [_fill(value, words) for value in tree]
        case _:
            return tree


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> int:
    """Write the files that are not current; take away those that are in the source no more."""
    files = rendered(load())
    FOLDER.mkdir(exist_ok=True)
    present = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    for name in present.keys() - files.keys():
        (FOLDER / name).unlink()
    changed = [name for name, text in files.items() if present.get(name) != text]
    for name in changed:
        (FOLDER / name).write_text(files[name], "utf-8")
    print(f"{len(files)} dashboards, {len(changed)} of them changed")
    return 0
