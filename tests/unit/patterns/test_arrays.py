"""Fields inside arrays, in time that does not explode."""

import json
import time

import pytest

from router.patterns.arrays import TooTangled
from router.patterns.document import decode
from router.patterns.index import PatternIndex
from router.patterns.parse import parse_pattern


def index(pattern):
    return PatternIndex([("it", parse_pattern(json.dumps(pattern)).rules)])


def test_many_arrays_each_with_many_candidates():
    """Trying every combination would be 300 to the power of 11."""
    names = "abcdefghij"
    pattern = {name: {"v": ["x"]} for name in names} | {"z": {"v": ["x"], "w": ["x"]}}
    event = {name: [{"v": "x"}] * 300 for name in names} | {"z": [{"v": "x"}, {"w": "x"}] * 300}
    began = time.process_time()
    assert not index(pattern).matches_any(event)
    event["z"].append({"v": "x", "w": "x"})
    assert index(pattern).matches_any(event)
    assert time.process_time() - began < 0.5


def test_arrays_inside_arrays():
    pattern = {"a": {"b": {"c": ["x"], "d": ["y"]}, "e": ["z"]}}
    good = {"b": [{"c": "x"}, {"c": "x", "d": "y"}], "e": "z"}
    bad = {"b": [{"c": "x"}, {"d": "y"}], "e": "z"}
    assert index(pattern).matches_any({"a": [bad, good]})
    assert not index(pattern).matches_any({"a": [bad, {**good, "e": "q"}]})


def test_arrays_as_deep_as_paths_go():
    depth = 99
    path = ".".join("a" * depth)
    tree = {"b": "x", "c": "y"}
    for _level in range(depth):
        tree = {"a": [{"a": "q"}, tree]}
    assert index({f"{path}.b": ["x"], f"{path}.c": ["y"]}).matches_any(tree)


def test_keys_given_many_times_end_in_an_error_soon():
    """Else a request could hold up everyone: which arrays to choose is a hard question."""
    fields = "bcdefghijk"
    rows = ",".join('"a":[' + ",".join(f'{{"{f}":"x"}}' for f in fields) + "]" for _ in range(9))
    event = decode("{" + rows + "}")
    began = time.process_time()
    with pytest.raises(TooTangled):
        index({"a": {field: ["x"] for field in fields}}).matches_any(event)
    assert time.process_time() - began < 2
