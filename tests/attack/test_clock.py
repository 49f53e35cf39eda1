"""A wall clock that is set while the router runs (T1)."""

import json
import time

import pytest

from tests.attack.attacks import LONG, pace
from tests.attack.faults import Clock
from tests.attack.site import Site
from tests.integration.bed import (
    call,
    function,
    mapping,
    queue,
    signed,
    template,
    to_queue,
    until,
    webhook,
)

RETENTION_ROUND_S = 31.0
"""The router removes what is past its retention every thirty seconds: waited for in `make attack`,
and in the tests of `Maintenance` by a clock that is given."""

HOOK = webhook(shards=2).replace(
    "      Shards: 2\n",
    "      Shards: 2\n      Deduplicate: {Key: header.X-GitHub-Delivery, WindowSeconds: 3600}\n",
)
KEPT = webhook("Kept", "/kept") + "      RetentionSeconds: 3600\n"


@pytest.fixture
def site(bed, tmp_path):
    site = Site(bed, Clock(tmp_path / "clock"))
    yield site
    site.close()


def delivered(site: Site, delivery: str) -> str:
    """Post with a delivery id; the event's id."""
    body = json.dumps({"key": delivery, "n": 0}).encode()
    headers = signed(body) | {"X-GitHub-Delivery": delivery}
    reply = call(site.bed.addresses["ingress"], "/in", body, headers)
    assert reply.status == 202
    return reply.json["id"]


def visible(site: Site) -> int:
    return site.bed.told("queues", "peek")[0]["Visible"]


@pytest.mark.timeout(300)
def test_a_clock_that_is_set_a_day_or_an_hour_either_way(site):
    """Nothing is lost, late, out of order or deleted before its time; and the way back the same."""
    clock, bed = site.conditions[0], site.bed
    started = time.monotonic()
    site.start(
        text=template(
            HOOK,
            KEPT,
            function(),
            queue(),
            mapping(MaximumRetryAttempts=1, BisectBatchOnFunctionError=True, **to_queue()),
            mapping("Later", "Kept", Enabled=False),
        )
    )
    for n in range(20):
        assert bed.post("kept", n, "/kept").status == 202
    others = {("kept", n) for n in range(20)}
    held_up = 0
    for jumps, hours in enumerate((24, -24, 1, -1)):
        name = f"twice{hours}"
        first = delivered(site, name)
        with site.under(f"clock set by {hours:+d} h, and back", 1) as seen:
            clock.set(hours)
            until(
                lambda seen=jumps: len(bed.lines("clock_jumped")) == 2 * seen + 1, what="its line"
            )
            assert bed.post("poison", jumps, poison=True).status == 202
            if hours < 0:  # a window of an hour ends with an hour's jump, and not before
                assert delivered(site, name) == first
            until(lambda seen=jumps: visible(site) == seen + 1, what="the discard")
            if hours == 24 and pace() is LONG:
                time.sleep(max(0.0, started + RETENTION_ROUND_S - time.monotonic()))
                seen.notes.append("a round of retention")
            clock.set(0)
            until(
                lambda seen=jumps: len(bed.lines("clock_jumped")) == 2 * seen + 2, what="its line"
            )
            time.sleep(0.5)
        assert seen.answers.keys() == {202}, seen.answers
        held_up += seen.is_held_up
        others |= {(name, 0), ("poison", jumps)}
    assert held_up <= 2, "what other processes do to a machine is not done at every jump"
    assert bed.metric("router_clock_jumps_total") == 8
    assert bed.metric("router_stream_records_expired_unhandled_total") == 0
    assert bed.cli("mappings", "enable", "Later").returncode == 0
    until(lambda: [n for key, n in bed.ear.handled() if key == "kept"] == list(range(20)))
    site.assert_nothing_lost(others)
