"""An event as a pattern sees it: leaves by path.

A path is the keys from the top joined with dots. Arrays add nothing to it; each leaf below one
remembers which element of which array it came through (1.5 points 2 to 6).
"""

import itertools
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from router.patterns.values import (
    FALSE,
    NULL,
    TRUE,
    Spelled,
    Value,
    integer_value,
    number_value,
)

DEPTH_MAX: Final = 500
"""Deepest nesting of a text that counts as JSON."""

Where = tuple[int, ...]
"""Array and index, outermost first, in turns; an array's number is unique in its event."""

Leaf = tuple[Value, Where]
Leaves = dict[str, list[Leaf]]

_OBJECTS: Final = frozenset({dict, tuple})

_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|([\[{])|[\]}]', re.DOTALL)


class NotJson(Exception):
    """The text is no JSON object and no JSON array, or nests too deep to be taken for one."""


def _refuse(word: str) -> None:
    raise json.JSONDecodeError(f"{word} is not JSON", word, 0)


# Objects as tuples of pairs: a key given twice counts twice. Numbers as what they are compared by.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=tuple, parse_float=number_value, parse_constant=_refuse
)
_SPELLING_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=tuple,
    parse_float=number_value,
    parse_int=number_value,
    parse_constant=_refuse,
)
"""For integers of thousands of digits, which Python will not convert."""


def decode(text: str) -> Any:
    """The tree of a JSON object or array, for `leaves_of`. Raises `NotJson`."""
    if text.count("{") + text.count("[") > DEPTH_MAX and _depth(text) > DEPTH_MAX:
        raise NotJson
    try:
        try:
            tree = _DECODER.decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            tree = _SPELLING_DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError):
        raise NotJson from None
    if type(tree) not in (tuple, list):
        raise NotJson
    return tree


def _depth(text: str) -> int:
    deepest = depth = 0
    for found in _BRACKET.finditer(text):
        character = text[found.start()]
        if character == '"':
            continue
        depth += 1 if found.group(1) else -1
        deepest = max(deepest, depth)
    return deepest


class Wanted(msgspec.Struct, frozen=True):
    """Paths whose leaves somebody asks for, and the paths on the way to them."""

    leaves: frozenset[str]
    ways: frozenset[str]


def wanted(paths: Collection[str]) -> Wanted:
    """What to look at for these paths."""
    return Wanted(frozenset(paths), frozenset(way for path in paths for way in _ways(path)))


def _ways(path: str) -> Iterator[str]:
    end = path.find(".")
    while end >= 0:
        yield path[:end]
        end = path.find(".", end + 1)


def leaves_of(tree: Any, asked: Wanted) -> Leaves:
    """The leaves of an event at the paths asked for; no entry for a path without one.

    `tree` comes from `decode`, or is made of dicts, lists and scalars as any JSON library makes
    them. Anything at the top but an object has no leaves.
    """
    leaves: Leaves = {}
    ends, ways = asked.leaves, asked.ways
    numbers = itertools.count()
    # Objects still to look at: what their members' paths begin with, and where they are.
    objects: list[tuple[str, Any, Where]] = []
    if type(tree) in _OBJECTS:
        objects.append(("", tree, ()))
    while objects:
        prefix, node, where = objects.pop()
        for key, item in node.items() if type(node) is dict else node:
            path = prefix + key
            kind = type(item)
            if kind in _OBJECTS:
                if path in ways:
                    objects.append((f"{path}.", item, where))
            elif kind is list:
                if path in ways or path in ends:
                    found = _elements(item, where, numbers)
                    _add_elements(path, found, asked, leaves, objects)
            elif path in ends:
                leaves.setdefault(path, []).append((_value(item), where))
    return leaves


def _elements(
    array: list[Any], where: Where, numbers: Iterator[int]
) -> Iterator[tuple[Any, Where]]:
    """What an array holds, with what arrays directly inside it hold.

    These share its numbering: two elements of them never go together anyway.
    """
    number, indexes = next(numbers), itertools.count()
    arrays = [array]
    while arrays:
        for item in arrays.pop():
            if type(item) is list:
                arrays.append(item)
            else:
                yield item, (*where, number, next(indexes))


def _add_elements(
    path: str,
    elements: Iterator[tuple[Any, Where]],
    asked: Wanted,
    leaves: Leaves,
    objects: list[tuple[str, Any, Where]],
) -> None:
    is_way, is_end = path in asked.ways, path in asked.leaves
    found: list[Leaf] = []
    for item, where in elements:
        if type(item) in _OBJECTS:
            if is_way:
                objects.append((f"{path}.", item, where))
        elif is_end:
            found.append((_value(item), where))
    if found:
        leaves.setdefault(path, []).extend(found)


def _value(scalar: Any) -> Value:
    kind = type(scalar)
    if kind is str or kind is float or kind is Spelled:
        value: Value = scalar
        return value
    if kind is bool:
        return TRUE if scalar else FALSE
    return NULL if scalar is None else integer_value(scalar)
