"""Results are written as `json` writes them, one after another by the same writer."""

import json
import math

import pytest

from router.workers import results

VALUES = (
    *({}, [], "", "text \u00fc\U0001f600\ud800", 1, -1.5, True, None, 2**70, math.nan, -math.inf),
    *({"a": [1, (2, 3), {"b": None}]}, {1: 2, None: 3, False: 4, 1.5: 5}, 1e16, 0.1, [[[]]]),
)


@pytest.mark.parametrize("runtime", ["python3.11", "python3.12"])
@pytest.mark.parametrize("has_writer", [True, False])
def test_plain_values(runtime, has_writer, monkeypatch):
    if not has_writer:
        monkeypatch.setattr(results, "_make_writer", None)
    encode = results.encoder(runtime)
    ascii_only = runtime == "python3.11"
    for value in VALUES:
        assert encode(value) == json.dumps(value, ensure_ascii=ascii_only)


def test_after_one_that_cannot_be_written_all_goes_on():
    encode = results.encoder("python3.11")
    inner = {"a": object()}
    ring: list[object] = []
    ring.append(ring)
    for _ in range(2):
        with pytest.raises(TypeError, match="not JSON serializable"):
            encode([inner])
        with pytest.raises(ValueError, match="Circular"):
            encode(ring)
        inner_again = {"a": 1}
        assert encode([inner_again, inner_again]) == '[{"a": 1}, {"a": 1}]'
        with pytest.raises((ValueError, RecursionError)):
            encode(deep())


def deep() -> list[object]:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    return value


def test_the_same_object_again_after_it_failed():
    """What was being written when it failed is not taken for a ring the next time."""
    encode = results.encoder("python3.11")
    value: dict[str, object] = {"a": object()}
    with pytest.raises(TypeError):
        encode(value)
    value["a"] = [1]
    assert encode(value) == '{"a": [1]}'
