"""`*` in linear time, whatever the pattern (`reliability.md` 6)."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.patterns.problems import PatternError
from router.patterns.wildcards import matches_parts, split_wildcard


@given(
    st.lists(st.sampled_from(["*", "a", "b", "ab", "\\*", "\\\\"])).map("".join),
    st.text("ab*\\", max_size=12),
)
def test_as_a_regular_expression_says(text, value):
    text = re.sub(r"(?<!\\)((?:\\\\)*)\*\*+", r"\1*", text)
    regex = "".join(
        ".*" if part == "*" else re.escape(part.removeprefix("\\"))
        for part in re.findall(r"\\.|.", text)
    )
    assert matches_parts(split_wildcard(text), value) == bool(re.fullmatch(regex, value, re.DOTALL))


@pytest.mark.parametrize(
    ("text", "value", "is_matching"),
    [("*ab*b", "ab", False), ("*ab*b", "abb", True), ("a*a", "a", False), ("a*a", "aa", True),
     ("a*ba*a", "aba", False), ("a*ba*a", "abaa", True), ("*", "", True), ("a*b*", "ab", True)],
)  # fmt: skip
def test_parts_never_overlap(text, value, is_matching):
    assert matches_parts(split_wildcard(text), value) == is_matching


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("**", "Consecutive wildcard characters at pos 1"),
        ("é**", "Consecutive wildcard characters at pos 3"),
        ("\\***", "Consecutive wildcard characters at pos 3"),
        ("ab\\n", "Invalid escape character at pos 3"),
        ("\\", "Invalid escape character at pos 1"),
    ],
)
def test_positions_count_bytes_from_the_quote(text, reason):
    with pytest.raises(PatternError, match=f"^{reason}$"):
        split_wildcard(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("*a" * 2000 + "*b", "a" * 500_000), ("a*" * 2000 + "b", "a" * 500_000),
     ("*" + "a" * 2000 + "b*c", "a" * 500_000), ("*ab" * 1300 + "*", "a" * 500_000)],
)  # fmt: skip
def test_patterns_built_to_blow_up(text, value):
    parts = split_wildcard(text)
    began = time.process_time()
    assert not matches_parts(parts, value)
    assert time.process_time() - began < 0.5
