"""docs/pictures/dashboard-*.svg: the dashboards of a router that has had a hard few minutes.

The queries are those in deploy/grafana, asked of a real Prometheus beside a real router; only the
painting is ours, since Grafana itself is no part of the project.
"""

import math
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.deploy.boards import ALL, LABEL, Board, Span, Target, boards
from tests.deploy.faster import write_faster
from tests.deploy.tools import ROOT
from tests.deploy.town import Town, town
from tests.pictures.panels import DIM, EDGE, PANEL, PAPER, TEXT, Box, Frame, Series, paint
from tests.pictures.svg import Drawing, width_of
from tests.servers.base import launch
from tests.servers.prometheus import Prometheus

WIDTH, ROW, GAP, HEAD = 1280, 25, 6, 64
"""Pixels: of a picture, of a unit of Grafana's grid, between panels, of what is at the top."""

RULES = ROOT / "deploy/prometheus/rules"
FASTER = 60
"""What takes an alert minutes takes it seconds in two minutes of a picture."""

SCRAPE_S, POINTS = 3.0, 90
CHOSEN = {"mapping": {"mapping": "OrdersToBilling"}, "function": {"function": "front"}}


def lively(place: Town) -> None:
    """A town whose day goes up and down."""
    started_s = time.monotonic()
    dice = random.Random(7)

    def now_s() -> float:
        return time.monotonic() - started_s

    def between(first_s: float, last_s: float) -> bool:
        return first_s <= now_s() < last_s

    def busy(pause_s: float) -> float:
        """Shorter at the top of a wave."""
        return pause_s * (1 - 0.5 * math.sin(now_s() / 14)) * dice.uniform(0.6, 1.4)

    def order() -> None:
        is_bad_release = between(50, 70)
        place.order(
            fails=dice.random() < (0.12 if is_bad_release else 0.002),
            wait_s=dice.choice((0.002, 0.004, 0.01)),
            kind="question" if dice.random() < 0.15 else "order",
        )

    def parcels() -> None:
        many = 5 if between(80, 90) else 1
        for _ in range(many):
            place.send("parcels", *[{"wait_s": 0.004} for _ in range(8)])
        if dice.random() < 0.04:
            place.send("parcels", {"fails": True})

    def rarely(action: Any, *, share: float = 1.0) -> Any:
        return lambda: action() if dice.random() < share else None

    for pause_s, action in (
        (0.03, order),
        (0.06, order),
        (2.0, lambda: place.order(is_again=True)),
        (3.0, lambda: place.order(is_signed=False)),
        (4.0, lambda: place.order(customer=None)),
        (0.12, parcels),
        (0.3, lambda: place.send("tickets", {"wait_s": 0.2})),
        (0.4, place.note),
        (0.06, place.visit),
        (0.4, place.linger),
        (0.2, lambda: place.visit(f"?wait_s={dice.choice((0.02, 0.05, 0.1))}")),
        (0.8, lambda: place.visit("?status=404")),
        (2.0, lambda: place.visit("?fails=1")),
        (0.15, lambda: place.invoke("front:1", wait_s=dice.choice((0, 0.01, 0.03)))),
        (4.0, lambda: place.invoke("front:1", fails=True)),
        (0.3, lambda: place.invoke("front", kind="Event", wait_s=0.01)),
        (5.0, rarely(lambda: place.invoke("front", kind="Event", fails=True))),
        (9.0, rarely(lambda: place.invoke("front", wait_s=2), share=0.7)),
        (12.0, rarely(lambda: place.invoke("front", ends=True), share=0.7)),
        (0.1, lambda: place.invoke("letters", kind="Event", wait_s=dice.choice((0.005, 0.02)))),
        (1.0, rarely(lambda: place.invoke("letters", kind="Event", fails=True))),
        (6.0, rarely(lambda: place.invoke("letters", wait_s=2))),
        (9.0, rarely(lambda: place.invoke("letters", ends=True), share=0.7)),
        (1.5, rarely(lambda: place.invoke("counter", Records=[]))),
        (5.0, rarely(lambda: place.invoke("nobody"))),
        (30.0, rarely(lambda: place.note(fails=True) if between(20, 60) else None)),
    ):
        place.every(lambda pause_s=pause_s: busy(pause_s), action)


