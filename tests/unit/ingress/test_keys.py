"""Partition and deduplication keys."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ingress.keys import BodyUnreadable, parse_key, parse_keys
from router.model.errors import ConfigError

BODY = json.dumps(
    {
        "a": {"b": "deep", "list": [{"b": "first"}, 7, {"b": "third"}]},
        "text": 'quote " and é',
        "number": 12,
        "yes": True,
        "no": False,
        "nothing": None,
        "empty": "",
        "with space": 1,
    },
    ensure_ascii=False,
)


def read(path, text=BODY, headers=()):
    return parse_key(path).read(dict(headers), text)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("$.a.b", "deep"),
        ("$.a.list[0].b", "first"),
        ("$.a.list[2].b", "third"),
        ("$.a.list[1]", "7"),
        ("$.a.list[1].b", None),
        ("$.a.list[3]", None),
        ("$.a.list", None),
        ("$.a", None),
        ("$.text", 'quote " and é'),
        ("$.number", "12"),
        ("$.number.more", None),
        ("$.number[0]", None),
        ("$.a[0]", None),
        ("$.yes", "true"),
        ("$.no", "false"),
        ("$.nothing", None),
        ("$.nothing.more", None),
        ("$.empty", None),
        ("$.missing.more", None),
        ("$.with space", "1"),
    ],
)
def test_body_paths(path, key):
    assert read(path) == key


@pytest.mark.parametrize("number", ["123456789012345678901234567890", "0.1000", "1e400", "-0"])
def test_numbers_keep_their_digits(number):
    """Two large ids must not become one: the second would be dropped as a duplicate."""
    assert read("$.id", f'{{"id": {number} }}') == number


def test_an_item_of_a_list_at_the_top():
    assert read("$[1].a", '[0, {"a": "x"}]') == "x"
    assert read("$.a", "[1]") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1',
        '{"a": 1} x',
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        "[1, 2",
        '"unfinished',
        "nul",
        "[" * 100_000,
        '{"x":' * 100_000 + "1" + "}" * 100_000,
        None,
    ],
)
@pytest.mark.parametrize("path", ["$.a", "$.a.b", "$[0].a"])
def test_what_is_not_json_is_said_to_be_so(path, text):
    with pytest.raises(BodyUnreadable):
        read(path, text)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="utf-8"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(
    values, st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=4)
)
def test_paths_find_what_walking_finds(value, steps):
    path = "$" + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in steps)
    wanted = value
    for step in steps:
        if isinstance(step, str):
            wanted = wanted.get(step) if isinstance(wanted, dict) else None
        else:
            has = isinstance(wanted, list) and step < len(wanted)
            wanted = wanted[step] if has else None
    if isinstance(wanted, bool | int) and wanted is not None:
        wanted = json.dumps(wanted)
    if not isinstance(wanted, str) or not wanted:
        wanted = None
    elif len(wanted) > 256:
        return
    assert read(path, json.dumps(value)) == wanted


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a":{"b":"first"},"a":{"b":"last"}}', "last"),
        ('{"a":{"b":"first"},"a":{}}', None),
        ('{"a":7,"a":{"b":"last"}}', "last"),
        ('{"a":{"b":"first"},"a":7}', None),
        ('{"a":null,"a":{"b":"last","b":null}}', None),
    ],
)
def test_of_two_members_of_one_name_the_last_counts(text, key):
    assert read("$.a.b", text) == key


@pytest.mark.parametrize("index", [0, 64, 65, 99])
def test_items_near_and_far(index):
    text = json.dumps([{"a": number} for number in range(100)])
    assert read(f"$[{index}].a", text) == str(index)
    assert read(f"$[{index}].a", "[]") is None
    with pytest.raises(BodyUnreadable):
        read(f"$[{index}].a", text[:-1] + ",tru]")


def test_what_follows_an_item_takes_no_memory():
    """Objects of five million bytes of `1,1,1…` would take a second, and hundreds of megabytes."""
    key, text = parse_key("$.a[3]"), '{"a":[' + "1," * 100_000 + "1]}"
    tracemalloc.start()
    assert key.read({}, text) == "1"
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_headers_need_no_body():
    assert read("header.X-GitHub-Delivery", None, {"x-github-delivery": "d1"}) == "d1"
    assert read("header.X-Other", None, {"x-github-delivery": "d1"}) is None
    assert read("header.X-Empty", None, {"x-empty": ""}) is None


def test_long_keys_are_told_apart_by_their_digest():
    long, other = "k" * 256 + "a", "k" * 256 + "b"
    keys = {read("header.k", None, {"k": text}) for text in (long, other)}
    assert len(keys) == 2
    assert all(key.startswith("sha256:") and len(key) == 71 for key in keys)
    assert read("header.k", None, {"k": "k" * 256}) == "k" * 256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$",
        "$.",
        "a.b",
        "$a",
        "$.a[",
        "$.a[x]",
        "$.a[-1]",
        "$..a",
        "header.",
        "header.a b",
        "body",
        "$" + ".a" * 17,
        "form.",
        "form.a b",
        "form.a=b",
        "cloudevent.",
        "cloudevent.Id",
    ],
)
def test_paths_that_cannot_be_understood(text):
    with pytest.raises(ConfigError):
        parse_key(text)


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("From=%2B1415&To=x", "+1415"),
        ("To=x&From=a+b&From=c", "a b"),
        ("From=%E2%82%AC", "€"),
        ("To=x", None),
        ("From=", None),
        ("", None),
    ],
)
def test_fields_of_a_form(text, key):
    assert read("form.From", text, FORM) == key


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("From=1", {}),
        ("From=1", {"content-type": "application/json"}),
        ("From=%ff", FORM),
        ("&".join(["a=1"] * 1_001), FORM),
        ("From=1&a=" + "%41" * 100_000, FORM),
        (None, FORM),
    ],
)
def test_what_is_not_a_form_is_said_to_be_so(text, headers):
    with pytest.raises(BodyUnreadable):
        read("form.From", text, headers)


def test_attributes_of_cloudevents_in_either_mode():
    structured = {"content-type": "application/cloudevents+json"}
    assert read("cloudevent.subject", '{"subject":"é"}', structured) == "é"
    assert read("cloudevent.sequence", '{"sequence":7}', structured) == "7"
    assert read("cloudevent.subject", "not read", {"ce-subject": "%C3%A9"}) == "é"
    assert read("cloudevent.subject", None, {"ce-subject": "%ff"}) is None
    assert read("cloudevent.subject", None, {"ce-subject": ""}) is None
    assert read("cloudevent.subject", '{"subject":"body"}', {}) is None


def test_joint_keys_are_told_apart():
    """("a", "bc") is not ("ab", "c"), and half a key is none."""

    def joint(one, two):
        headers = {"one": one, "two": two}
        return parse_keys(["header.one", "header.two"]).read(headers, None)

    assert joint("a", "bc") == "1:a2:bc"
    assert len({joint("a", "bc"), joint("ab", "c"), joint("1:a", "2:bc")}) == 3
    assert joint("a", "") is None
    assert len(joint("a" * 200, "b" * 200)) == 71


@pytest.mark.parametrize("texts", [[], ["$.a"] * 5, ["$.a", "b"]])
def test_joint_keys_that_cannot_be_understood(texts):
    with pytest.raises(ConfigError):
        parse_keys(texts)
