"""K1–K3 with real processes and honest counting; D1–D7, D10, D12, C1. K3 is also the ingress
process."""

from pathlib import Path

import pytest

from tests.crash import trials

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

POINTS = [
    "after_fetch", "before_invoke", "after_invoke", "before_settle", "after_settle",
    "before_discard", "after_discard", "before_commit", "after_commit",
]  # fmt: skip
CRASHES = ["kill", "die", "stop", "exit", "close"]


def check(report: trials.Report) -> None:
    print(report.line())
    it = report.verdict
    assert it.lost == set(), "D1"
    assert it.out_of_order == [], "D5"
    assert it.wrongly_discarded == set(), "only poison may be given up"
    assert it.poison_not_discarded == set(), "D7: every poison record is in the queue"
    assert it.discarded_twice == set(), "D7: no position is discarded twice"
    assert it.unexplained == set(), "D12: only what was in flight may repeat"
    assert report.start_s < 50, "C1: 10 s, see `make bench ONLY=C1`; more on a busy machine"


@pytest.mark.parametrize("seed", range(30))
async def test_k1_the_router_is_killed(tmp_path: Path, seed: int) -> None:
    report = await trials.killed_router(tmp_path, seed)
    assert report.kills[0].running_calls + len(report.kills[0].in_flight) >= 0
    check(report)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("point", POINTS)
async def test_k2_the_router_dies_at_a_named_point(tmp_path: Path, point: str, seed: int) -> None:
    check(await trials.killed_at_point(tmp_path, point, seed))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("how", CRASHES)
async def test_k3_environments_die(tmp_path: Path, how: str, seed: int) -> None:
    check(await trials.killed_workers(tmp_path, seed, how))


@pytest.mark.parametrize("seed", range(2))
async def test_k3_the_ingress_process_dies(tmp_path: Path, seed: int) -> None:
    report = await trials.killed_ingress(tmp_path, seed)
    check(report)
    assert report.verdict.accepted == trials.Size().posts
