"""Service models: built in a child, cached, built again when damaged."""

import json
import re
import sys

import pytest

from router.control import compact, model
from router.control.model import ModelError, compile_pattern, method_name

SERVICES = ("lambda", "sqs", "sts")


async def test_models_are_built_once_and_botocore_stays_out(tmp_path):
    before = set(sys.modules)
    models = await model.load(tmp_path, SERVICES)
    assert not [name for name in set(sys.modules) - before if name.startswith("botocore")]
    (folder,) = (tmp_path / "models").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "lambda.json",
        "sqs.json",
        "sts.json",
    ]
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = await model.load(tmp_path, SERVICES)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert again == models
    assert models["lambda"].operations["Invoke"].uri.endswith("/invocations")
    assert models["sqs"].target_prefix == "AmazonSQS"
    assert models["lambda"].shapes["ResourceNotFoundException"].status == 404


async def test_a_damaged_cache_is_made_again(tmp_path):
    await model.load(tmp_path, ("sts",))
    (path,) = (tmp_path / "models").glob("*/sts.json")
    path.write_text("{")
    models = await model.load(tmp_path, ("sts",))
    assert "GetCallerIdentity" in models["sts"].operations
    json.loads(path.read_text())


async def test_a_service_nobody_has(tmp_path):
    with pytest.raises(ModelError, match="nothing-such"):
        await model.load(tmp_path, ("nothing-such",))


async def test_every_pattern_compiles(tmp_path):
    models = await model.load(tmp_path, SERVICES)
    patterns = {s.pattern for m in models.values() for s in m.shapes.values() if s.pattern}
    assert len(patterns) > 50
    for pattern in patterns:
        assert isinstance(compile_pattern(pattern), re.Pattern)


def test_unicode_classes():
    tag = compile_pattern("([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)")
    assert tag.fullmatch("Größe 5/ß")
    assert not tag.fullmatch("a;b")
    assert not compile_pattern("\\d{2}").fullmatch("٣٤")


def test_an_overlay_is_laid_over_key_by_key():
    full = {
        "metadata": {"protocol": "json", "uid": "x"},
        "operations": {"A": {"http": {"method": "POST", "requestUri": "/"}}},
        "shapes": {
            "S": {
                "type": "structure",
                "documentation": "long",
                "members": {"m": {"shape": "T", "documentation": "long"}},
            },
            "T": {"type": "string", "max": 1},
        },
    }
    overlay = {
        "operations": {"B": {"http": {"method": "GET", "requestUri": "/b"}}},
        "shapes": {"S": {"members": {"n": {"shape": "T"}}}, "T": {"max": 2}},
    }
    small = compact.compact(full, overlay)
    assert set(small["operations"]) == {"A", "B"}
    assert small["shapes"] == {
        "S": {"type": "structure", "members": {"m": {"shape": "T"}, "n": {"shape": "T"}}},
        "T": {"type": "string", "max": 2},
    }
    assert full["shapes"]["T"]["max"] == 1


def test_method_names():
    assert method_name("GetQueueUrl") == "get_queue_url"
    assert method_name("Invoke") == "invoke"
