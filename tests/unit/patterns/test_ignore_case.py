"""Case character by character (1.5 point 11)."""

import sys
import time

import pytest

from router.patterns import ignore_case


def test_no_case_begins_with_its_other_case():
    """Else comparing could have to go back; the mirrored ones likewise."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        lower, upper = character.lower(), character.upper()
        if lower != upper:
            assert not lower.startswith(upper)
            assert not upper.startswith(lower)
            assert not lower.endswith(upper)
            assert not upper.endswith(lower)


@pytest.mark.parametrize(
    ("text", "value", "is_equal"),
    [("straße", "STRASSE", True), ("STRASSE", "straße", False), ("k", "\u212a", False),
     ("É", "é", True), ("é", "e\u0301", False), ("a.c", "abc", False), ("İ", "i\u0307", True)],
)  # fmt: skip
def test_equal(text, value, is_equal):
    assert ignore_case.equals(text)(value) == is_equal
    assert ignore_case.starts(text)(value + "zz") == is_equal
    assert ignore_case.ends(text)("zz" + value) == is_equal


def test_takes_linear_time():
    text, value = "ßaß" * 1300, "SSa" * 300_000
    began = time.process_time()
    for make in (ignore_case.equals, ignore_case.starts, ignore_case.ends):
        assert not make(text)(value + "x")
    assert time.process_time() - began < 0.5
