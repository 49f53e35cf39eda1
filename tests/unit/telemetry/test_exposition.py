"""What a scrape is answered: a text every parser reads, made without holding up the loop (G15)."""

import asyncio
import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from router.telemetry import exposition, metrics
from router.telemetry.cells import Count
from router.telemetry.exposition import expose, form_of
from router.telemetry.mapping_metrics import MappingMetrics
from router.telemetry.slices import Slices

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus 2 and 3 ask for."""


def headers_of(made):
    return dict(made.headers)


@pytest.fixture
def some():
    numbers = MappingMetrics('odd "name"', "u-u-i-d", "f", "arn:aws:sqs:us-east-1:0:q")
    numbers.polled.inc(3)
    numbers.accept_to_handled.observe(0.2)
    numbers.set_state("Enabled")
    yield numbers
    numbers.remove()


async def test_plain_text_is_what_the_registry_holds(some):
    made = await expose(form_of("", ""))
    assert headers_of(made)["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in headers_of(made)
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in plain_families(made.body.decode())
        for sample in family.samples
    }
    named = {"mapping": 'odd "name"'}
    assert found["router_mapping_records_polled_total", *named.items()] == 3
    kept = {
        (sample.name, *sorted(sample.labels.items()))
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
    }
    assert kept <= found.keys()
    others = {name for name, *_labels in found.keys() - kept}
    assert others
    assert all(name.startswith("process_") for name in others)


async def test_openmetrics_when_prometheus_asks_for_it(some):
    made = await expose(form_of(PROMETHEUS, "gzip"))
    content_type = headers_of(made)["content-type"]
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert headers_of(made)["content-encoding"] == "gzip"
    text = gzip.decompress(made.body).decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    families = {family.name: family for family in open_families(text)}
    assert families["router_mapping_records_polled"].type == "counter"
    assert families["router_mapping_accept_to_handled_seconds"].unit == "seconds"
    assert families["process_resident_memory_bytes"].samples
    assert {family.family_name for family in metrics.FAMILIES} <= families.keys()


@pytest.mark.parametrize(
    ("accept", "encoding", "is_open", "is_gzip"),
    [
        ("", "", False, False),
        ("*/*", "identity", False, False),
        ("text/html", "br, gzip;q=1.0", False, True),
        ("text/plain;version=0.0.4", "gzip", False, True),
        ("application/openmetrics-text", "", True, False),
        ("application/openmetrics-text;version=0.0.1", "", False, False),
    ],
)
def test_what_is_asked_for(accept, encoding, is_open, is_gzip):
    form = form_of(accept, encoding)
    assert (form.is_open, form.is_gzip) == (is_open, is_gzip)


async def test_g15_a_long_rendering_gives_way_again_and_again(monkeypatch):
    """However long it is; the rests are longer than the work."""
    monkeypatch.setattr("router.telemetry.slices.SLICE_S", 0.0)
    monkeypatch.setattr(exposition, "LINES_A_LOOK", 1)
    turns = 0

    async def bystander():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    standing = asyncio.create_task(bystander())
    await expose(form_of("", ""))
    standing.cancel()
    assert turns > len(metrics.FAMILIES)


async def test_what_comes_and_goes_meanwhile_breaks_nothing(monkeypatch):
    monkeypatch.setattr("router.telemetry.slices.SLICE_S", 0.0)
    monkeypatch.setattr(exposition, "LINES_A_LOOK", 1)
    before = [MappingMetrics(f"here-{n}", f"u{n}", "f", "s") for n in range(20)]
    making = asyncio.create_task(expose(form_of(PROMETHEUS, "")))
    after: list[MappingMetrics] = []
    for number in range(20):
        after.append(MappingMetrics(f"there-{number}", "u", "f", "s"))
        before.pop().remove()
        for _ in range(50):  # so that it is at another metric each time
            await asyncio.sleep(0)
    assert list(open_families((await making).body.decode()))
    for numbers in after:
        numbers.remove()


async def test_time_of_the_loop_is_counted_without_the_rests():
    slices = Slices()
    before = metrics.SCRAPE_DURATION.labels().counts
    await slices.pause()
    await expose(form_of("", ""))
    assert sum(metrics.SCRAPE_DURATION.labels().counts) == sum(before) + 1
    assert isinstance(metrics.RECORDS_POLLED.labels("m"), Count)
