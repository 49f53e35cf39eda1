"""Our counters, gauges and histograms say what the library's say."""

import math
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client import Gauge as TheirGauge
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_open

from router.telemetry.cells import Cells, Counter, Facts, Gauge, Histogram

BOUNDS = (0.001, 0.5, 1, 30)
LABELS = {"webhook": "its name", "kind": "what it is"}

values = st.sampled_from([0, 1, True, False, 2.5, 0.1, 1e-7, 123456, 12345678.5, 1e21, math.inf])
names = st.text(alphabet='ab"\\\n é', max_size=4)


def facts(name, labels=LABELS):
    return Facts(name, "About.", labels, {})


def number(text):
    """As a parser reads it: 5 is 5.0, and labels have no order."""
    name, _, value = text.rpartition(" ")
    if bound := re.search(r',?(le="[^"]*"),?', name):
        name = f"{name.replace(bound[0], ',')} {bound[1]}".replace(",}", "}").replace("{,", "{")
    try:
        return name, float(value)
    except ValueError:
        return text, None


def lines(registry, generate=generate_latest):
    text = generate(registry).decode().splitlines()
    return [number(line) for line in text if "_created" not in line]


def own_lines(family):
    return [number(line) for text in family.lines() for line in text.splitlines()]


def samples(registry):
    return [line for line in lines(registry) if not line[0].startswith("#")]


@given(observed=st.lists(st.tuples(names, names, values)))
def test_a_histogram_renders_as_the_librarys_own(observed):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = Histogram(ours, facts("x_seconds"), BOUNDS)
    own = TheirHistogram("x_seconds", "About.", [*LABELS], buckets=BOUNDS, registry=theirs)
    for webhook, kind, value in observed:
        fast.labels(webhook, kind).observe(value)
        own.labels(webhook, kind).observe(value)
    assert lines(ours) == lines(theirs)
    assert lines(ours, generate_open) == lines(theirs, generate_open)
    assert own_lines(fast) == samples(theirs)


@given(counted=st.lists(st.tuples(names, names, values)))
def test_a_counter_and_a_gauge_render_as_the_librarys_own(counted):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = Counter(ours, facts("x_total")), Gauge(ours, facts("y_bytes"))
    own = (
        TheirCounter("x_total", "About.", [*LABELS], registry=theirs),
        TheirGauge("y_bytes", "About.", [*LABELS], registry=theirs),
    )
    for webhook, kind, value in counted:
        for counter, gauge in (fast, own):
            counter.labels(webhook, kind).inc(value)
            gauge.labels(webhook, kind).set(-value)
    assert lines(ours) == lines(theirs)
    assert lines(ours, generate_open) == lines(theirs, generate_open)
    assert [line for family in fast for line in own_lines(family)] == samples(theirs)


def test_a_metric_without_labels_is_there_from_the_beginning():
    registry = CollectorRegistry()
    counter, gauge = Counter(registry, facts("a_total", {})), Gauge(registry, facts("b", {}))
    histogram = Histogram(registry, facts("c_seconds", {}), BOUNDS)
    assert [*counter.lines(), *gauge.lines()] == ["a_total 0\n", "b 0\n"]
    counter.inc(2)
    gauge.set(1.5)
    histogram.observe(0.75)
    assert [*counter.lines(), *gauge.lines()] == ["a_total 2\n", "b 1.5\n"]
    assert 'c_seconds_bucket{le="1.0"} 1\n' in "".join(histogram.lines())
    assert "c_seconds_count 1\nc_seconds_sum 0.75\n" in "".join(histogram.lines())


def test_a_child_is_kept_and_asked_for_without_being_made():
    gauge = Gauge(CollectorRegistry(), facts("x"))
    assert gauge.peek("a", "b") is None
    assert gauge.items() == []
    assert gauge.labels("a", "b") is gauge.labels("a", "b") is gauge.peek("a", "b")
    gauge.labels("a", "b").set_function(lambda: 7)
    assert [(values, level.value) for values, level in gauge.items()] == [(("a", "b"), 7)]
    gauge.remove("a", "b")
    gauge.remove("a", "b")
    assert gauge.items() == []


def test_what_is_not_meant_is_refused():
    registry = CollectorRegistry()
    counter = Counter(registry, facts("x_total"))
    with pytest.raises(ValueError, match="never falls"):
        counter.labels("a", "b").inc(-1)
    with pytest.raises(ValueError, match="zip"):
        counter.labels("a")
    with pytest.raises(ValueError, match="zip"):
        counter.inc()
    with pytest.raises(ValueError, match="Duplicated"):
        Counter(registry, facts("x_total"))


def test_a_gauge_shows_one_more_for_as_long_as_it_lasts():
    gauge = Gauge(CollectorRegistry(), facts("x", {}))

    def hold():
        with gauge.labels().one_more():
            assert gauge.labels().value == 1
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        hold()
    assert gauge.labels().value == 0


def test_what_one_process_took_another_adds():
    here, there = (Histogram(CollectorRegistry(), facts("x_seconds"), BOUNDS) for _ in "12")
    for value in (0.0, 0.75, 40.0):
        there.labels("a", "b").observe(value)
    here.labels("a", "b").observe(0.75)
    there.labels("c", "d")
    taken = there.take()
    assert taken.keys() == {("a", "b")}
    assert there.take() == {}
    here.labels("a", "b").add(*taken["a", "b"])
    assert here.take()["a", "b"] == ([1, 0, 2, 0, 1], 41.5)


def test_no_increment_of_several_threads_is_lost():
    """What the module's docstring promises; a switch comes within far fewer increments."""
    counter = Counter(CollectorRegistry(), facts("x_total", {})).labels()
    cells = Cells(BOUNDS)

    def count():
        for _ in range(50_000):
            counter.inc()
            cells.observe(0.25)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 200_000
