"""Templates read the settings of mappings within the bounds the API's model has (1.2)."""

import re

import pytest

from router.mapping.rules.fields import FIELDS, Block, Flag, Integer, ListOf, Text
from router.mapping.rules.takes import ALL_TAKE, TAKES
from router.model.limits import KAFKA_FACTOR_MAX

WRITTEN_APART = {"FunctionName", "Enabled", "Tags", "StartingPositionTimestamp"}

OURS = {
    # Lanes of Kafka partitions are beyond AWS; rules hold the others to its 10.
    ("ParallelizationFactor",): Integer(1, KAFKA_FACTOR_MAX),
}


@pytest.fixture(scope="module")
def shapes(harness):
    return harness.services.models["lambda"].shapes


def check(shapes, shape, field, path):
    if path in OURS:
        assert field == OURS[path]
        return
    match field:
        case Flag():
            assert shape.type == "boolean", path
        case Integer(least, most):
            assert (shape.type, shape.min, shape.max) == ("integer", least, most), path
        case Text():
            check_text(shape, field, path)
        case ListOf():
            assert shape.type == "list", path
            if shape.max is not None:
                assert field.items_max == shape.max, path
            check(shapes, shapes[shape.member.shape], field.item, (*path, 0))
        case Block():
            check_block(shapes, shape, field, path)


def check_text(shape, field, path):
    assert shape.type == "string", path
    if field.choices:
        assert sorted(field.choices) == sorted(shape.enum), path
        assert max(map(len, field.choices)) <= field.length_max
        return
    if shape.max is not None:
        assert field.length_max == shape.max, path
    if field.pattern:
        for text in ("a", "a.b", "b-1:9092", "a b", "é", "a\nb", "arn:aws:x", ".a", "", "x_y"):
            ours = re.fullmatch(field.pattern, text) is not None
            theirs = re.fullmatch(shape.pattern, text) is not None and len(text) >= shape.min
            assert ours == theirs, (path, text)


def check_block(shapes, shape, field, path):
    if shape.type == "map":  # the one map: servers by the kind of end point
        assert list(field.members) == list(shapes[shape.key.shape].enum)
        for member in field.members.values():
            check(shapes, shapes[shape.value.shape], member, (*path, "*"))
        return
    assert set(field.members) == set(shape.members), path
    for name, member in field.members.items():
        check(shapes, shapes[shape.members[name].shape], member, (*path, name))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_bounds_are_the_models(shapes, name):
    request = shapes["CreateEventSourceMappingRequest"]
    check(shapes, shapes[request.members[name].shape], FIELDS[name], (name,))


def test_every_member_of_the_model_has_its_place(shapes):
    """What the API takes a template takes too, and the rules know which kind takes it."""
    members = set(shapes["CreateEventSourceMappingRequest"].members)
    assert members - WRITTEN_APART == set(FIELDS)
    known = set().union(ALL_TAKE, *TAKES.values())
    assert members | {"UUID"} == known
    assert set(shapes["UpdateEventSourceMappingRequest"].members) <= known
