"""The filters of a mapping, as settings."""

from collections.abc import Iterator
from typing import Final

from router.mapping.filtering import FAMILIES, FILTERS_MAX, parse_filter
from router.mapping.rules.refusal import Refusal, Settings
from router.model.source_kind import SourceKind
from router.patterns.problems import PatternError

INVALID: Final = "Invalid filter pattern definition."


class InvalidFilter(Refusal):
    """A pattern that is none; `reason` says why, where AWS's text does not."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(INVALID, "FilterCriteria", "Filters", index, "Pattern")
        self.reason = reason


def filters_of(settings: Settings) -> tuple[str, ...]:
    """The patterns, as text."""
    items = (settings.get("FilterCriteria") or {}).get("Filters") or ()
    return tuple(item.get("Pattern") or "" for item in items)


def check_filters(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """Not too many, and each a pattern for this kind of source."""
    texts = filters_of(settings)
    if kind not in FAMILIES:
        return
    if len(texts) > FILTERS_MAX:
        text = f"Filter criteria exceed the limit of {FILTERS_MAX} filters."
        yield Refusal(text, "FilterCriteria", "Filters")
    for index, text in enumerate(texts):
        try:
            parse_filter(FAMILIES[kind], text)
        except PatternError as error:
            yield InvalidFilter(index, str(error))
