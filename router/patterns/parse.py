"""From a pattern's text to rules: one per combination of `$or` branches.

A rule says per path what a leaf there must be; all its paths must match. Paths are keys joined
with dots, so a dotted key is the same as nested ones. Where one path is named twice, the last one
counts: inside a `$or` branch that is whatever was read last on the way to it (1.5 points 16, 17).
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

import msgspec

from router.patterns import conditions as c
from router.patterns.addresses import Network, parse_address, parse_network
from router.patterns.problems import PatternError
from router.patterns.tokens import Token, Tokens
from router.patterns.values import FALSE, NULL, TRUE, Spelled, number_value
from router.patterns.wildcards import split_wildcard

PATTERN_CHARACTERS_MAX: Final = 4096
"""Longest text of a pattern (Lambda and EventBridge quota)."""

COMBINATIONS_MAX: Final = 1_000
"""Most combinations of `$or` branches of one pattern (EventBridge quota)."""

PATH_KEYS_MAX: Final = 100
"""Most keys of one path."""

RESERVED: Final = frozenset(
    {
        "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard",
        "numeric", "cidr", "=", "<", "<=", ">", ">=", "regex", "not-wildcard",
        "not-equals-ignore-case", "date-after", "date-on-or-after", "date-before",
        "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
    }
)  # fmt: skip
"""Names no field inside `$or` may have."""

_WORDS: Final = {"true": TRUE, "false": FALSE, "null": NULL}
_ONE_KEY = "Only one key allowed in match expression"
_TOO_MANY = "Too many elements in numeric expression"

Conditions = tuple[c.Condition, ...]
_Fields = dict[str, Conditions]


class Rule(msgspec.Struct, frozen=True):
    """All of these paths must match; each by any of its conditions."""

    fields: dict[str, Conditions]


class Pattern(msgspec.Struct, frozen=True):
    """Any of these rules must match."""

    rules: tuple[Rule, ...]


def parse_pattern(text: str) -> Pattern:
    """Read a pattern from its JSON text; what follows its closing brace does not count.

    Raises `PatternError`.
    """
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise PatternError(f"Longer than {PATTERN_CHARACTERS_MAX} characters")
    tokens = Tokens(text)
    if tokens.next().kind != "{":
        raise PatternError("Filter is not an object")
    rules = _object(tokens, [], (), is_in_or=False)
    return Pattern(tuple(Rule(fields) for fields in rules))


# Fields


def _object(
    tokens: Tokens, rules: list[_Fields], path: tuple[str, ...], *, is_in_or: bool
) -> list[_Fields]:
    """The rules with what an object's fields ask, its opening brace being read."""
    is_empty = True
    while (token := tokens.next()).kind != "}":
        is_empty = False
        name = token.text
        if name == "$or":
            rules = _or(tokens, rules, path)
            continue
        if is_in_or and name in RESERVED:
            raise PatternError(
                f"{name} is Ruler reserved fieldName which cannot be used inside $or."
            )
        value = tokens.next()
        if value.kind == "{":
            rules = _object(tokens, rules, (*path, name), is_in_or=is_in_or)
        elif value.kind == "[":
            asked = tuple(_conditions(tokens))
            if not asked:
                raise PatternError("Empty arrays are not allowed")
            rules = rules or [{}]
            full = ".".join((*path, name))
            if full.count(".") >= PATH_KEYS_MAX:
                raise PatternError(f"A path has more than {PATH_KEYS_MAX} keys")
            for fields in rules:
                fields[full] = asked
        else:
            raise PatternError(f'"{name}" must be an object or an array')
    if is_empty:
        raise PatternError("Empty objects are not allowed")
    return rules


def _or(tokens: Tokens, rules: list[_Fields], path: tuple[str, ...]) -> list[_Fields]:
    """Each rule so far, once per branch."""
    if tokens.next().kind != "[":
        raise PatternError("It must be an Array followed with $or.")
    combined: list[_Fields] = []
    branches = 0
    while (token := tokens.next()).kind != "]":
        if token.kind != "{":
            raise PatternError("Only JSON object is allowed in array of $or relationship.")
        branches += 1
        branch = [dict(fields) for fields in rules] or [{}]
        combined += _object(tokens, branch, path, is_in_or=True)
        if len(combined) > COMBINATIONS_MAX:
            raise PatternError(f"More than {COMBINATIONS_MAX} combinations of $or branches")
    if branches < 2:
        raise PatternError("There must have at least 2 Objects in $or relationship.")
    return combined


