"""What counts as JSON, and what is found in it."""

import json

import pytest

from router.patterns.document import DEPTH_MAX, MEMBERS_MAX, NotJson, decode, leaves_of, wanted
from router.patterns.values import FALSE, NULL, TRUE, Spelled


@pytest.mark.parametrize(
    "text",
    ["", "5", '"x"', "true", "null", "{", "[1,]", "{} {}", "\ufeff{}", '{"a":NaN}', '["\n"]',
     "[" * 100_000, "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1)],
)  # fmt: skip
def test_not_json(text):
    with pytest.raises(NotJson):
        decode(text)


def test_nesting_up_to_the_limit():
    text = '{"a":' + "[" * (DEPTH_MAX - 1) + "1" + "]" * (DEPTH_MAX - 1) + "}"
    [(value, _where)] = leaves_of(decode(text), wanted(["a"]))["a"]
    assert value == 1
    flat = '["' + "[" * 2000 + '\\""]'
    assert decode(flat) == ["[" * 2000 + '"']


def test_numbers_of_any_length():
    assert leaves_of(decode(f'{{"a":{"9" * 5000}}}'), wanted(["a"])) == {
        "a": [(Spelled("9" * 5000), ())]
    }


def test_leaves_of_what_other_libraries_make():
    tree = {"a": {"b": [1, 2.5, True, None, "x", 2**53, 2**60]}, "c": False, "d": 1}
    found = leaves_of(tree, wanted(["a.b", "c"]))
    assert [value for value, _where in found["a.b"]] == [
        1,
        2.5,
        TRUE,
        NULL,
        "x",
        2.0**53,
        Spelled(str(2**60)),
    ]
    assert found["c"] == [(FALSE, ())]
    assert "d" not in found


def test_only_what_is_asked_for_is_looked_at():
    endless = []
    endless.append(endless)
    tree = {"big": {"x": endless}, "a": {"b": "x"}}
    assert leaves_of(tree, wanted(["a.b", "big.y"])) == {"a.b": [("x", ())]}


def test_a_list_at_the_top_has_no_leaves():
    assert leaves_of(decode('[{"a":1}]'), wanted(["a"])) == {}


@pytest.mark.parametrize("more", [0, MEMBERS_MAX + 2])
def test_dots_may_stand_in_keys_of_large_objects_too(more):
    """Whether keys are looked for or gone through; also where too many are asked for."""
    paths = ["a.b.c.d", *(f"z{number}.y" for number in range(more))]
    filler = {f"x{number}": number for number in range(200)}
    for event in (
        {"a": {"b": {"c": {"d": "x"} | filler} | filler}} | filler,
        {"a.b": {"c.d": "x"} | filler} | filler,
        {"a.b.c": {"d": "x"} | filler} | filler,
        {"a": {"b.c.d": "x"} | filler} | filler,
        {"a.b.c.d": "x"} | filler,
        {"a": {"b.c": {"d": "x"}} | filler} | filler,
    ):
        assert leaves_of(event, wanted(paths)) == {"a.b.c.d": [("x", ())]}
        assert leaves_of(decode(json.dumps(event)), wanted(paths)) == {"a.b.c.d": [("x", ())]}
