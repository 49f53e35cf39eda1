"""Chains of invocations, counted in the trace header (`functions-and-invocation.md` 7.6)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import trace_header as t

A, B = (f"arn:aws:lambda:us-east-1:000000000000:function:{name}" for name in "ab")
ROOT = "Root=1-67891233-abcdef012345678912345678"
NEW = "Root=1-00000001-000000000000000000000000;Parent=0000000000000000;Sampled=0"
OF_AWS = "1:a87bd80c:0"


def new():
    return t.fresh_header(1, t.fresh_rest("0" * t.FRESH_DIGITS))


def name(arn):
    """How a lineage calls a function."""
    return t.step("", arn, new).header.rpartition("Lineage=")[2].split(":")[1]


def test_a_trace_begins_where_there_is_none():
    assert new() == NEW
    step = t.step("", A, new)
    assert (step.header, step.before) == (f"{NEW};Lineage=1:{name(A)}:0", 0)
    assert t.first_header(A, NEW) == step.header
    assert re.fullmatch("[0-9a-f]{8}", name(A))
    assert name(A) != name(B)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (ROOT, ROOT),
        (f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1", f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1"),
        (f" Sampled=1 ; {ROOT};Self=x;", f"Sampled=1;{ROOT};Self=x"),
        (f"{ROOT};Custom=a=b;{ROOT}", f"{ROOT};Custom=a=b"),
        ("Sampled=1", NEW.replace("Sampled=0", "Sampled=1")),
        ("Sampled=?;Parent=53995c3f42cd8ad8", NEW.replace("Sampled=0", "Sampled=?")),
        ("Root=nonsense;Parent=1;Own=2", f"{NEW};Own=2"),
        ("nonsense", NEW),
        (";;=;a=;=b", NEW),
        (f"{ROOT};Own=\n", NEW),
        (f"{ROOT};Own=\0", NEW),
        (f"{ROOT};Own=é", NEW),
        (f"{ROOT};Own=" + "x" * t.HEADER_LENGTH_MAX, NEW),
    ],
)
def test_what_a_caller_says_of_its_trace_stays(given, kept):
    assert t.step(given, A, new).header == f"{kept};Lineage=1:{name(A)}:0"


def test_each_function_of_a_chain_is_counted_by_itself():
    header, before = ROOT, []
    for arn in (A, B, A, A, B):
        step = t.step(header, arn, new)
        header = step.header
        before.append(step.before)
    assert before == [0, 0, 1, 2, 1]
    assert header == f"{ROOT};Lineage=3:{name(A)}:0,2:{name(B)}:0"
    assert (t.count_of(header, A), t.count_of(header, B), t.count_of("", A)) == (3, 2, 0)


@pytest.mark.parametrize(
    "lineage",
    [
        "", "x", "1", "1:2", ":", "1:a87bd80c", "-1:a87bd80c:0", "1:A87BD80C:0", "1:a87bd80:0",
        "1:a87bd80c:0:0", "a87bd80c:1", "1:a87bd80c:0|1:a87bd80d:0", "1:a87bd80c:0,",
        "١:a87bd80c:0", "1:a87bd80c:0 ,1:a87bd80d:0", "999999:a87bd80c:0", "%31:a87bd80c:0",
    ],
)  # fmt: skip
def test_a_lineage_that_is_none_counts_nothing(lineage):
    header = f"{ROOT};Lineage={lineage}"
    assert t.lineage_of(header) == ""
    assert t.step(header, A, new).before == 0
    assert t.step(header, A, new).header.endswith(f";Lineage=1:{name(A)}:0")


def test_a_lineage_of_another_service_goes_on():
    assert t.step(f"Lineage={OF_AWS};{ROOT}", A, new).header == (
        f"{ROOT};Lineage={OF_AWS},1:{name(A)}:0"
    )
    assert t.lineage_of(f"{ROOT};lineage={OF_AWS}") == OF_AWS


def test_no_client_makes_a_header_grow_without_bound():
    many = ",".join(f"99999:{number:08x}:999" for number in range(70))
    header = t.step(f"{ROOT};Lineage={many}", A, new).header
    assert t.count_of(header, A) == 0, "those that come later are not counted"
    assert header.count("255:") == t.LINEAGE_FUNCTIONS_MAX
    for _ in range(300):
        header = t.step(header, A, new).header
    assert len(header) < t.HEADER_LENGTH_MAX
    for own in ("", f";Lineage={many}"):
        for root in (ROOT, "Sampled=1"):
            full = f"{root}{own};Own=" + "x" * (t.HEADER_LENGTH_MAX - len(root) - len(own) - 5)
            assert len(full) == t.HEADER_LENGTH_MAX
            first = t.step(full, A, new)
            again = t.step(first.header, A, new)
            assert len(again.header) < t.HEADER_LENGTH_MAX
            assert again.header.split("Lineage=")[0] == first.header.split("Lineage=")[0]
            assert again.before == first.before + (not own), "it still counts"


def test_a_batch_has_the_trace_that_its_messages_share():
    one, other = (t.step(root, A, new).header for root in (ROOT, ROOT.replace("a", "b")))
    assert t.common_header([one, one]) == one
    assert t.common_header([one, other]) == f"Lineage=1:{name(A)}:0"
    assert t.common_header([ROOT, ""]) == ""
    assert t.common_header([]) == ""
    assert t.step(t.common_header([one, other]), A, new).before == 1


HEADERS = st.text(max_size=80) | st.lists(
    st.sampled_from([ROOT, "Sampled=1", "Parent=1", "Lineage=", f"Lineage={OF_AWS}", "a=b", "="])
    | st.text(alphabet="Lineage=:;,0123456789abcdef", max_size=30)
).map(";".join)


@given(header=HEADERS, calls=st.lists(st.sampled_from([A, B]), max_size=40))
def test_any_header_is_read_and_counted_on(header, calls):
    """Whatever comes, what goes on can be handed on, and counts every call from then on."""
    first = {arn: t.count_of(header, arn) for arn in (A, B)}
    for number, arn in enumerate(calls):
        step = t.step(header, arn, new)
        header = step.header
        assert t.is_header(header)
        assert step.before == min(first[arn] + calls[:number].count(arn), t.COUNT_MAX)
        assert t.common_header([header, header]) == header
        assert header.endswith(f"Lineage={t.lineage_of(header)}")


@given(
    st.from_regex(r"\A1-[0-9a-f]{8}-[0-9a-f]{24}\Z"),
    st.sampled_from(["", ";Parent=53995c3f42cd8ad8", ";parent=53995C3F42CD8AD8", ";Parent=5"]),
    st.sampled_from(["", ";Sampled=0", ";Sampled=1", ";Sampled=2", ";sampled=1", ";Self=1", "\n"]),
    st.sampled_from(["Root", "root", "Root=Root"]),
)
def test_a_trace_that_nothing_is_counted_in_goes_the_short_way(root, parent, last, name):
    """What comes of it is what comes of reading all its fields."""
    header = f"{name}={root}{parent}{last}"
    step, read = t.step(header, A, new), t.step(f" {header}", A, new)
    assert (step.header, step.before) == (read.header, read.before)
