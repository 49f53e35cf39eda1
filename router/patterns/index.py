"""Many patterns at once: which of them match an event.

The cost of an event does not grow with patterns that cannot match it. Each rule waits behind one
door: an exact value at one path, the rarest one there is among all rules; or, where it has none,
a leaf at one path; or nothing. Only rules whose door an event opens are looked at.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from router.patterns import conditions as c
from router.patterns.arrays import go_together
from router.patterns.document import Leaves, Where, leaves_of, wanted
from router.patterns.parse import Rule

Id = TypeVar("Id", bound=Hashable)


class _Field(msgspec.Struct, frozen=True, gc=False):
    path: str
    check: c.Check
    may_be_absent: bool
    equal: tuple[object, ...]
    """Its values, when it asks for nothing but equality."""


class _Entry(Generic[Id]):
    """One rule of one pattern."""

    __slots__ = ("_checks", "fields", "id")

    def __init__(self, pattern_id: Id, rule: Rule) -> None:
        self.id = pattern_id
        self.fields = [_field(path, asked) for path, asked in rule.fields.items()]
        self.check_last(None)

    def check_last(self, door: _Field | None) -> None:
        """Look at this field after all others: it has opened, so the others tell more."""
        fields = sorted(self.fields, key=lambda field: field is door)
        self._checks = [(field.path, field.check, field.may_be_absent) for field in fields]

    def matches(self, leaves: Leaves) -> bool:
        """Whether every field has a leaf that passes, all of them together."""
        bound: list[Sequence[Where]] = []
        for path, check, may_be_absent in self._checks:
            found = leaves.get(path)
            if found is None:
                if may_be_absent:
                    continue
                return False
            places: list[Where] = []
            for value, where in found:
                if check(value):
                    places.append(where)
                    if not where:
                        break
            if not places:
                return False
            if places[-1]:
                bound.append(places)
        return len(bound) < 2 or go_together(bound)


class PatternIndex(Generic[Id]):
    """Patterns by id, compiled once. A pattern is the rules of which one must match."""

    def __init__(self, patterns: Iterable[tuple[Id, Iterable[Rule]]]) -> None:
        entries = [_Entry(name, rule) for name, rules in patterns for rule in rules]
        self._wanted = wanted({field.path for entry in entries for field in entry.fields})
        self._by_value: dict[str, dict[object, list[_Entry[Id]]]] = {}
        self._by_path: dict[str, list[_Entry[Id]]] = {}
        self._always: list[_Entry[Id]] = []
        values, paths = _count(entries)
        for entry in entries:
            self._place(entry, values, paths)

    def match(self, tree: Any) -> set[Id]:
        """Ids of the patterns that match an event (`document.leaves_of`). Raises `TooTangled`."""
        leaves = leaves_of(tree, self._wanted)
        matched: set[Id] = set()
        for entry in self._candidates(leaves):
            if entry.id not in matched and entry.matches(leaves):
                matched.add(entry.id)
        return matched

    def matches_any(self, tree: Any) -> bool:
        """Whether any pattern matches. Raises `TooTangled`."""
        leaves = leaves_of(tree, self._wanted)
        return any(entry.matches(leaves) for entry in self._candidates(leaves))

    def _candidates(self, leaves: Leaves) -> Iterable[_Entry[Id]]:
        found = list(self._always)
        for path, here in leaves.items():
            found += self._by_path.get(path, ())
            by_value = self._by_value.get(path)
            if by_value is not None:
                for value in {value for value, _where in here}:
                    found += by_value.get(value, ())
        return found

    def _place(
        self, entry: _Entry[Id], values: Counter[tuple[str, object]], paths: Counter[str]
    ) -> None:
        exact = [field for field in entry.fields if field.equal]
        present = [field.path for field in entry.fields if not field.may_be_absent]
        if exact:
            door = min(exact, key=lambda field: sum(values[field.path, v] for v in field.equal))
            entry.check_last(door)
            by_value = self._by_value.setdefault(door.path, {})
            for value in door.equal:
                by_value.setdefault(value, []).append(entry)
        elif present:
            self._by_path.setdefault(min(present, key=paths.__getitem__), []).append(entry)
        else:
            self._always.append(entry)


def _field(path: str, asked: Sequence[c.Condition]) -> _Field:
    equal = {one.value: None for one in asked if isinstance(one, c.Equal)}
    return _Field(
        path,
        c.check_of(asked),
        may_be_absent=any(isinstance(one, c.Absent) for one in asked),
        equal=tuple(equal) if all(isinstance(one, c.Equal) for one in asked) else (),
    )


def _count(entries: Iterable[_Entry[Id]]) -> tuple[Counter[tuple[str, object]], Counter[str]]:
    """How many rules ask for a value at a path, and for a leaf at a path."""
    values: Counter[tuple[str, object]] = Counter()
    paths: Counter[str] = Counter()
    for entry in entries:
        for field in entry.fields:
            paths[field.path] += 1
            values.update((field.path, value) for value in field.equal)
    return values, paths
