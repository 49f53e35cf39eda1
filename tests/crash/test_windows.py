"""K2 with tumbling windows: the router dies at a named point twice, and the sums add up (P30)."""

import random
import signal
from pathlib import Path

import pytest

from tests.integration.bed import Bed, Ear, until
from tests.integration.window_bed import closed, heard, running, wait_for_all

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

KEYS = 6
POINTS = ["after_invoke", "before_commit", "after_commit", "after_settle"]
"""Between a reply with a state and the state that is stored, and just after it."""


@pytest.fixture
def bed(tmp_path: Path):
    ear = Ear()
    bed = Bed(tmp_path, ear)
    yield bed
    bed.close()
    ear.close()


@pytest.mark.parametrize("point", POINTS)
def test_k2_no_record_is_lost_from_a_state_or_counted_twice(bed, point: str) -> None:
    rng = random.Random(point)
    running(bed, BatchSize=5, TumblingWindowInSeconds=1, ParallelizationFactor=2)
    with bed.traffic(KEYS, pause_s=0.01) as traffic:
        until(lambda: heard(bed, "final"))
        bed.signal(signal.SIGKILL)
        bed.wait()
        for _ in range(2):
            bed.environment["ROUTER_CHAOS"] = f"{point}:{rng.randint(10, 120)}"
            bed.start()
            assert bed.wait(60) == -signal.SIGKILL, "it dies at the point"
        del bed.environment["ROUTER_CHAOS"]
        bed.start()
        ended = len(closed(bed))
        until(lambda: len(closed(bed)) > ended)
    wait_for_all(bed, traffic.accepted, unanswered=3 * KEYS)
    assert len(heard(bed, "final")) <= len(closed(bed)) + 3 * 2, "again only where a death hit it"
    assert bed.stop() == 0
