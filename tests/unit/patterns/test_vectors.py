"""250 vectors of the reference engine: verdicts and reasons of refusal, word for word."""

import json
from pathlib import Path

import pytest

from router.patterns.document import decode
from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern
from router.patterns.problems import PatternError

VECTORS = json.loads(Path(__file__).with_name("data").joinpath("event-patterns.json").read_text())


def told(pattern, event):
    try:
        rules = parse_pattern(pattern).rules
    except PatternError as error:
        return str(error)
    return PatternIndex([("it", rules)]).match(decode(event)) == {"it"}


def test_all_of_them_are_here():
    assert len(VECTORS) == 251
    assert sum("error" in row for row in VECTORS) == 68


@pytest.mark.parametrize("row", VECTORS[1:], ids=lambda row: row["pattern"])
def test_vector(row):
    assert told(row["pattern"], row["event"]) == row.get("result", row.get("error"))
