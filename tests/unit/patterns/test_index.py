"""Only rules that an event opens the door of are looked at."""

import json

from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern


def looked_at(index, event, monkeypatch):
    from router.patterns import index as module

    asked = []
    real = module._Entry.matches
    monkeypatch.setattr(
        module._Entry,
        "matches",
        lambda entry, leaves: asked.append(entry.id) or real(entry, leaves),
    )
    return index.match(event), asked


def test_the_rarest_value_is_the_door(monkeypatch):
    index = PatternIndex(
        (number, parse_pattern(json.dumps({"source": ["s"], "id": [f"i{number}"]})).rules)
        for number in range(100)
    )
    event = {"source": "s", "id": "i7"}
    assert looked_at(index, event, monkeypatch) == ({7}, [7])


def test_without_a_value_a_present_leaf_and_without_that_always(monkeypatch):
    patterns = {
        "prefix": {"a": [{"prefix": "x"}]},
        "other": {"b": [{"prefix": "x"}]},
        "absent": {"c": [{"exists": False}]},
        "either": {"d": [{"exists": False}, "x"]},
    }
    index = PatternIndex(
        (name, parse_pattern(json.dumps(one)).rules) for name, one in patterns.items()
    )
    matched, asked = looked_at(index, {"a": "xy"}, monkeypatch)
    assert matched == {"prefix", "absent", "either"}
    assert "other" not in asked


def test_nothing_matches_when_there_is_nothing():
    assert PatternIndex([]).match({"a": 1}) == set()
    assert not PatternIndex([("never", ())]).matches_any({"a": 1})
