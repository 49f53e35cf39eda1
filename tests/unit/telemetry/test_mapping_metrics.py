"""Section 12 of `event-source-mappings.md`: every metric has its place, in code and in words."""

import re
from pathlib import Path

from router.mapping.view import LaneView
from router.telemetry import metrics
from router.telemetry.mapping_metrics import MappingMetrics

ROOT = Path(__file__).resolve().parents[3]
TABLE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
CONTRACT = (ROOT / "docs" / "contracts" / "event-source-mappings.md").read_text("utf-8")


def value(name, **labels):
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_every_metric_of_the_contract_is_spoken_of():
    section = CONTRACT.partition("## 12 Metrics and logs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \|", section, re.MULTILINE)
    names = {name for row in rows for name in row.split(", ")} - {"Metric", "Level", "WARN", "INFO"}
    names |= {"IteratorAge", "OffsetLag", "DestinationDeliveryFailures", "OversizedRecordCount"}
    assert {"PolledEventCount", "MaxOffsetLag", "EventPollerThroughputInBytes"} <= names
    spoken = set(re.findall(r"[A-Z]\w+", TABLE))
    assert names - {"DEBUG"} <= spoken


def test_what_the_table_names_exists():
    known = {family.name for family in metrics.REGISTRY.collect()}
    for name in set(re.findall(r"router_\w+", TABLE)):
        assert name.removesuffix("_total") in known, name


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

    numbers.show([lane(4_000, 9_000), lane(7_000, 8_000), lane(None)], 10_000, is_in_trouble=False)
    assert shown() == (6, 2, 2, 0)
    numbers.show([lane(11_000, 12_000)], 10_000, is_in_trouble=True)  # the clock was set back
    assert shown() == (0, 1, 0, 1)
    numbers.show([], 10_000, is_in_trouble=False)
    assert shown() == (0, 0, 0, 0)
    numbers.remove()
    assert shown() == (None, None, None, None)