# Conditions of one field


def _conditions(tokens: Tokens) -> Iterator[c.Condition]:
    while (token := tokens.next()).kind != "]":
        match token.kind:
            case "string":
                yield _plain(token.text)
            case "number":
                yield c.Equal(number_value(token.text))
            case "word":
                yield c.Equal(_WORDS[token.text])
            case "{":
                yield _operator(tokens)
            case _:
                raise PatternError("Match value must be String, number, true, false, or null")


def _plain(text: str) -> c.Condition:
    """A string; one that is an IP address equals it in every spelling (point 15)."""
    address = parse_address(text)
    if address is None:
        return c.Equal(text)
    return c.Within(Network(address.version, address.number, address.number))


def _operator(tokens: Tokens) -> c.Condition:
    token = tokens.next()
    if token.kind != "key":
        raise PatternError("Match expression name not found")
    read = _OPERATORS.get(token.text)
    if read is None:
        raise PatternError(f"Unrecognized match type {token.text}")
    return read(tokens)


def _end(tokens: Tokens, kind: str = "}", reason: str = _ONE_KEY) -> None:
    if tokens.next().kind != kind:
        raise PatternError(reason)


def _text(token: Token, name: str) -> str:
    if token.kind != "string":
        raise PatternError(f"{name} match pattern must be a string")
    return token.text


def _exactly(tokens: Tokens) -> c.Condition:
    text = _text(tokens.next(), "exact")
    _end(tokens)
    return c.Equal(text)


def _prefix(tokens: Tokens) -> c.Condition:
    text, is_ignoring_case = _prefix_or_suffix(tokens, "prefix")
    return c.Prefix(text, is_ignoring_case)


def _suffix(tokens: Tokens) -> c.Condition:
    text, is_ignoring_case = _prefix_or_suffix(tokens, "suffix")
    return c.Suffix(text, is_ignoring_case)


def _prefix_or_suffix(tokens: Tokens, name: str) -> tuple[str, bool]:
    token = tokens.next()
    is_ignoring_case = token.kind == "{"
    if is_ignoring_case:
        inner = tokens.next()
        if inner.kind != "key":
            raise PatternError(f"{name.title()} expression name not found")
        if inner.text != "equals-ignore-case":
            raise PatternError(f"Unsupported {name} pattern: {inner.text}")
        text = _text(tokens.next(), "equals-ignore-case")
        _end(tokens)
    else:
        text = _text(token, name)
    _end(tokens)
    return text, is_ignoring_case


def _equals_ignore_case(tokens: Tokens) -> c.Condition:
    text = _text(tokens.next(), "equals-ignore-case")
    _end(tokens)
    return c.EqualIgnoringCase(text)


def _wildcard(tokens: Tokens) -> c.Condition:
    parts = split_wildcard(_text(tokens.next(), "wildcard"))
    _end(tokens)
    return c.Wildcard(parts)


def _cidr(tokens: Tokens) -> c.Condition:
    # The name in this reason is the reference engine's slip, kept so that texts agree.
    network = parse_network(_text(tokens.next(), "prefix"))
    _end(tokens)
    return c.Within(network)


def _exists(tokens: Tokens) -> c.Condition:
    token = tokens.next()
    if token.kind != "word" or token.text == "null":
        raise PatternError("exists match pattern must be either true or false.")
    _end(tokens)
    return c.Exists() if token.text == "true" else c.Absent()


# numeric


def _numeric(tokens: Tokens) -> c.Condition:
    if tokens.next().kind != "[":
        raise PatternError("Value of numeric must be an array.")
    condition = _comparison(tokens)
    _end(tokens, reason=_TOO_MANY)
    return condition


def _comparison(tokens: Tokens) -> c.Condition:
    """`op, n` or `lower-op, n, upper-op, n`, the bracket at the end included."""
    token = tokens.next()
    if token.kind != "string":
        raise PatternError(f"Invalid member in numeric match: {token.text}")
    operator = token.text
    if operator not in ("=", "<", "<=", ">", ">="):
        raise PatternError(f"Unrecognized numeric range operator: {operator}")
    bound = _bound(tokens.next(), "equals" if operator == "=" else operator)
    if operator in (">", ">="):
        return _range_from(tokens, bound, is_bottom_in=operator == ">=")
    _end(tokens, "]", _TOO_MANY)
    if operator == "=":
        return c.Equal(bound)
    return c.Range(-inf, bound, is_bottom_in=True, is_top_in=operator == "<=")


