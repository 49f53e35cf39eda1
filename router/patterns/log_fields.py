"""The filter patterns of CloudWatch Logs that look into JSON: `{ $.a.b[0] = "x*" && … }`.

Comparisons: `=`, `!=`, `<`, `<=`, `>`, `>=`; `IS NULL`, `IS TRUE`, `IS FALSE`, `NOT EXISTS`;
`&&` binds before `||`, and there are parentheses. A text may hold `*`; regular expressions
are refused, as one of a few characters can keep a core busy. No comparison holds for a field that
an event has not.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from router.patterns.problems import PatternError

DEPTH_MAX: Final = 20
"""Deepest nesting of parentheses."""

Test = Callable[[Any], bool]

_ABSENT: Final = object()

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<selector>\$(?:\.[\w\-*]+|\[\s*(?:\d+|'[^']*'|"[^"]*")\s*\])*)
    | (?P<mark>&&|\|\||!=|<=|>=|[=<>()])
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | (?P<word>[^\s=<>()&|"{}]+)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"""\.([\w\-*]+)|\[\s*(?:(\d+)|'([^']*)'|"([^"]*)")\s*\]""")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")

_ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda found, wanted: found < wanted,
    "<=": lambda found, wanted: found <= wanted,
    ">": lambda found, wanted: found > wanted,
    ">=": lambda found, wanted: found >= wanted,
}


def parse_fields(text: str) -> Callable[[str], bool]:
    """What tells whether an event's text is JSON that matches. Raises `PatternError`."""
    if not text.endswith("}"):
        raise PatternError("a pattern that begins with { must end with }")
    tokens = _tokens(text[1:-1])
    test = _Parser(tokens).whole()

    def matches(event: str) -> bool:
        if not event.lstrip().startswith("{"):
            return False
        try:
            document = json.loads(event)
        except (ValueError, RecursionError):
            return False
        return test(document)

    return matches


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise PatternError(f"cannot be read from {text[position : position + 40]!r} on")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Test:
        """The whole pattern."""
        test = self._either()
        if self._at < len(self._tokens):
            raise PatternError(f"unexpected {self._tokens[self._at][1]!r}")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._takes("mark", "||"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda document: any(t(document) for t in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._takes("mark", "&&"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda document: all(t(document) for t in tests)

    def _one(self) -> Test:
        if self._takes("mark", "("):
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise PatternError(f"parentheses are nested deeper than {DEPTH_MAX}")
            test = self._either()
            if not self._takes("mark", ")"):
                raise PatternError("a ) is missing")
            self._depth -= 1
            return test
        kind, selector = self._next()
        if kind != "selector":
            raise PatternError(f"{selector!r} stands where a field such as $.name should")
        kind, operator = self._next()
        select = _selector(selector)
        if kind == "word":
            return self._state(select, operator.upper())
        if kind != "mark" or operator in ("(", ")", "&&", "||"):
            raise PatternError(f"{operator!r} stands where = or another comparison should")
        return _comparison(select, operator, *self._next())

    def _state(self, select: Callable[[Any], Any], word: str) -> Test:
        _, what = self._next()
        match word, what.upper():
            case "IS", "NULL":
                return lambda document: select(document) is None
            case "IS", "TRUE":
                return lambda document: select(document) is True
            case "IS", "FALSE":
                return lambda document: select(document) is False
            case "NOT", "EXISTS":
                return lambda document: select(document) is _ABSENT
        raise PatternError(f"{word} {what} is no comparison")

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise PatternError("the pattern ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (kind, text):
            self._at += 1
            return True
        return False


def _selector(text: str) -> Callable[[Any], Any]:
    steps: list[str | int] = []
    for name, index, single, double in _STEP.findall(text):
        steps.append(int(index) if index else name or single or double)
    if "*" in steps:
        raise PatternError(f"{text}: a * among the names of fields is not supported")

    def select(document: Any) -> Any:
        for step in steps:
            if isinstance(step, int):
                if not isinstance(document, list) or step >= len(document):
                    return _ABSENT
                document = document[step]
            elif isinstance(document, dict) and step in document:
                document = document[step]
            else:
                return _ABSENT
        return document

    return select


def _comparison(select: Callable[[Any], Any], operator: str, kind: str, value: str) -> Test:
    if kind in ("mark", "selector"):
        raise PatternError(f"{value!r} stands where a value should")
    is_number = kind == "word" and _NUMBER.fullmatch(value) is not None
    if operator in _ORDERS:
        if not is_number:
            raise PatternError(f"{operator} compares with a number, not with {value!r}")
        order, bound = _ORDERS[operator], float(value)
        return lambda document: (
            (found := _number(select(document))) is not None and order(found, bound)
        )
    equals = _equal_number(float(value)) if is_number else _equal_text(kind, value)
    if operator == "=":
        return lambda document: equals(select(document))
    return lambda document: (found := select(document)) is not _ABSENT and not equals(found)


def _equal_number(wanted: float) -> Test:
    return lambda found: _number(found) == wanted


def _equal_text(kind: str, value: str) -> Test:
    text = re.sub(r"\\(.)", r"\1", value) if kind == "quoted" else value
    if kind == "word" and len(value) > 1 and value[0] == value[-1] == "%":
        raise PatternError("regular expressions, %...%, are not supported")
    first, *rest = text.split("*")
    if not rest:
        return lambda found: found == text
    *middle, last = rest
    return lambda found: isinstance(found, str) and _fits(found, first, middle, last)


def _fits(text: str, first: str, middle: list[str], last: str) -> bool:
    """Whether the pieces between the stars come one after another."""
    end = len(text) - len(last)
    if not text.startswith(first) or not text.endswith(last):
        return False
    position = len(first)
    for piece in middle:
        found = text.find(piece, position, max(end, 0))
        if found < 0:
            return False
        position = found + len(piece)
    return position <= end


def _number(value: Any) -> float | None:
    """A number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
