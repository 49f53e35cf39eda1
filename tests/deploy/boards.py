"""The dashboards as Grafana reads them: their panels' queries with the variables filled in."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.tools import ROOT

FOLDER = ROOT / "deploy/grafana/dashboards"
NAMES = ("fleet", "mapping", "function", "ingress")

ALL = "$__all"
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|]")


@dataclass(frozen=True)
class Span:
    """The time a dashboard shows, and how often it is scraped; in seconds."""

    start_s: float
    end_s: float
    step_s: float
    scrape_s: float

    def variables(self) -> dict[str, str]:
        """What Grafana itself fills in."""
        return {
            "__interval": _text(self.step_s),
            "__range": _text(self.end_s - self.start_s),
            # As it is documented: four scrapes, or a step and one.
            "__rate_interval": _text(max(4 * self.scrape_s, self.step_s + self.scrape_s)),
        }


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str
    is_instant: bool

    @property
    def labels(self) -> list[str]:
        """What its legend names."""
        return LABEL.findall(self.legend)


class Board:
    """One dashboard."""

    def __init__(self, path: Path) -> None:
        self.tree: dict[str, Any] = json.loads(path.read_text())
        self.name = path.stem

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Those that draw."""
        return [panel for panel in self.tree["panels"] if panel["type"] != "row"]

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        """Those that are queries, by name."""
        found = self.tree["templating"]["list"]
        return {one["name"]: one for one in found if one["type"] == "query"}

    def targets(
        self, panel: dict[str, Any], chosen: dict[str, str | list[str]], span: Span
    ) -> list[Target]:
        """A panel's queries, with what is chosen at the top and the time shown."""
        return [
            Target(
                expr=filled(target["expr"], chosen, span),
                legend=filled(target["legendFormat"], chosen, span),
                is_instant=target["instant"],
            )
            for target in panel["targets"]
        ]


def filled(text: str, chosen: dict[str, str | list[str]], span: Span) -> str:
    """A text with its variables replaced as Grafana's Prometheus data source does."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in (own := span.variables()):
            return own[name]
        if name.isdigit():
            return match[0]  # a group of a pattern, as Grafana leaves it
        found = chosen[name]
        if found == ALL:
            return ".*"
        if isinstance(found, str):
            return found
        return "(" + "|".join(SPECIAL.sub(r"\\\\\g<0>", one) for one in found) + ")"

    return VARIABLE.sub(value, text)


def boards() -> list[Board]:
    """All of them."""
    return [Board(FOLDER / f"{name}.json") for name in NAMES]


def _text(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
