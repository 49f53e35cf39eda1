"""Reasons of refusal the vectors do not name, and limits."""

import pytest

from router.patterns import conditions as c
from router.patterns.parse import COMBINATIONS_MAX, PATH_KEYS_MAX, parse_pattern
from router.patterns.problems import PatternError


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "Filter is not an object"),
        ('"a"', "Filter is not an object"),
        ("5", "Filter is not an object"),
        ('{"a":[{"EXISTS":true}]}', "Unrecognized match type EXISTS"),
        ('{"a":[{"numeric":["=","5"]}]}', "Value of equals must be numeric"),
        ('{"a":[{"numeric":[5]}]}', "Invalid member in numeric match: 5"),
        ('{"a":[{"numeric":[">",1,2]}]}', "Bad value in numeric range: 2"),
        ('{"a":[{"numeric":[">",1,"<","x"]}]}', "Value of < must be numeric"),
        ('{"a":[{"numeric":[">",1],"b":1}]}', "Too many elements in numeric expression"),
        ('{"a":[{"suffix":1}]}', "suffix match pattern must be a string"),
        ('{"a":[{"suffix":{"prefix":"x"}}]}', "Unsupported suffix pattern: prefix"),
        ('{"a":[{"prefix":{}}]}', "Prefix expression name not found"),
        ('{"a":[{"anything-but":{}}]}', "Anything-But expression name not found"),
        ('{"a":[{"anything-but":{"prefix":1}}]}', "prefix/suffix match pattern must be a string"),
        ('{"a":[{"anything-but":{"suffix":[1]}}]}', "prefix/suffix match pattern must be a string"),
        ('{"a":[{"anything-but":{"wildcard":1}}]}', "wildcard match pattern must be a string"),
        ('{"a":[{"anything-but":{"wildcard":"**"}}]}', "Consecutive wildcard characters at pos 1"),
        (
            '{"a":[{"anything-but":{"equals-ignore-case":[1]}}]}',
            (
                "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not "
                "supported."
            ),
        ),
        ('{"a":[{"cidr":"10.0.0.0/x"}]}', "Malformed CIDR, mask bits must be an integer"),
        ('{"a":[{"cidr":"10.0.0/8"}]}', "Nonstandard IP address: 10.0.0"),
        ('{"a":[{"cidr":"1::2::3/8"}]}', "Invalid IP address: 1::2::3"),
        ('{"a":[{"cidr":"/8"}]}', "Nonstandard IP address: "),
        ('{"$or":[{"a":{"=":["x"]}},{"b":["x"]}]}',
         "= is Ruler reserved fieldName which cannot be used inside $or."),
        ('{"a":["x"],}', "Unexpected character '}' at position 11"),
        ('{"a":[' + '"x",' * 1024 + '"x"]}', "Longer than 4096 characters"),
        ('{"' + "a." * PATH_KEYS_MAX + 'a":["x"]}', f"A path has more than {PATH_KEYS_MAX} keys"),
        ("{" + ",".join(['"$or":[{"a":[1]},{"b":[1]}]'] * 10) + "}",
         f"More than {COMBINATIONS_MAX} combinations of $or branches"),
    ],
)  # fmt: skip
def test_refused(pattern, reason):
    with pytest.raises(PatternError) as info:
        parse_pattern(pattern)
    assert str(info.value) == reason


def test_the_first_mistake_is_told():
    with pytest.raises(PatternError, match="Empty arrays"):
        parse_pattern('{"a":[],"b":[{"prefix":1}]')


def test_one_rule_per_combination_and_the_last_word_on_a_path():
    pattern = parse_pattern('{"a":["x"],"$or":[{"a":["y"]},{"b":{"c":["z"]}}],"d":[1,1.0]}')
    one = (c.Equal(1.0), c.Equal(1.0))
    assert [rule.fields for rule in pattern.rules] == [
        {"a": (c.Equal("y"),), "d": one},
        {"a": (c.Equal("x"),), "b.c": (c.Equal("z"),), "d": one},
    ]


def test_an_object_given_twice_counts_path_by_path():
    [rule] = parse_pattern('{"a":{"b":["x"],"c":["x"]},"a":{"b":["y"]}}').rules
    assert rule.fields == {"a.b": (c.Equal("y"),), "a.c": (c.Equal("x"),)}
