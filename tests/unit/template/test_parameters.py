"""Parameters: given, defaulted, checked."""

import pytest

from router.model.errors import TemplateError
from router.template.parameters import parse_assignments, resolve_parameters
from router.template.problems import Mark, Places, Problems, TemplateRefused


def resolved(declaration, given=None):
    problems = Problems(Places("t.yaml", {(): Mark(1, 1)}))
    values = resolve_parameters({"P": declaration}, given or {}, problems)
    problems.raise_any()
    return values.get("P")


@pytest.mark.parametrize(
    ("declaration", "given", "expected"),
    [
        ({"Type": "String", "Default": 5}, {}, "5"),
        ({"Type": "String"}, {"P": ""}, ""),
        ({"Type": "Number", "Default": "7"}, {}, 7),
        ({"Type": "Number"}, {"P": "1.5"}, 1.5),
        ({"Type": "List<Number>"}, {"P": "1, 2"}, [1, 2]),
        ({"Type": "CommaDelimitedList"}, {"P": "a, b"}, ["a", "b"]),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, {"P": "abc"}, "abc"),
        ({"Type": "Number", "MinValue": 1, "MaxValue": "9"}, {"P": "9"}, 9),
    ],
)
def test_values(declaration, given, expected):
    assert resolved(declaration, given) == expected


@pytest.mark.parametrize(
    ("declaration", "given", "said"),
    [
        ({"Type": "String"}, {}, "Parameters.P: has no value (give it with --parameter P=VALUE"),
        ({"Type": "String"}, {"P": "a", "Q": "b"}, "parameter Q is given but not declared"),
        ({"Type": "Strng"}, {}, "unknown type Strng"),
        ({"Default": "a"}, {}, "has no Type"),
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, {}, "looked up in an AWS account"),
        ({"Type": "Number"}, {"P": "many"}, "is not a number"),
        ({"Type": "Number"}, {"P": "nan"}, "is not a number"),
        ({"Type": "Number", "MaxValue": 3}, {"P": "4"}, "is more than 3"),
        ({"Type": "Number", "MinValue": 3}, {"P": "2"}, "is less than 3"),
        ({"Type": "List<Number>"}, {"P": "1,x"}, "not a list of numbers"),
        ({"Type": "String", "AllowedValues": ["a", 1]}, {"P": "b"}, "allowed values a, 1"),
        ({"Type": "String", "AllowedPattern": "["}, {"P": "b"}, "not a regular expression"),
        ({"Type": "String", "AllowedPattern": "[a]"}, {"P": "aa"}, "does not match [a]"),
        ({"Type": "String", "MinLength": 2}, {"P": "a"}, "shorter than 2"),
        ({"Type": "String", "MaxLength": 1}, {"P": "ab"}, "longer than 1"),
        ({"Type": "String", "Defalt": 1}, {"P": "ab"}, "did you mean Default?"),
        ({"Type": "String"}, {"P": "x" * 4097}, "larger than 4096"),
        ("text", {}, "must be a mapping"),
    ],
)
def test_problems(declaration, given, said):
    with pytest.raises(TemplateRefused) as caught:
        resolved(declaration, given)
    assert said in str(caught.value)


def test_hidden_values_are_not_shown():
    declaration = {"Type": "String", "NoEcho": True, "MinLength": 9}
    with pytest.raises(TemplateRefused) as caught:
        resolved(declaration, {"P": "s3cret"})
    assert "****" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_assignments():
    assert parse_assignments(("A=1", "B=x=y", "C=")) == {"A": "1", "B": "x=y", "C": ""}
    for wrong in (("A",), ("=1",), ("A=1", "A=2")):
        with pytest.raises(TemplateError):
            parse_assignments(wrong)
