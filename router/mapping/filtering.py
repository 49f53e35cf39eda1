"""The filters of a mapping: which records it takes (`event-source-mappings.md` 10).

record ──► match document (per kind of source, 10.1) ──► `RecordFilter.passes`

What a payload and a filter that do not fit each other come to (10.2) is settled when the filters
are compiled, once per form the payload can have; no record asks for it again.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from router.patterns.index import PatternIndex
from router.patterns.parse import Pattern, Rule, parse_pattern
from router.patterns.problems import PatternError

FILTERS_MAX: Final = 5
"""Filters of one mapping (Lambda quota)."""


class Form(Enum):
    """What a record's payload is. JSON: an object or an array."""

    JSON = "json"
    TEXT = "text"
    NEITHER = "neither"
    """Not UTF-8, or not there."""


class Family(msgspec.Struct, frozen=True):
    """What the kinds of sources differ in, for filters."""

    payloads: tuple[str, ...]
    """Members of the match document that are parsed; the data keys of patterns."""
    takes_text_patterns: bool = True
    """Whether a data key may hold an array, to be matched as text. Refused at creation if not."""
    is_misfit_dropped: bool = True
    """A payload of another form than its pattern's: the record is dropped. Else that payload
    counts as matched and the rest of the pattern decides."""


_QUEUE: Final = Family(("body",))
_KAFKA: Final = Family(("value", "key"), is_misfit_dropped=False)

FAMILIES: Final[dict[str, Family]] = {
    "sqs": _QUEUE,
    "fifo": _QUEUE,
    "kinesis": Family(("data",), takes_text_patterns=False),
    "dynamodb": Family(("dynamodb",), takes_text_patterns=False),
    "webhook": Family(("body",), takes_text_patterns=False),
    "msk": _KAFKA,
    "kafka": _KAFKA,
    "mq": Family(("data",), is_misfit_dropped=False),
}
"""Families by kind of source. DocumentDB has no filters."""


class MatchDocument(msgspec.Struct, frozen=True):
    """A record as its filters see it: a tree for `patterns.document` and its payloads' forms.

    `forms` stands beside `Family.payloads`; empty when payloads were left as they are, for
    filters that name none (`RecordFilter.reads_payload`).
    """

    tree: dict[str, Any]
    forms: tuple[Form, ...] = ()


def parse_filter(family: Family, text: str) -> Pattern:
    """The pattern of one filter. Raises `PatternError`."""
    pattern = parse_pattern(text)
    if not family.takes_text_patterns:
        for name in family.payloads:
            if any(name in rule.fields for rule in pattern.rules):
                raise PatternError(f'"{name}" must be an object: it is matched as JSON only')
    return pattern


class RecordFilter:
    """The filters of one mapping, compiled. A record passes when any of them matches."""

    def __init__(self, family: Family, texts: Sequence[str]) -> None:
        """`texts` are patterns, one or more. Raises `PatternError`."""
        self._family = family
        self._rules = [rule for text in texts for rule in parse_filter(family, text).rules]
        self.reads_payload = any(
            _asked_forms(rule, name) for rule in self._rules for name in family.payloads
        )
        """Whether the match document must have its payloads parsed."""
        self._indexes: dict[tuple[Form, ...], PatternIndex[int]] = {}

    def passes(self, document: MatchDocument) -> bool:
        """Whether a record is for this mapping. Raises `PatternError` when nobody can say."""
        index = self._indexes.get(document.forms)
        if index is None:
            rules = [fit for rule in self._rules for fit in self._fitted(rule, document.forms)]
            index = self._indexes[document.forms] = PatternIndex([(0, rules)])
        return index.matches_any(document.tree)

    def _fitted(self, rule: Rule, forms: tuple[Form, ...]) -> Iterable[Rule]:
        """A rule as it holds for payloads of these forms; none when it drops them."""
        for name, form in zip(self._family.payloads, forms, strict=False):
            if _asked_forms(rule, name) <= {form}:
                continue
            if self._family.is_misfit_dropped:
                return
            rule = Rule({p: one for p, one in rule.fields.items() if not _is_of(p, name)})
        yield rule


def _asked_forms(rule: Rule, payload: str) -> set[Form]:
    """The forms of a payload that a rule is about; none when it does not name the payload.

    Text and JSON at once is what no payload can be.
    """
    return {
        Form.TEXT if path == payload else Form.JSON for path in rule.fields if _is_of(path, payload)
    }


def _is_of(path: str, payload: str) -> bool:
    return path == payload or path.startswith(f"{payload}.")
