"""Events are read as `json.loads` reads them, whatever the bytes are."""

import json
import math

import pytest

from router.workers.events import parse

SOUND = (
    *("{}", "[]", '{"a": [1, 2.5, null, true], "b": "\u00fc\U0001f600"}', '{"a": 1, "a": 2}'),
    *(' {"a": 1}\n', "[1]\t", '"text"', "7", "null", "-0.0", "1e400", "[NaN, -Infinity]"),
    *('{"a": 123456789012345678901234567890}', '["\\ud800"]', "[[[]]]"),
)
BROKEN = (
    *(b"", b"{", b"[1,", b"{]", b'{"a": }', b"{} {}", b"[1] x", b"{'a': 1}", b"\xff", b"{\xff}"),
    *(b'{"a": "\xc3"}', b"[", b"{\0}", b"nul", b'["a\nb"]', b"[" * 100_000),
)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and type(one) is type(other)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("text", SOUND)
def test_any_json_in_any_encoding(text, encoding):
    data = text.encode(encoding)
    assert same(parse(data), json.loads(data))


def test_a_surrogate_alone():
    data = '{"a": "\ud800"}'.encode("utf-8", "surrogatepass")
    assert parse(data) == json.loads(data) == {"a": "\ud800"}


@pytest.mark.parametrize("data", BROKEN)
def test_what_is_none_fails_the_same_way(data):
    with pytest.raises((ValueError, RecursionError)) as theirs:
        json.loads(data)
    with pytest.raises(type(theirs.value)) as ours:
        parse(data)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)
