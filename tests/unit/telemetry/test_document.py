"""`docs/metrics.md` is current, and every metric can be understood and cannot grow without end."""

import re
from pathlib import Path

import pytest

from router.telemetry import document, metrics
from router.telemetry.cells import Histogram

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
CONTRACTS = ROOT / "docs" / "contracts"
UNITS = (
    "seconds", "bytes", "records", "operations", "rows", "lanes", "pollers", "environments",
    "connections", "info", "ready", "state",
)  # fmt: skip
"""What a gauge's or a histogram's name ends in."""

OTHERWISE = {
    "router_mapping_invocations_in_flight", "router_mapping_source_trouble",
    "router_function_async_events_waiting", "router_concurrency_limit", "router_concurrency_used",
    "router_concurrency_unreserved_used", "router_concurrency_claimed",
    "router_config_last_reload_successful",
}  # fmt: skip
BOUNDED = {
    "mapping", "uuid", "function", "source", "webhook", "stream", "version", "destination",
    "service", "operation", "status", "python", "rung", "mechanisms", "result", "reason",
}  # fmt: skip
"""Labels whose values are not listed: names of what is set up here, or words of the code."""

families = pytest.mark.parametrize("family", metrics.FAMILIES, ids=lambda family: family.facts.name)


def test_the_page_is_current():
    assert document.document() == PAGE, "run `make docs`"


def test_every_metric_is_on_the_page():
    sections = [it for section in document.SECTIONS for it in document.families_of(section)]
    assert sorted(map(id, sections)) == sorted(map(id, metrics.FAMILIES))


@families
def test_names_and_labels_are_what_prometheus_asks_for(family):
    facts = family.facts
    assert re.fullmatch(r"router(_[a-z]+)+", facts.name)
    if family.kind == "counter":
        assert facts.name.endswith("_total")
    else:
        assert facts.name.endswith(UNITS) or facts.name in OTHERWISE
    assert facts.text.endswith((".", "requested"))
    assert facts.text[0].isupper() or facts.text[0].isdigit()
    for name, values in facts.labels.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert name in BOUNDED if isinstance(values, str) else len(set(values)) == len(values)
    if isinstance(family, Histogram):
        assert list(family.bounds) == sorted(set(family.bounds))
        assert 8 <= len(family.bounds) <= 17


def test_every_metric_of_the_contracts_is_spoken_of():
    """`event-source-mappings.md` 12, `functions-and-invocation.md` 11."""
    mappings = (CONTRACTS / "event-source-mappings.md").read_text("utf-8")
    section = mappings.partition("## 12 Metrics and logs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \|", section, re.MULTILINE)
    names = {name for row in rows for name in row.split(", ")} - {"Metric", "Level"}
    names = {name for name in names if not name.isupper()} | {"OversizedRecordCount"}
    assert {"PolledEventCount", "MaxOffsetLag", "EventPollerThroughputInBytes"} <= names
    functions = (CONTRACTS / "functions-and-invocation.md").read_text("utf-8")
    section = functions.partition("## 11. Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z][^|]*) \|", section, re.MULTILINE)
    names |= set(re.findall(r"\b[A-Z][a-z0-9]+[A-Z]\w+", " ".join(rows)))
    names |= {"Invocations", "Errors", "Throttles", "Duration"}
    assert {"UrlRequestCount", "AsyncEventAge", "DeadLetterErrors"} <= names
    # Of parts of AWS's own machines.
    names -= {"MemoryThrottles", "DiskThrottles", "ConcurrencyThrottles"}
    index = PAGE.partition("## By the name on AWS")[2]
    spoken = set(re.findall(r"^\| (\w+)", index, re.MULTILINE))
    assert names <= spoken


def test_all_that_other_pages_name_exists():
    known = {name for it in metrics.FAMILIES for name in (it.facts.name, it.family_name)}
    ends = "total|seconds|bytes|records|info|state|ready|rows|lanes|limit|used"
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(rf"`(router_[a-z_]+_(?:{ends}))\b", page.read_text("utf-8")):
            assert re.sub(r"_(bucket|count|sum)$", "", name) in known, (page.name, name)
