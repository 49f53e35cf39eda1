"""Strict JSON: what the standard parser takes is read the same, what it refuses is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.patterns.problems import PatternError
from router.patterns.tokens import DEPTH_MAX, Tokens

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()
    ).filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


def read(tokens, token):
    """A whole value, built again from its tokens."""
    if token.kind == "{":
        found = {}
        while (key := tokens.next()).kind != "}":
            assert key.kind == "key"
            found[key.text] = read(tokens, tokens.next())
        return found
    if token.kind == "[":
        found = []
        while (item := tokens.next()).kind != "]":
            found.append(read(tokens, item))
        return found
    return token.text if token.kind == "string" else json.loads(token.text)


@settings(max_examples=60, deadline=None)
@given(JSON, st.sampled_from([None, 2]))
def test_reads_what_was_written(value, indent):
    tokens = Tokens(json.dumps(value, indent=indent) + " and more")
    assert read(tokens, tokens.next()) == value


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from([*'{}[],:"a1.-e+ \\\n', "true", "nul", '"a":', "0"])).map("".join))
def test_takes_and_refuses_what_the_standard_parser_does(text):
    try:
        json.JSONDecoder(parse_constant=lambda _word: 1 / 0).raw_decode(text.lstrip(" \n"))
        wanted = True
    except (ValueError, ZeroDivisionError):
        wanted = False
    tokens = Tokens(text)
    try:
        token = tokens.next()
        told = bool(token.kind)
        if told:
            read(tokens, token)
    except PatternError:
        told = False
    if wanted and not told:
        # A number or word at the very top with something glued to it is nobody's JSON.
        assert text.strip()[0] not in '{["'
    else:
        assert told == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a"', "Unexpected end of the text at position 4"),
        ('{"a":}', "Unexpected character '}' at position 5"),
        ('{"a":1,}', "Unexpected character '}' at position 7"),
        ("[1 2]", "Unexpected character '2' at position 3"),
        ("[01]", "Unexpected character '1' at position 2"),
        ('["\n"]', "Invalid control character at at position 2"),
        ("[" * (DEPTH_MAX + 1), f"Nested deeper than {DEPTH_MAX} levels"),
    ],
)
def test_says_what_is_wrong_and_where(text, reason):
    tokens = Tokens(text)
    with pytest.raises(PatternError) as info:
        read(tokens, tokens.next())
    assert str(info.value) == reason
