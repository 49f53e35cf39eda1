"""Every query of every dashboard, against a real Prometheus that scrapes a real router under load.

Grafana itself cannot be had here; what it would ask, it asks Prometheus, and that is asked here.
"""

import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.boards import ALL, Board, Span, Target, boards, filled
from tests.deploy.town import everyday, town
from tests.integration.bed import until
from tests.patience import PATIENCE_S
from tests.servers.base import running
from tests.servers.prometheus import Prometheus

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("prometheus")]

SCRAPE_S = 2.0
"""A busy machine is not done with one any sooner."""

RATES_OVER_S = 40.0
"""Of two scrapes in this time a rate is told: on a busy machine most of them fail."""

TOWN_S = 3 * PATIENCE_S
"""For all that goes on in a town to have gone on."""

LOOK_S = 0.5

CHOSEN = {
    "fleet": [{}],
    "mapping": [
        {"mapping": name}
        for name in (
            "OrdersToBilling",
            "OrdersToArchive",
            "NotesToDisplay",
            "ParcelsToShipping",
            "NewsToArchive",
        )
    ],
    "function": [{"function": "front"}, {"function": "letters"}, {"function": "counter"}],
    "ingress": [{}],
}
"""What is chosen at the top of each; a query has to have data for one of them."""

QUIET = {
    "fleet: Routers not ready: Routers not ready",
    "fleet: Alerts firing: Alerts firing",  # this Prometheus has no rules
    "fleet: Store, writes that wait: {{instance}}",
    "mapping: Progress kept: committed",  # needs Kafka
    "fleet: Records given up, by condition: aged out unhandled",
    "mapping: Source and store: reads that failed",
    "mapping: Source and store: progress not kept",
    "mapping: Source and store: filters not applied",
    "function: Throttles and loops: recursive",
    "function: Overdue: overdue",
}
"""What nobody makes happen here: these have data too, and it is 0."""

LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)$", re.DOTALL)


class Screen:
    """What somebody sees who has the dashboards open on one router."""

    def __init__(self, prometheus: Any, instance: str) -> None:
        self._prometheus = prometheus
        self._chosen = {"job": "router", "instance": [instance], "webhook": ALL}
        self._start_s = time.time()

    @property
    def span(self) -> Span:
        """All of it: what has happened once has happened, however long the others took."""
        return Span(self._start_s, max(time.time(), self._start_s + 60), 2.0, RATES_OVER_S / 4)

    def targets(self, board: Board, panel: dict[str, Any]) -> list[list[Target]]:
        """For each query of a panel what it is with each choice."""
        each = [
            board.targets(panel, self._chosen | choice, self.span) for choice in CHOSEN[board.name]
        ]
        return [list(same) for same in zip(*each, strict=True)]

    def values(self, target: Target) -> list[tuple[dict[str, str], list[float]]]:
        """Labels and values of each series."""
        span = self.span
        if target.is_instant:
            found = self._prometheus.query(target.expr)
            return [(one["metric"], [float(one["value"][1])]) for one in found]
        found = self._prometheus.ask(
            "query_range", query=target.expr, start=f"{span.start_s}", end=f"{span.end_s}",
            step=f"{span.step_s}",
        )["result"]  # fmt: skip
        return [(one["metric"], [float(text) for _, text in one["values"]]) for one in found]

    def choices(self, board: Board, name: str) -> list[str]:
        """The values a variable can have."""
        query = filled(board.variables[name]["query"]["query"], self._chosen, self.span)
        selector, label = LABEL_VALUES.match(query).groups()
        return self._prometheus.ask(f"label/{label}/values", **{"match[]": selector})


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("dashboards")
    home = folder / "town"
    home.mkdir()
    make = partial(Prometheus, interval=f"{SCRAPE_S:.0f}s", timeout=f"{SCRAPE_S:.0f}s")
    with running(make, tmp_path_factory.mktemp("prometheus")) as prometheus, town(home) as place:
        ops = place.bed.addresses["ops"].partition("//")[2]
        prometheus.scrape(ops)
        # Of what happens before the first of two scrapes nobody hears.
        until(lambda: prometheus.query(f'router_ready{{instance="{ops}"}}'), what="a scrape")
        everyday(place)
        yield Screen(prometheus, ops)


def lacks(screen: Screen, target: Target, *, is_quiet: bool) -> str:
    """What is wrong with what a query returns; empty when nothing is."""
    series = screen.values(target)
    if not series:
        return "no data"
    if any(not math.isfinite(value) for _, values in series for value in values):
        return f"not finite: {series}"
    if any(not labels.get(name) for labels, _ in series for name in target.labels):
        return f"a label of {target.legend!r} is missing: {[labels for labels, _ in series]}"
    highest = max(value for _, values in series for value in values)
    if not is_quiet and highest <= 0:
        return "nothing but 0"
    return ""


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_every_query_has_data(screen, board):
    left = {
        (panel["title"], number): choices
        for panel in board.panels
        for number, choices in enumerate(screen.targets(board, panel))
    }
    deadline = time.monotonic() + TOWN_S
    while True:
        wrong = {}
        for key, choices in left.items():
            is_quiet = f"{board.name}: {key[0]}: {choices[0].legend}" in QUIET
            found = [lacks(screen, target, is_quiet=is_quiet) for target in choices]
            if all(found):
                wrong[key] = (choices[0].expr, choices[0].legend, found)
        if not wrong:
            break
        assert time.monotonic() < deadline, "\n".join(f"{key}: {it}" for key, it in wrong.items())
        left = {key: left[key] for key in wrong}
        time.sleep(LOOK_S)


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_every_variable_has_choices(screen, board):
    expected = {
        "job": {"router"},
        "mapping": {"OrdersToBilling", "ParcelsToShipping"},
        "function": {"billing", "front", "letters"},
        "webhook": {"town-Orders", "town-Notes"},
    }
    for name in board.variables:
        deadline = time.monotonic() + TOWN_S
        while not (found := set(screen.choices(board, name))) >= expected.get(name, set()):
            assert time.monotonic() < deadline, (name, found)
            time.sleep(LOOK_S)
        assert found
