"""Filter patterns of CloudWatch Logs."""

import json

import pytest

from router.patterns.log_filter import CHARACTERS_MAX, parse
from router.patterns.problems import PatternError

EVENT = json.dumps(
    {
        "level": "ERROR",
        "message": 'a "b" here',
        "ms": 251.5,
        "text": "12",
        "none": None,
        "yes": True,
        "no": False,
        "deep": {"list": [{"id": 7}, "two"], "od d": 1},
    }
)

TEXTS = [
    ("", "anything", True),
    ("  ", "anything", True),
    ("ERROR", "[ERROR] no", True),
    ("ERROR", "[error] no", False),
    ("ERROR no", "[ERROR] no", True),
    ("ERROR yes", "[ERROR] no", False),
    ('"exit status 1"', "with exit status 1.", True),
    ('"exit status 1"', "exit  status 1", False),
    (r'"a \"b\""', 'a "b"', True),
    ("?ERROR ?WARN", "a WARN", True),
    ("?ERROR ?WARN", "an INFO", False),
    ("?ERROR order", "an order", True),
    ("ERROR -expected", "ERROR", True),
    ("ERROR -expected", "ERROR expected", False),
    ('-"not this"', "not that", True),
    ("-x", "x", False),
    ("5%", "at 5%", True),
]

FIELDS = [
    ('{ $.level = "ERROR" }', True),
    ("{ $.level = ERROR }", True),
    ("{$.level=ERR*}", True),
    ("{$.level=*R*R}", True),
    ("{$.level=*RR*RO*}", False),
    ("{$.level=ERRO*OR}", False),
    ("{$.level != ERROR}", False),
    ("{$.absent != ERROR}", False),
    (r'{ $.message = "a \"b\"*" }', True),
    ("{$.ms > 250 && $.ms < 252}", True),
    ("{$.ms >= 251.5 && $.ms <= 251.5}", True),
    ("{$.ms = 251.5}", True),
    ("{$.text = 12}", True),
    ("{$.level > 1}", False),
    ("{$.yes > 0}", False),
    ("{$.none IS NULL}", True),
    ("{$.yes IS TRUE && $.no IS FALSE}", True),
    ("{$.absent NOT EXISTS}", True),
    ("{$.level NOT EXISTS}", False),
    ("{$.deep.list[0].id = 7}", True),
    ("{$.deep.list[1] = two}", True),
    ("{$.deep.list[2] = two}", False),
    ("{$.deep['od d'] = 1}", True),
    ("{$.level = X || $.ms = 251.5 && $.text = 12}", True),
    ("{($.level = X || $.ms = 251.5) && $.text = 13}", False),
]

BAD = [
    "[ip, user]",
    "{ $.a = 1",
    "{ }",
    "{ $.a }",
    "{ $.a = }",
    "{ $.a ~ 1 }",
    "{ a = 1 }",
    "{ ($.a = 1 }",
    "{ $.a = 1 ) }",
    "{ $.a = 1 $.b = 2 }",
    "{ $.a IS SO }",
    "{ $.a > x }",
    "{ $.a = $.b }",
    "{ $.a = && }",
    "{ $.*.a = 1 }",
    "{ $.a = %x% }",
    "{" + "(" * 30 + "$.a = 1" + ")" * 30 + "}",
    '"not closed',
    "%regex%",
    "x" * (CHARACTERS_MAX + 1),
]


@pytest.mark.parametrize(("pattern", "text", "is_match"), TEXTS)
def test_words_and_phrases(pattern, text, is_match):
    assert parse(pattern)(text) is is_match


@pytest.mark.parametrize(("pattern", "is_match"), FIELDS)
def test_fields_of_json(pattern, is_match):
    assert parse(pattern)(EVENT) is is_match


def test_what_is_no_document_matches_no_field():
    matches = parse("{ $.a NOT EXISTS }")
    assert matches("{}")
    assert not matches("words")
    assert not matches("{words")
    assert not matches("[1]")
    assert not matches('{"a":' + "[" * 100_000)


@pytest.mark.parametrize("pattern", BAD)
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(PatternError):
        parse(pattern)
