"""Random patterns on random events, against a matcher that tries every combination."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.patterns.document import decode
from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern
from tests.unit.patterns.naive import Num, Obj, matches, to_text

KEYS = st.sampled_from(["a", "b", "c", "", "a.b"])
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "-0.0",
        "1",
        "1.0",
        "1e0",
        "10e-1",
        "0.1",
        "1E-1",
        "0.10",
        "-5.5",
        "300",
        "3.0e2",
        "9007199254740992",
        "9007199254740993",
        "12345678901234567890",
        "1e400",
        "1e-400",
        "5e-324",
        "0.10000000000000001",
        "1e23",
        "123456789012345680000",
        "1000000000000001",
    ]
).map(Num)
TEXTS = st.sampled_from(
    ["", *"xykKX1éÉßSs*\\\u212a", "xy", "yx", "SS", "e\u0301", "x*y", "x\\y", "true", "null", "a.b",
     "10.0.0.1", "10.0.0.01", "10.0.1.1", "10.0.0", "\U0001f600x"]
)  # fmt: skip
COMPARABLE = st.sampled_from(["-5.5", "0", "0.1", "1", "1.0", "300", "9007199254740992"]).map(Num)
WILD = st.lists(st.sampled_from(["*", "x", "y", "é", "\\*", "\\\\"]), max_size=5).map("".join)
SCALARS = st.one_of(TEXTS, NUMBERS, st.sampled_from([True, False, None]))


def one(operator, operand):
    return st.builds(lambda value: Obj([(operator, value)]), operand)


def one_or_more(strategy):
    return st.one_of(strategy, st.lists(strategy, min_size=1, max_size=3))


@st.composite
def ranges(draw):
    low, high = sorted(
        draw(st.lists(COMPARABLE, min_size=2, max_size=2, unique_by=float)), key=float
    )
    lower, upper = draw(st.sampled_from([">", ">="])), draw(st.sampled_from(["<", "<="]))
    return draw(
        st.sampled_from([["=", low], [lower, low], [upper, high], [lower, low, upper, high]])
    )


TEXTS_SET = TEXTS.filter(bool)
WILDCARD = WILD.filter(lambda text: "**" not in text.replace("\\\\", "").replace("\\*", ""))
FOLDED = one("equals-ignore-case", TEXTS)
CONDITIONS = st.one_of(
    SCALARS,
    one("exactly", TEXTS),
    one("prefix", st.one_of(TEXTS, FOLDED)),
    one("suffix", st.one_of(TEXTS, FOLDED)),
    FOLDED,
    one("wildcard", WILDCARD),
    one("numeric", ranges()),
    one("cidr", st.sampled_from(["10.0.0.0/24", "10.0.0.77/31", "0.0.0.0/0", "10.0.1.0/8"])),
    one("exists", st.booleans()),
    one("anything-but", st.one_of(one_or_more(TEXTS), one_or_more(COMPARABLE))),
    one("anything-but", one("prefix", one_or_more(TEXTS_SET))),
    one("anything-but", one("suffix", one_or_more(TEXTS_SET))),
    one("anything-but", one("equals-ignore-case", one_or_more(TEXTS))),
    one("anything-but", one("wildcard", one_or_more(WILDCARD))),
)
TESTS = st.lists(CONDITIONS, min_size=1, max_size=3)


def _objects(inner):
    pairs = st.tuples(KEYS, st.one_of(TESTS, inner))
    branches = st.tuples(st.just("$or"), st.lists(inner, min_size=2, max_size=3))
    return st.lists(st.one_of(pairs, pairs, branches), min_size=1, max_size=3).map(Obj)


PATTERNS = st.recursive(
    st.lists(st.tuples(KEYS, TESTS), min_size=1, max_size=3).map(Obj), _objects, max_leaves=3
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(Obj),
    ),
    max_leaves=8,
)
EVENTS = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(Obj)


def pairs_of(text):
    """An event's or pattern's text as the naive matcher takes it."""
    return json.loads(text, object_pairs_hook=Obj, parse_int=Num, parse_float=Num)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=4), EVENTS)
@example(
    [pairs_of('{"a":{"b":["x"],"c":["y"]}}')],
    pairs_of('{"a":[{"b":"x"},{"c":"y"}],"a":[{"b":"y","c":"x"},{"b":"x","c":"y"}]}'),
)
def test_verdicts_are_those_of_every_combination_tried(patterns, event):
    index = PatternIndex(
        [(at, parse_pattern(to_text(pattern)).rules) for at, pattern in enumerate(patterns)]
    )
    wanted = {at for at, pattern in enumerate(patterns) if matches(pattern, event)}
    tree = decode(to_text(event))
    assert index.match(tree) == wanted
    assert index.matches_any(tree) == bool(wanted)


TWO = st.sampled_from(["x", "y"])
ROWS = st.recursive(
    st.lists(st.tuples(st.sampled_from("bcd"), TWO), max_size=3).map(Obj),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(TWO, inner)), max_size=4).map(Obj),
    ),
    max_leaves=10,
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a.b", "a.c", "a.d", "a.a.b", "a.a.c", "b"]), TWO, min_size=2, max_size=5
    ),
    st.lists(st.tuples(st.sampled_from("ab"), ROWS), min_size=1, max_size=4).map(Obj),
)
def test_fields_of_one_array_come_from_one_element(fields, event):
    """Arrays in arrays, objects in them, keys given twice: few letters, so that many match."""
    pattern = Obj([(path, [value]) for path, value in fields.items()])
    index = PatternIndex([("it", parse_pattern(to_text(pattern)).rules)])
    assert (index.match(decode(to_text(event))) == {"it"}) == matches(pattern, event)
