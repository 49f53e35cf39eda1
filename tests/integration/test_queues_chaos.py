"""A router that dies at each named point of its work on queues (K2)."""

import random

import pytest

from tests.integration.queue_bed import Side, send_all

POINTS = ("after_fetch", "before_invoke", "after_invoke", "before_settle", "after_settle")
GROUPS = 8
EACH = 30
IN_FLIGHT_MAX = 16 * 10
"""Slots of a router on a small machine, and messages of a batch."""


@pytest.mark.timeout(300)
def test_k2_d1_d5_d12_dying_at_every_point_loses_nothing_and_keeps_the_order(bed):
    side = Side(bed)
    queue = side.create("jobs.fifo", VisibilityTimeout=2)
    side.map(queue)
    sent = 0
    for point in POINTS:
        bed.stop()
        bed.environment["ROUTER_CHAOS"] = f"{point}:{random.Random(point).randint(3, 12)}"
        bed.start()
        numbers = range(sent, sent + EACH)
        before = sum(side.seen().values())
        # It may die while they are sent: what was not answered is sent once more.
        try:
            send_all(
                queue, [[{"g": f"g{group}", "n": n} for n in numbers] for group in range(GROUPS)]
            )
            assert bed.wait() == -9, point
        except OSError:
            assert bed.wait() == -9, point
        del bed.environment["ROUTER_CHAOS"]
        bed.start()
        send_all(queue, [[{"g": f"g{group}", "n": n} for n in numbers] for group in range(GROUPS)])
        queue.empties()
        sent += EACH
        assert set(side.seen()) == {
            (f"g{group}", n) for group in range(GROUPS) for n in range(sent)
        }
        assert sum(side.seen().values()) - before - GROUPS * EACH <= IN_FLIGHT_MAX
    for group, numbers in side.first_sights().items():
        assert numbers == sorted(numbers), group
