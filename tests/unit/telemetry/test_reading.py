"""Values of metrics, read without making any."""

from prometheus_client import CollectorRegistry

from router.telemetry import reading
from router.telemetry.cells import Counter, Facts, Gauge, Histogram


def test_values_are_read_and_nothing_is_made():
    registry = CollectorRegistry()
    counter = Counter(registry, Facts("c_total", "c", {"a": "", "b": ""}, {}))
    gauge = Gauge(registry, Facts("g", "g", {"a": ""}, {}))
    histogram = Histogram(registry, Facts("h", "h", {"a": ""}, {}), (1.0, 2.0))
    assert reading.total(counter, "x", "y") == 0
    assert reading.level(gauge, "x") == 0
    assert histogram.counts("x") == ()
    assert list(reading.totals(counter)) == []
    assert not registry.get_sample_value("c_total", {"a": "x", "b": "y"})
    counter.labels("x", "y").inc(3)
    gauge.labels("x").set_function(lambda: 7)
    gauge.labels("y").set(2)
    histogram.labels("x").observe(1.5)
    assert reading.total(counter, "x", "y") == 3
    assert (reading.level(gauge, "x"), reading.level(gauge, "y")) == (7, 2)
    assert histogram.counts("x") == (0, 1, 0)
    assert list(reading.totals(counter)) == [(("x", "y"), 3.0)]
