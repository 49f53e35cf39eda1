"""Decisions are numbered one by one: two engineers may take the same number at the same time."""

import re
from pathlib import Path

ADRS = sorted((Path(__file__).parents[2] / "docs" / "adr").glob("*.md"))


def test_each_has_the_number_after_the_one_before():
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))


def test_each_says_its_own_number():
    said = [re.match(r"# (\d+)\. \S", path.read_text()) for path in ADRS]
    assert [found and int(found[1]) for found in said] == list(range(1, len(ADRS) + 1))
