"""An event as a pattern sees it: leaves by path.

A path is the keys from the top joined with dots. Arrays add nothing to it; each leaf below one
remembers which element of which array it came through (1.5 points 2 to 6).
"""

import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator
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

MEMBERS_MAX: Final = 64
"""Most keys looked for one by one in an object."""

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


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """A dict, or its pairs where a key is given twice: each of them counts."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else tuple(pairs)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=number_value, parse_constant=_refuse
)
_SPELLING_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
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
    if type(tree) not in (dict, tuple, list):
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
    members: dict[str, tuple[tuple[str, str], ...]]
    """By what the paths of an object's members begin with: keys to look for, and their paths.

    Left out where there are too many; then it is the object's own keys that are gone through.
    """


def wanted(paths: Collection[str]) -> Wanted:
    """What to look at for these paths."""
    ways: set[str] = set()
    members: dict[str, dict[str, str]] = {}
    for path in paths:
        dots = [at for at, character in enumerate(path) if character == "."]
        ways.update(path[:dot] for dot in dots)
        for start in (0, *(dot + 1 for dot in dots)):
            here = members.setdefault(path[:start], {})
            if len(here) <= MEMBERS_MAX:
                # Any of its dots may stand in a key.
                ends = [dot for dot in dots if dot >= start]
                here.update({path[start:end]: path[:end] for end in (*ends, len(path))})
    return Wanted(
        frozenset(paths),
        frozenset(ways),
        {
            prefix: tuple(here.items())
            for prefix, here in members.items()
            if len(here) <= MEMBERS_MAX
        },
    )


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
        for path, item in _members(prefix, node, asked):
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


def _members(prefix: str, node: Any, asked: Wanted) -> Iterable[tuple[str, Any]]:
    """What an object holds, at least as far as it is asked for, by path."""
    if type(node) is not dict:
        return [(prefix + key, item) for key, item in node]
    names = asked.members.get(prefix)
    if names is None or len(names) > len(node):
        return [(prefix + key, item) for key, item in node.items()]
    return [(path, node[key]) for key, path in names if key in node]


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
