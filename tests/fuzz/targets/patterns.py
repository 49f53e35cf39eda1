"""Event patterns: a pattern, a line feed, an event. Verdicts are those of the naive matcher."""

import json

from router.patterns.document import NotJson, decode
from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern
from router.patterns.problems import PatternError
from tests.unit.patterns.naive import Num, Obj, leaves, matches, to_text

COMPARED_BYTES_MAX = 300
"""The naive matcher tries every combination: only short ones are compared."""

LEAVES_MAX = 12
STARS_MAX = 4


def halves(data):
    pattern, _, event = data.partition(b"\n")
    return pattern.decode("utf-8", "replace"), event.decode("utf-8", "replace")


def verdict(data):
    """True, False, or None where there is nothing to say."""
    pattern, event = halves(data)
    try:
        index = PatternIndex([("it", parse_pattern(pattern).rules)])
    except PatternError:
        return None
    try:
        tree = decode(event)
        found = index.match(tree)
        assert index.matches_any(tree) == bool(found)
    except (NotJson, PatternError):
        return None
    return found == {"it"}


def one_input(data):
    verdict(data)


def oracle(data):
    if len(data) > COMPARED_BYTES_MAX or data.count(b"*") > STARS_MAX:
        return
    if (found := verdict(data)) is None:
        return
    try:
        pattern, event = (
            json.loads(text, object_pairs_hook=Obj, parse_int=Num, parse_float=Num)
            for text in halves(data)
        )
    except (ValueError, RecursionError):
        return
    found_leaves = list(leaves(event)) if isinstance(event, Obj) else []
    if not isinstance(event, Obj) or len(found_leaves) > LEAVES_MAX:
        return
    if any(isinstance(value, str) and ":" in value for _path, value, _places in found_leaves):
        return  # the naive matcher knows no IPv6, which is equal in any spelling
    assert found == matches(pattern, event), (to_text(pattern), to_text(event))
