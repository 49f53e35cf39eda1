"""Comparing without regard to case, character by character (1.5 point 11).

A character of the pattern stands for its own lower and its own upper case, each of which may be
several characters (`ß` for `ß` and `SS`). No normalisation.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

PATTERNS_KEPT: Final = 1_000
"""Compiled comparisons kept by `re` users here; more are compiled again when asked for."""


def equals(text: str) -> Callable[[str], bool]:
    """Whether a string is the text."""
    found = _spelling(text).fullmatch
    return lambda value: found(value) is not None


def starts(text: str) -> Callable[[str], bool]:
    """Whether a string begins with the text."""
    found = _spelling(text).match
    return lambda value: found(value) is not None


def ends(text: str) -> Callable[[str], bool]:
    """Whether a string ends with the text: its mirror image begins with the text's."""
    found = _spelling(text, is_mirrored=True).match
    return lambda value: found(value[::-1]) is not None


@lru_cache(PATTERNS_KEPT)
def _spelling(text: str, *, is_mirrored: bool = False) -> "re.Pattern[str]":
    """Linear: no case of a character is the beginning of its other case."""
    parts = []
    for character in text:
        cases = {character.lower(), character.upper()}
        if is_mirrored:
            cases = {case[::-1] for case in cases}
        escaped = [re.escape(case) for case in sorted(cases)]
        parts.append(escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})")
    if is_mirrored:
        parts.reverse()
    return re.compile("".join(parts))
