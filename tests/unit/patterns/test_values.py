"""Numbers compare by value where a double stands for them, else by spelling (1.5 point 8)."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.patterns.values import FALSE, NULL, TRUE, Spelled, integer_value, number_value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_prints_a_double_is_that_double(double):
    assert number_value(repr(double)) == double
    assert number_value(f"{Decimal(repr(double)):f}") == double
    assert number_value(f"{Decimal(repr(double)):E}") == double


@given(st.integers())
def test_an_integer_is_its_digits(number):
    assert integer_value(number) == number_value(str(number))


@pytest.mark.parametrize(
    "text",
    ["9007199254740993", "12345678901234567890", "0.10000000000000001", "1e400", "-1e400", "1e-400",
     "1e999999999999999999999", "1e-999999999999999999999", "12345678901234567168"],
)  # fmt: skip
def test_spelled(text):
    assert number_value(text) == Spelled(text)


def test_nothing_else_is_equal():
    assert len({TRUE, FALSE, NULL, "true", "1", 1.0, Spelled("1")}) == 7
    assert number_value("-0.0") == number_value("0e99999999999999999999") == 0


@pytest.mark.parametrize(
    "text", ["1" * 1_000_000, "0." + "0" * 1_000_000 + "1", "1e" + "9" * 1_000_000]
)
def test_takes_linear_time(text):
    began = time.process_time()
    number_value(text)
    assert time.process_time() - began < 0.5
