"""JSON scalars as what they are compared by.

Equality is Python's: a string is itself, a number that a double can stand for is that double, any
other number is its literal text, and `true`, `false` and `null` are words equal to nothing else.
"""

from decimal import Decimal
from math import isfinite
from typing import Final, NamedTuple

DIGITS_MAX: Final = 17
"""Significant digits of the longest shortest decimal of a double."""

EXACT_INTEGER_MAX: Final = 10**15
"""Integers up to here are doubles, and print as what they are."""


class Word:
    """`true`, `false` or `null`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


TRUE: Final = Word("true")
FALSE: Final = Word("false")
NULL: Final = Word("null")


class Spelled(NamedTuple):
    """A number that cannot be compared as a double: only its own spelling equals it."""

    text: str


Value = str | float | Spelled | Word


def number_value(text: str) -> float | Spelled:
    """What a JSON number is compared by (1.5 point 8).

    A double stands for it when it is finite and the shortest decimal that prints it is the number
    as written. Takes linear time, whatever the exponent.
    """
    digits = text.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    if not digits:
        return 0.0
    if len(digits) > DIGITS_MAX:
        return Spelled(text)
    double = float(text)
    if not double or not isfinite(double) or Decimal(repr(double)) != Decimal(text):
        return Spelled(text)
    return double


def integer_value(number: int) -> float | Spelled:
    """As `number_value`, for a JSON integer already read."""
    if -EXACT_INTEGER_MAX <= number <= EXACT_INTEGER_MAX:
        return float(number)
    return number_value(str(number))
