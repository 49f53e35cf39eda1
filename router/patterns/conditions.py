"""What a field may be asked: the values and operators inside a pattern's arrays.

Each is a value; `check_of` makes it a function of one leaf of an event.
"""

from collections.abc import Callable, Iterable

import msgspec

from router.patterns import ignore_case
from router.patterns.addresses import Address, Network, parse_address
from router.patterns.values import Value
from router.patterns.wildcards import matches_parts

Check = Callable[[Value], bool]
"""Whether one leaf passes."""

TextCheck = Callable[[str], bool]


class Equal(msgspec.Struct, frozen=True):
    """`"abc"`, `5`, `null`, `{"exactly": "abc"}`, `{"numeric": ["=", 5]}`."""

    value: object
    """A `Value`."""


class Within(msgspec.Struct, frozen=True):
    """`cidr`; and a plain string that is an IP address, which equals it in every spelling."""

    network: Network


class Prefix(msgspec.Struct, frozen=True):
    """`{"prefix": "a"}`."""

    text: str
    is_ignoring_case: bool = False


class Suffix(msgspec.Struct, frozen=True):
    """`{"suffix": "a"}`."""

    text: str
    is_ignoring_case: bool = False


class EqualIgnoringCase(msgspec.Struct, frozen=True):
    """`{"equals-ignore-case": "a"}`."""

    text: str


class Wildcard(msgspec.Struct, frozen=True):
    """`{"wildcard": "a*b"}`, as the parts between its stars."""

    parts: tuple[str, ...]


class Range(msgspec.Struct, frozen=True):
    """`{"numeric": [">", 0, "<=", 5]}`; an end that is left out is infinite."""

    bottom: float
    top: float
    is_bottom_in: bool
    is_top_in: bool


class NotIn(msgspec.Struct, frozen=True):
    """`{"anything-but": …}` with strings or numbers: any other leaf, of any type."""

    values: frozenset[str | float]


class Not(msgspec.Struct, frozen=True):
    """`{"anything-but": {"prefix": …}}` and its like: no string that one of them matches."""

    conditions: tuple[Prefix | Suffix | EqualIgnoringCase | Wildcard, ...]


class Exists(msgspec.Struct, frozen=True):
    """`{"exists": true}`: a leaf. `{"exists": false}` is `Absent`."""


class Absent(msgspec.Struct, frozen=True):
    """`{"exists": false}`: no leaf anywhere at that path."""


Textual = Prefix | Suffix | EqualIgnoringCase | Wildcard
Condition = Equal | Within | Textual | Range | NotIn | Not | Exists | Absent


def check_of(conditions: Iterable[Condition]) -> Check:
    """Whether a leaf passes any of them."""
    equal: set[object] = set()
    checks: list[Check] = []
    for condition in conditions:
        if isinstance(condition, Equal):
            equal.add(condition.value)
        elif not isinstance(condition, Absent):
            checks.append(_check(condition))
    if equal:
        checks.insert(0, frozenset(equal).__contains__)
    if len(checks) == 1:
        return checks[0]
    return lambda value: any(check(value) for check in checks)


def _check(condition: Within | Textual | Range | NotIn | Not | Exists) -> Check:
    match condition:
        case Within(network):
            return lambda value: isinstance(value, str) and _is_within(network, value)
        case Range():
            return _range_check(condition)
        case NotIn(values):
            return lambda value: value not in values
        case Not(unwanted):
            checks = [_text_check(one) for one in unwanted]
            return lambda value: (
                not isinstance(value, str) or not any(check(value) for check in checks)
            )
        case Exists():
            return lambda _value: True
        case _:
            passes = _text_check(condition)
            return lambda value: isinstance(value, str) and passes(value)


def _is_within(network: Network, text: str) -> bool:
    address: Address | None = parse_address(text)
    return address is not None and network.contains(address)


def _range_check(asked: Range) -> Check:
    bottom, top = asked.bottom, asked.top
    if asked.is_bottom_in and asked.is_top_in:
        return lambda value: isinstance(value, float) and bottom <= value <= top
    if asked.is_bottom_in:
        return lambda value: isinstance(value, float) and bottom <= value < top
    if asked.is_top_in:
        return lambda value: isinstance(value, float) and bottom < value <= top
    return lambda value: isinstance(value, float) and bottom < value < top


def _text_check(condition: Textual) -> TextCheck:
    match condition:
        case Prefix(text, is_ignoring_case):
            if is_ignoring_case:
                return ignore_case.starts(text)
            return lambda value: value.startswith(text)
        case Suffix(text, is_ignoring_case):
            if is_ignoring_case:
                return ignore_case.ends(text)
            return lambda value: value.endswith(text)
        case EqualIgnoringCase(text):
            return ignore_case.equals(text)
        case Wildcard(parts):
            return lambda value: matches_parts(parts, value)
