"""Constraint texts, one shape at a time."""

import pytest

from router.control.errors import ValidationFailed
from router.control.model import Member, ServiceModel, Shape
from router.control.validate import show, validate

MODEL = ServiceModel(
    protocol="json",
    operations={},
    shapes={
        "In": Shape(
            type="structure",
            members={
                name: Member(name)
                for name in (
                    *("Name", "Count", "Kind", "Names", "Inner", "Inners", "Map", "Flag"),
                    *("Hidden", "HiddenNames", "HiddenMap"),
                )
            },
            required=("Name",),
        ),
        "Name": Shape(type="string", min=2, max=5, pattern="[a-z]+"),
        "Count": Shape(type="integer", min=1, max=10),
        "Kind": Shape(type="string", enum=("A", "B")),
        "Names": Shape(type="list", max=2, member=Member("Kind")),
        "Inner": Shape(type="structure", members={"UUID": Member("Name")}, required=("UUID",)),
        "Inners": Shape(type="list", member=Member("Inner")),
        "Map": Shape(type="map", key=Member("Name"), value=Member("Name")),
        "Flag": Shape(type="boolean"),
        "Hidden": Shape(type="string", max=2, sensitive=True),
        "HiddenNames": Shape(type="list", member=Member("Hidden")),
        "HiddenMap": Shape(type="map", key=Member("Name"), value=Member("Hidden")),
    },
)
HIDDEN = "[Member must have length less than or equal to 2, Member must not be null]"
VALUE = "failed to satisfy constraint: Member must have value"
LENGTH = "failed to satisfy constraint: Member must have length"
NAME = (
    "[Member must have length less than or equal to 5, Member must have length greater than or "
    "equal to 2, Member must satisfy regular expression pattern: [a-z]+, Member must not be null]"
)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "Value null at 'name' failed to satisfy constraint: Member must not be null"),
        ({"Name": "abcdef"}, f"Value 'abcdef' at 'name' {LENGTH} less than or equal to 5"),
        ({"Name": "a"}, f"Value 'a' at 'name' {LENGTH} greater than or equal to 2"),
        (
            {"Name": "ab\n"},
            (
                "Value 'ab\n' at 'name' failed to satisfy constraint: Member must satisfy regular "
                "expression pattern: [a-z]+"
            ),
        ),
        ({"Name": "ab", "Hidden": "xyz"}, f"Value at 'hidden' {LENGTH} less than or equal to 2"),
        (
            {"Name": "ab", "HiddenNames": ["xyz"]},
            (
                "Value at 'hiddenNames' failed to satisfy constraint: Member must satisfy "
                f"constraint: {HIDDEN}"
            ),
        ),
        (
            {"Name": "ab", "HiddenMap": {"ab": "xyz"}},
            (
                "Value at 'hiddenMap' failed to satisfy constraint: Map value must satisfy "
                f"constraint: {HIDDEN}"
            ),
        ),
        (
            {"Name": "ab", "HiddenMap": {"1": "x"}},
            (
                "Value at 'hiddenMap' failed to satisfy constraint: Map keys must satisfy "
                f"constraint: {NAME}"
            ),
        ),
        ({"Name": "ab", "Count": 11}, f"Value '11' at 'count' {VALUE} less than or equal to 10"),
        ({"Name": "ab", "Count": 0}, f"Value '0' at 'count' {VALUE} greater than or equal to 1"),
        (
            {"Name": "ab", "Kind": "C"},
            (
                "Value 'C' at 'kind' failed to satisfy constraint: Member must satisfy enum value "
                "set: [A, B]"
            ),
        ),
        (
            {"Name": "ab", "Names": ["A", "B", "A"]},
            f"Value '[A, B, A]' at 'names' {LENGTH} less than or equal to 2",
        ),
        (
            {"Name": "ab", "Names": ["A", "C"]},
            (
                "Value '[A, C]' at 'names' failed to satisfy constraint: Member must satisfy "
                "constraint: [Member must satisfy enum value set: [A, B], Member must not be null]"
            ),
        ),
        (
            {"Name": "ab", "Inners": [{"UUID": "ab"}, {}]},
            (
                "Value null at 'inners.2.member.uUID' failed to satisfy constraint: "
                "Member must not be null"
            ),
        ),
        (
            {"Name": "ab", "Inners": [{"UUID": "ab"}, None]},
            "Value null at 'inners.2.member' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"Name": "ab", "Inner": {"UUID": "a"}},
            f"Value 'a' at 'inner.uUID' {LENGTH} greater than or equal to 2",
        ),
        (
            {"Name": "ab", "Map": {"2": "ab"}},
            (
                "Value '{2=ab}' at 'map' failed to satisfy constraint: Map keys must satisfy "
                f"constraint: {NAME}"
            ),
        ),
        (
            {"Name": "ab", "Map": {"ab": None}},
            (
                "Value '{ab=null}' at 'map' failed to satisfy constraint: Map value must satisfy "
                f"constraint: {NAME}"
            ),
        ),
    ],
)
def test_one_problem(params, problem):
    with pytest.raises(ValidationFailed) as info:
        validate(MODEL, "In", params)
    assert info.value.message == f"1 validation error detected: {problem}"
    assert info.value.kind is None


def test_several_problems_in_the_models_order():
    with pytest.raises(ValidationFailed) as info:
        validate(MODEL, "In", {"Kind": "C", "Count": 0})
    assert info.value.message == (
        "3 validation errors detected: Value null at 'name' failed to satisfy constraint: Member "
        f"must not be null; Value '0' at 'count' {VALUE} greater than or equal to 1; Value 'C' at "
        "'kind' failed to satisfy constraint: Member must satisfy enum value set: [A, B]"
    )


def test_sound():
    validate(
        MODEL,
        "In",
        {
            "Name": "ab",
            "Count": 10,
            "Kind": "A",
            "Names": ["A", "B"],
            "Inners": [{"UUID": "ab"}],
            "Map": {"ab": "cd"},
            "Flag": False,
        },
    )
    validate(MODEL, None, {})


def test_how_values_are_shown():
    assert show([1, True, {"a": None}]) == "[1, true, {a=null}]"
    assert show(b"x") == "java.nio.HeapByteBuffer"


def test_a_text_beyond_all_bounds_is_not_matched_against_a_pattern():
    with pytest.raises(ValidationFailed) as info:
        validate(MODEL, "In", {"Name": "a" * 1_000_000})
    assert info.value.message.startswith("2 validation errors detected")
