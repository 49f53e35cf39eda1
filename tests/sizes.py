"""How much the tests of faults do: little in every run, all that is promised with `TESTS_LONG`.

`make servers-long` runs every test that is marked `sized` in its long form. There is one test, not
two: the short form differs in numbers only.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

IS_LONG = bool(os.environ.get("TESTS_LONG"))


def size(short: T, long: T) -> T:
    """A number of records, routers, seconds."""
    return long if IS_LONG else short


def sized(short_s: int, long_s: int) -> Callable[[Any], Any]:
    """A test that has a long form, and how long each may take on a busy machine, in seconds."""
    timeout = pytest.mark.timeout(size(short_s, long_s))
    return lambda test: pytest.mark.sized(timeout(test))
