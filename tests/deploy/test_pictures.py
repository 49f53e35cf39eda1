"""What `make pictures` paints, from data that is made up here."""

from xml.etree import ElementTree as ET

import pytest

from tests.deploy.boards import Board, boards
from tests.pictures.panels import Box, Frame, Series, paint
from tests.pictures.svg import Drawing, cut
from tests.pictures.units import written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1.5 min"),
        (1536, "bytes", "1.5 KiB"),
        (0.0456, "percentunit", "4.56%"),
        (12_345, "recps", "12.3K rec/s"),
        (999, "short", "999"),
        (1_000_000, "short", "1 Mil"),
        (0, "reqps", "0 req/s"),
        (2.5, "none", "2.5"),
    ],
)
def test_numbers_are_written_as_grafana_does(value, unit, text):
    assert written(value, unit) == text


def test_a_text_that_is_too_long_is_cut():
    assert cut("short", 100, 10) == "short"
    assert cut("much too long for this", 50, 10) == "much too…"


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
@pytest.mark.parametrize("has_data", [True, False], ids=["data", "nothing"])
def test_every_panel_can_be_painted(board: Board, has_data: bool):
    drawing = Drawing(400, 300, "#000")
    names = {"mapping": "A<b>", "function": "f", "instance": "i", "le": "0.5", "state": "idle"}
    times = [100.0, 101.0, 102.0]
    for panel in board.panels:
        one = Series("A<b>", names, [0.5, None, 2.0])
        queries = [[one] if has_data else [] for _ in panel["targets"]]
        paint(drawing, panel, Frame(times, queries), Box(0, 0, 400, 300))
    texts = {part.text for part in ET.fromstring(str(drawing)).iter() if part.text}
    assert {panel["title"] for panel in board.panels} <= texts
    assert has_data or "No data" in texts
