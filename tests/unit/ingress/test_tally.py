"""What one process counts, another shows."""

import pytest

from router.ingress import tally
from router.ingress.frames import FrameError
from router.ingress.tally import Tally
from router.telemetry import metrics


@pytest.fixture(autouse=True)
def from_zero():
    metrics.WEBHOOK_REQUESTS.clear()
    metrics.WEBHOOK_DURATION.take()


def value(result):
    labels = {"webhook": "w", "result": result}
    return metrics.REGISTRY.get_sample_value("router_webhook_requests_total", labels)


def test_only_what_is_new_travels():
    mine = Tally()
    mine.take(0, 0.0)
    metrics.WEBHOOK_REQUESTS.labels("w", "accepted").inc(3)
    metrics.WEBHOOK_DURATION.labels("w").observe(0.02)
    first = mine.take(5, 0.5)
    assert first.counters == [(0, ["w", "accepted"], 3.0)]
    assert (first.connections, first.stall_s) == (5, 0.5)
    assert sum(first.durations["w"].counts) == 1
    metrics.WEBHOOK_REQUESTS.labels("w", "accepted").inc()
    second = mine.take(5, 0.0)
    assert second.counters == [(0, ["w", "accepted"], 1.0)]
    assert second.durations == {}


def test_it_adds_up():
    mine = Tally()
    mine.take(0, 0.0)
    metrics.WEBHOOK_REQUESTS.labels("w", "accepted").inc(2)
    metrics.WEBHOOK_DURATION.labels("w").observe(0.02)
    counts = mine.take(0, 0.0)
    tally.add(counts)
    tally.add(counts)
    assert value("accepted") == 6
    assert sum(metrics.WEBHOOK_DURATION.labels("w").take()[0]) == 2


def test_other_buckets_are_refused():
    counts = Tally().take(0, 0.0)
    counts.durations["w"] = tally.Cells([1], 1.0)
    with pytest.raises(FrameError):
        tally.add(counts)


@pytest.mark.parametrize(
    "counter", [(99, ["w"], 1.0), (0, ["w"], 1.0), (0, ["w", "accepted"], -1.0)]
)
def test_what_cannot_be_counted_is_refused(counter):
    counts = Tally().take(0, 0.0)
    counts.counters.append(counter)
    with pytest.raises(FrameError):
        tally.add(counts)