def data(prometheus: Prometheus, targets: list[Target], span: Span) -> Frame:
    """What the queries of a panel return, at the picture's times."""
    count = round((span.end_s - span.start_s) / span.step_s) + 1
    times = [span.start_s + number * span.step_s for number in range(count)]
    queries = []
    for target in targets:
        if target.is_instant:
            found = [
                (one["metric"], {times[-1]: float(one["value"][1])})
                for one in prometheus.ask("query", query=target.expr, time=f"{span.end_s:.3f}")[
                    "result"
                ]
            ]
        else:
            answer = prometheus.ask(
                "query_range", query=target.expr, start=f"{span.start_s:.3f}",
                end=f"{span.end_s:.3f}", step=f"{span.step_s:.3f}",
            )  # fmt: skip
            found = [
                (one["metric"], {float(moment): float(text) for moment, text in one["values"]})
                for one in answer["result"]
            ]
        series = []
        for labels, values in found:
            name = LABEL.sub(lambda match, labels=labels: labels.get(match[1], ""), target.legend)
            near = {round((moment - span.start_s) / span.step_s): v for moment, v in values.items()}
            series.append(Series(name, labels, [near.get(number) for number in range(count)]))
        queries.append(series)
    return Frame(times, queries)


def picture(prometheus: Prometheus, board: Board, chosen: dict[str, Any], span: Span) -> str:
    """One dashboard, whole."""
    panels = board.tree["panels"]
    lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    drawing = Drawing(WIDTH, HEAD + lowest * ROW + GAP, PAPER)
    drawing.text(16, 26, board.tree["title"].replace(" / ", "  /  "), TEXT, size=16, is_bold=True)
    x = 16.0
    for name in board.variables:
        value = chosen[name]
        text = "All" if value == ALL else value if isinstance(value, str) else "All"
        label = board.variables[name]["label"]
        wide = width_of(label, 12) + width_of(text, 12) + 28
        drawing.rect(x, 38, wide, 20, PANEL, stroke=EDGE, radius=2)
        drawing.text(x + 8, 52, label, DIM)
        drawing.text(x + 18 + width_of(label, 12), 52, text, TEXT)
        x += wide + 8
    for panel in panels:
        place = panel["gridPos"]
        column = (WIDTH - 2 * GAP) / 24
        box = Box(
            GAP + place["x"] * column + GAP / 2, HEAD + place["y"] * ROW + GAP / 2,
            place["w"] * column - GAP, place["h"] * ROW - GAP,
        )  # fmt: skip
        if panel["type"] == "row":
            drawing.text(box.x + 4, box.y + 15, f"⌄  {panel['title']}", TEXT, size=13, is_bold=True)
        else:
            paint(drawing, panel, data(prometheus, board.targets(panel, chosen, span), span), box)
    return str(drawing)


def make(folder: Path, seconds: float) -> None:
    """Let it happen, then paint all."""
    with tempfile.TemporaryDirectory() as home:
        router, store = Path(home, "town"), Path(home, "prometheus")
        router.mkdir()
        store.mkdir()
        rules = write_faster(sorted(RULES.glob("*.yml")), Path(home), FASTER)
        prometheus = Prometheus(store, interval="3s", timeout="3s", rules=rules)
        launch(prometheus)
        try:
            with town(router) as place:
                ops = place.bed.addresses["ops"].partition("//")[2]
                prometheus.scrape(ops)
                lively(place)
                time.sleep(seconds)
                now_s = math.floor(time.time())
                shown_s = seconds - 10
                span = Span(now_s - shown_s, now_s, shown_s / POINTS, SCRAPE_S)
                chosen = {"job": "router", "instance": [ops], "webhook": ALL}
                for board in boards():
                    text = picture(prometheus, board, chosen | CHOSEN.get(board.name, {}), span)
                    path = folder / f"dashboard-{board.name}.svg"
                    path.write_text(text)
                    print(f"{path.name}  {len(text) // 1024} KiB")
        finally:
            prometheus.stop()
