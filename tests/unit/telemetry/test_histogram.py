"""The hot path's histogram says what the library's says."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from router.telemetry.histogram import FastHistogram

BOUNDS = (0.001, 0.5, 1, 30)


def lines(registry):
    text = generate_latest(registry).decode().splitlines()
    return [line for line in text if "_created" not in line]


@given(
    values=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.001, 0.25, 1.0, 30.0, 31.5]))
    )
)
def test_it_renders_as_the_librarys_own(values):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = FastHistogram("x_seconds", "About.", "webhook", BOUNDS, ours)
    own = Histogram("x_seconds", "About.", ["webhook"], buckets=BOUNDS, registry=theirs)
    for label, value in values:
        fast.labels(label).observe(value)
        own.labels(label).observe(value)
    assert lines(ours) == lines(theirs)


def test_a_child_is_kept():
    fast = FastHistogram("x_seconds", "About.", "webhook", BOUNDS, CollectorRegistry())
    assert fast.labels("a") is fast.labels("a")
    assert fast.labels("a") is not fast.labels("b")
    fast.labels("a").observe(math.inf)
    assert fast.labels("a").rendered()[0][-1] == ("+Inf", 1.0)


def test_what_one_process_took_another_adds():
    here, there = (
        FastHistogram("x_seconds", "About.", "w", BOUNDS, CollectorRegistry()) for _ in "12"
    )
    for value in (0.0, 0.75, 40.0):
        there.labels("a").observe(value)
    here.labels("a").observe(0.75)
    there.labels("b")
    taken = there.take()
    assert taken.keys() == {"a"}
    assert there.take() == {}
    here.labels("a").add(*taken["a"])
    assert here.take()["a"] == ([1, 0, 2, 0, 1], 41.5)
