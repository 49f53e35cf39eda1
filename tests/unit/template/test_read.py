"""The reader: plain values, their lines, and bounds."""

import pytest

from router.template import read
from router.template.problems import Mark, TemplateRefused
from router.template.read import read_text


def value_of(text: str):
    return read_text(text.encode(), "t.yaml").value


def refused(text: str):
    with pytest.raises(TemplateRefused) as caught:
        read_text(text.encode(), "t.yaml")
    (problem,) = caught.value.problems
    return problem


def test_scalars_are_what_they_look_like():
    found = value_of(
        "a: 1\nb: 1.5\nc: true\nd: 'true'\ne: 2012-10-17\nf: 000000000000\ng: 12:30\n"
        "h: 0x10\ni: 1234567890123456789012\nj: ''\nk: off\nl: -3\n"
    )
    assert found == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": "true",
        "e": "2012-10-17",
        "f": "000000000000",
        "g": "12:30",
        "h": "0x10",
        "i": "1234567890123456789012",
        "j": "",
        "k": False,
        "l": -3,
    }


def test_short_tags_become_long_forms():
    found = value_of("a: !Ref X\nb: !GetAtt A.B.C\nc: !Sub [x, {y: 1}]\nd: !If [c, !Ref Q, 2]\n")
    assert found == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["A", "B.C"]},
        "c": {"Fn::Sub": ["x", {"y": 1}]},
        "d": {"Fn::If": ["c", {"Ref": "Q"}, 2]},
    }


def test_every_value_has_its_place():
    places = read_text(b"a:\n  - x\n  - y: !If [c, 1, 2]\n", "t.yaml").places
    assert places.find(("a",)) == Mark(1, 1)
    assert places.find(("a", 0)) == Mark(2, 5)
    assert places.find(("a", 1, "y")) == Mark(3, 5)
    assert places.find(("a", 1, "y", "Fn::If", 2)) == Mark(3, 19)
    assert places.find(("a", 1, "z", "deep")) == Mark(3, 5)


def test_aliases_are_copied():
    assert value_of("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "is empty"),
        ("- a\n", 1, "is not a template"),
        ("a: 1\na: 2\n", 2, "a is given twice (first in line 1)"),
        ("a:\n  b:\n", 2, "a.b: has no value"),
        ("a: ~\n", 1, "has no value"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tag"),
        ("a: !Reff x\n", 1, "unknown tag !Reff (known: !And"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge keys"),
        ("a: &x [*x]\n", 1, "no finished anchor"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("a: b: c\n", 1, "is not YAML"),
        ("? [a]\n: b\n", 1, "name must be text"),
        ("a: \x00\n", 1, "is not YAML"),
        ("a: " + "[" * 80 + "]" * 80, 1, "deeper than 64"),
    ],
)
def test_problems_name_the_line(text, line, said):
    problem = refused(text)
    assert problem.line == line
    assert said in str(problem)


def test_size_is_bounded(monkeypatch):
    assert "larger than" in str(refused("a: " + "x" * read.TEMPLATE_BYTES_MAX))


def test_aliases_cannot_grow_without_bound():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "more than 200000 values" in str(refused("\n".join(lines)))


def test_not_utf8():
    with pytest.raises(TemplateRefused, match=r"t\.yaml:2:1: is not UTF-8"):
        read_text(b"a: 1\nb: \xff\n", "t.yaml")
