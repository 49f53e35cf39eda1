"""Section 12 of `event-source-mappings.md`: what is counted of one mapping, and for how long."""

from router.mapping.view import LaneView
from router.telemetry import metrics
from router.telemetry.mapping_metrics import GONE_MAX, MappingMetrics


def value(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_what_only_some_sources_have_is_exported_once_used():
    numbers = MappingMetrics("lazy", "u", "f", "arn")
    assert value("router_mapping_poll_errors_total", mapping="lazy") == 0
    assert value("router_mapping_pollers", mapping="lazy") is None
    numbers.pollers.set(3)
    numbers.lag_max.set(7)
    numbers.committed.inc(5)
    assert value("router_mapping_pollers", mapping="lazy") == 3
    assert value("router_mapping_partition_lag_max_records", mapping="lazy") == 7
    numbers.remove()
    assert value("router_mapping_pollers", mapping="lazy") is None
    assert value("router_mapping_partition_lag_max_records", mapping="lazy") is None
    assert value("router_mapping_records_committed_total", mapping="lazy") == 5


def test_what_lanes_hold_and_which_are_stuck():
    numbers = MappingMetrics("held", "u", "f", "arn")

    def shown():
        names = ("oldest_record_age_seconds", "stuck_lanes", "stuck_seconds", "source_trouble")
        return tuple(value(f"router_mapping_{name}", mapping="held") for name in names)

    def lane(oldest_ms, failing_ms=None):
        return LaneView(
            shard="0", lane="0", state="waiting", records=1,
            oldest_arrival_ms=oldest_ms, failing_since_ms=failing_ms,
        )  # fmt: skip

    def show(*lanes, is_in_trouble=False, is_at_end=False):
        numbers.show(lanes, 10_000, is_in_trouble=is_in_trouble, is_at_end=is_at_end)

    show(lane(4_000, 9_000), lane(7_000, 8_000), lane(None))
    assert shown() == (6, 2, 2, 0)
    show(lane(11_000, 12_000), is_in_trouble=True)  # the clock was set back
    assert shown() == (0, 1, 0, 1)
    show()
    assert shown() == (0, 0, 0, 0)
    numbers.remove()
    assert shown() == (None, None, None, None)


def test_the_age_of_what_was_sent_last_is_over_when_nothing_is_left():
    """Else an alert on it would never be over where nothing comes any more."""
    numbers = MappingMetrics("aged", "u", "f", "arn")
    numbers.iterator_age.set(5)
    numbers.show((), 10_000, is_in_trouble=False, is_at_end=False)
    assert value("router_mapping_iterator_age_seconds", mapping="aged") == 5
    numbers.show((), 10_000, is_in_trouble=False, is_at_end=True)
    assert value("router_mapping_iterator_age_seconds", mapping="aged") == 0
    numbers.remove()


def test_a_name_that_is_taken_again_keeps_its_numbers():
    """A mapping is replaced: the old one may end after the new one has begun."""
    first = MappingMetrics("again", "u1", "f", "arn")
    first.polled.inc(2)
    second = MappingMetrics("again", "u2", "f", "arn")
    second.set_state("Enabled")
    second.lag.set(4)
    first.remove()
    second.polled.inc()
    assert value("router_mapping_lag_records", mapping="again") == 4
    assert value("router_mapping_state", mapping="again", state="Enabled") == 1
    assert value("router_mapping_records_polled_total", mapping="again") == 3
    second.remove()
    assert value("router_mapping_lag_records", mapping="again") is None


def test_however_many_come_and_go_their_series_do_not_add_up():
    def series():
        return sum(len(family.items()) for family in metrics.FAMILIES)

    for number in range(GONE_MAX):
        MappingMetrics(f"gone-{number}", "u", "f", "arn").remove()
    full = series()
    for number in range(GONE_MAX, 2 * GONE_MAX):
        numbers = MappingMetrics(f"gone-{number}", "u", "f", "arn")
        assert numbers.windows
        metrics.DESTINATION_FAILURES.labels(f"gone-{number}", "denied").inc()
        numbers.remove()
    many = series()
    for number in range(2 * GONE_MAX, 3 * GONE_MAX):
        MappingMetrics(f"gone-{number}", "u", "f", "arn").remove()
    assert series() == full < many
    last = f"gone-{3 * GONE_MAX - 1}"
    assert value("router_mapping_records_polled_total", mapping=last) == 0
