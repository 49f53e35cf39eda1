"""Filter patterns of CloudWatch Logs: which log events a reader asks for.

    ERROR timeout            both words, anywhere; case counts
    "exit status 1"          a phrase
    ?ERROR ?WARN             any of them (with other terms beside them, those alone count)
    ERROR -expected          one without the other
    {$.level = "ERROR" && $.ms > 250}      events that are JSON: see `log_fields`

Patterns of space-delimited columns (`[ip, user, ...]`) and regular expressions (`%…%`) are refused.
"""

import re
from collections.abc import Callable
from typing import Final

from router.patterns.log_fields import parse_fields
from router.patterns.problems import PatternError

CHARACTERS_MAX: Final = 1024
"""Longest pattern (CloudWatch Logs quota)."""

Matches = Callable[[str], bool]

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')


def parse(text: str) -> Matches:
    """What tells whether an event's text matches. Raises `PatternError`."""
    if len(text) > CHARACTERS_MAX:
        raise PatternError(f"the pattern is longer than {CHARACTERS_MAX} characters")
    text = text.strip()
    if not text:
        return lambda _text: True
    if text.startswith("{"):
        return parse_fields(text)
    if text.startswith("["):
        raise PatternError("patterns of space-delimited columns, [...], are not supported")
    return _terms(text)


def _terms(text: str) -> Matches:
    any_of: list[Matches] = []
    all_of: list[Matches] = []
    none_of: list[Matches] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise PatternError(f"cannot be read from {text[position : position + 40]!r} on")
        sign, quoted, word = found.groups()
        if quoted is None and len(word) > 1 and word[0] == word[-1] == "%":
            raise PatternError("regular expressions, %...%, are not supported")
        phrase = word if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        {"?": any_of, "-": none_of, "": all_of}[sign].append(_holding(phrase))
        position = found.end()
    if any_of and not all_of and not none_of:
        return lambda event: any(matches(event) for matches in any_of)
    return lambda event: (
        all(matches(event) for matches in all_of) and not any(matches(event) for matches in none_of)
    )


def _holding(phrase: str) -> Matches:
    return lambda event: phrase in event