def _range_from(tokens: Tokens, bottom: float, *, is_bottom_in: bool) -> c.Condition:
    token = tokens.next()
    if token.kind == "]":
        return c.Range(bottom, inf, is_bottom_in=is_bottom_in, is_top_in=True)
    if token.kind != "string":
        raise PatternError(f"Bad value in numeric range: {token.text}")
    operator = token.text
    if operator not in ("<", "<="):
        raise PatternError(f"Bad numeric range operator: {operator}")
    top = _bound(tokens.next(), operator)
    _end(tokens, "]", "Too many terms in numeric range expression")
    if bottom >= top:
        raise PatternError("Bottom must be less than top")
    return c.Range(bottom, top, is_bottom_in=is_bottom_in, is_top_in=operator == "<=")


def _bound(token: Token, name: str) -> float:
    if token.kind != "number":
        raise PatternError(f"Value of {name} must be numeric")
    return _comparable(token.text)


def _comparable(text: str) -> float:
    value = number_value(text)
    if isinstance(value, Spelled):
        raise PatternError(f"Cannot compare number : {text}")
    return value


# anything-but


def _anything_but(tokens: Tokens) -> c.Condition:
    token = tokens.next()
    if token.kind == "{":
        return _not(tokens)
    condition = _not_in(tokens, token)
    _end(tokens, reason=_TOO_MANY)
    return condition


def _not_in(tokens: Tokens, token: Token) -> c.Condition:
    _check_operand(token)
    if token.kind != "[":
        return c.NotIn(frozenset([_unwanted(token)]))
    values: set[str | float] = set()
    while (token := tokens.next()).kind != "]":
        if token.kind not in ("string", "number"):
            raise PatternError("Inside anything but list, start|null|boolean is not supported.")
        values.add(_unwanted(token))
    if len({type(value) for value in values}) != 1:
        raise PatternError(
            "Inside anything but list, either all values are number or string, mixed type is "
            "not supported"
        )
    return c.NotIn(frozenset(values))


def _check_operand(token: Token) -> None:
    if token.kind not in ("[", "string", "number"):
        raise PatternError("Value of anything-but must be an array or single string/number value.")


def _unwanted(token: Token) -> str | float:
    return token.text if token.kind == "string" else _comparable(token.text)


def _not(tokens: Tokens) -> c.Condition:
    """`{operator: text or list of texts}}`, both braces at the end included."""
    token = tokens.next()
    if token.kind != "key":
        raise PatternError("Anything-But expression name not found")
    operator = token.text
    make = _NEGATED.get(operator)
    if make is None:
        raise PatternError(f"Unsupported anything-but pattern: {operator}")
    token = tokens.next()
    _check_operand(token)
    texts: list[str] = []
    if token.kind == "[":
        while (token := tokens.next()).kind != "]":
            texts.append(_negated_text(token, operator))
    else:
        texts.append(_negated_text(token, operator))
    unwanted = tuple(make(text) for text in texts)
    _end(tokens, reason=_TOO_MANY)
    _end(tokens, reason=_TOO_MANY)
    return c.Not(unwanted)


def _negated_text(token: Token, operator: str) -> str:
    if operator == "equals-ignore-case":
        if token.kind != "string":
            raise PatternError(
                "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not "
                "supported."
            )
        return token.text
    if operator == "wildcard":
        return _text(token, "wildcard")
    text = _text(token, "prefix/suffix")
    if not text:
        raise PatternError("Null prefix/suffix not allowed")
    return text


_OPERATORS: Final[dict[str, Callable[[Tokens], c.Condition]]] = {
    "exactly": _exactly,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
    "anything-but": _anything_but,
}

_NEGATED: Final[dict[str, Callable[[str], c.Textual]]] = {
    "prefix": c.Prefix,
    "suffix": c.Suffix,
    "equals-ignore-case": c.EqualIgnoringCase,
    "wildcard": lambda text: c.Wildcard(split_wildcard(text)),
}
