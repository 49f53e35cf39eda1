"""Benches must not rot: each runs at a tiny size. What they measure then says nothing.

Looked at are the shape of the result and honest counting, never a time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.lambda_peers.contenders import NODE_MODULES, PYTHON
from tests.bench.pipeline import bed
from tests.bench.sources.bed import PEERS
from tests.servers.base import unavailable

pytestmark = pytest.mark.timeout(400)
OF_RESULTS = pytest.mark.xdist_group("results")
"""They are made once, in one process."""

ROOT = Path(__file__).parents[2]
GROWTH = {name for name in bench.MODULES if name.startswith("GROW-")}
ON_SERVERS = {"G8", "G9", "G10", "PEER", "IDLE", "SLEEPER"}
BESIDE_PEERS = {"INVOKE", "COLD"}
CONTENDERS = {
    "INVOKE_16_ministack": "ministack",
    "INVOKE_16_printing": "ministack",
    "COLD": "emulator",
    "COLD_ministack": "ministack",
}
BESIDE = {"INVOKE", "INVOKE_16", "INVOKE_64", "INVOKE_64_memory", *CONTENDERS}
ELSEWHERE = GROWTH | ON_SERVERS | BESIDE_PEERS
NEEDS_GENERATOR = {"G0", "G11", "G14", "G15"} | GROWTH
HAS_GO = bed.find_go() is not None


def quick(goals, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--only", ",".join(goals)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results():
    return quick(sorted(set(bench.MODULES) - ELSEWHERE))


@OF_RESULTS
def test_every_goal_has_a_result_beside_its_baseline(results):
    assert {name.partition("_")[0] for name in results} == set(bench.MODULES) - ELSEWHERE
    for name, one in results.items():
        if name in NEEDS_GENERATOR and not HAS_GO:
            assert "Go" in one["error"]
            continue
        check_shape(one)
        # A difference and a stall may be nothing.
        assert one["ratio"] > 0 or name in {"G14", "G15", "L4", "NEIGHBOUR_stall"}


def check_shape(one):
    assert set(one) >= {"ratio", "goal", "ok", "load", "cores", "seconds"}
    assert isinstance(one["ok"], bool)


@OF_RESULTS
def test_g0_counts_on_both_sides_what_the_functions_got(results):
    if not HAS_GO:
        assert "error" in results["G0"]
        return
    one = results["G0"]
    assert one["handled"] == {"router": 800, "thin": 800}
    assert one["requests"] == 400
    assert one["router"]["mean_batch"] >= 1
    assert one["thin"]["mean_batch"] >= 1


@pytest.mark.parametrize(
    ("goals", "shown"),
    [
        (["G8", "G9"], {"G8", "G9"}),
        (["G10"], {"G10", "G10_rate"}),
        (["PEER"], {"PEER", "PEER_cpu", "PEER_keyed"}),
        (["IDLE"], {"IDLE", "IDLE_memory", "IDLE_queues", "IDLE_queues_memory"}),
        (["SLEEPER"], {"SLEEPER"}),
    ],
)
def test_benches_on_real_servers_count_every_record_on_each_side(goals, shown, kafka, elasticmq):
    """`Dishonest` would have failed them."""
    if not PEERS.exists():
        unavailable("the other consumers are not installed: make peers")
    found = quick(goals, BENCH_KAFKA=kafka.bootstrap, BENCH_ELASTICMQ=elasticmq.url)
    assert set(found) == shown
    for one in found.values():
        check_shape(one)


def test_contenders_are_invoked_side_by_side_or_said_to_be_missing():
    """`Dishonest` would have failed who answers anything else. The others are no part of the
    ordinary set-up."""
    found = quick(["INVOKE", "COLD"])
    if not HAS_GO:
        assert all("Go" in one["error"] for one in found.values())
        return
    assert set(found) == BESIDE
    is_here = {"ministack": PYTHON.exists(), "emulator": PYTHON.exists()}
    is_here["serverless-offline"] = (NODE_MODULES / "serverless-offline").exists()
    for name, one in found.items():
        if is_here[CONTENDERS.get(name, "serverless-offline")] or name == "INVOKE_64_memory":
            check_shape(one)
            assert one["ratio"] > 0
        else:
            assert "make peers" in one["error"]


@pytest.mark.parametrize("name", sorted(GROWTH))
def test_a_growth_bench_shows_both_ends(name):
    one = quick([name])[name]
    if not HAS_GO:
        assert "Go" in one["error"]
        return
    check_shape(one)
    assert min(*one["small"]["cpu_us"], *one["large"]["cpu_us"]) > 0
    if name == "GROW-MAPPINGS":
        assert one["mappings"] == {"small": 1, "middle": 3, "large": 10}
        assert one["large"]["mean_batch"] > 1
    if name == "GROW-WAITING":
        for shown in one["waiting"].values():
            assert min(shown["start_s"], shown["drain_mean_batch"], shown["trim_cpu_us"]) > 0


def test_a_side_that_loses_records_or_makes_them_up_is_found_out(monkeypatch, tmp_path):
    if not HAS_GO:
        with pytest.raises(bed.Unavailable):
            bed.load_generator()
        return
    with bed.thin(tmp_path / "thin") as server:
        collector = server.collector
        assert bed.drive(server, bed.Load(50, 4), "honest").mean_batch >= 1
        with monkeypatch.context() as patch:
            patch.setattr(bed, "SECRET", "another")
            with pytest.raises(bed.Dishonest, match=r"accepted 0.*'401': 50"):
                bed.drive(server, bed.Load(50, 4), "wrongly signed")
        read = collector._read

        def read_twice(link):
            read(link)
            collector.records += 50

        monkeypatch.setattr(collector, "_read", read_twice)
        with pytest.raises(bed.Dishonest):
            bed.drive(server, bed.Load(50, 4), "counted twice")


def test_only_known_goals_can_be_picked():
    assert bench.goals_in("g1, G4") == ["G1", "G4"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--only", "G99"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there are G0, G1" in done.stderr


def test_a_goal_is_missed_only_by_median_and_best_alike():
    assert bench.is_missed({"ok": False, "ok_best": False})
    assert bench.is_missed({"ok": False})
    assert not bench.is_missed({"ok": False, "ok_best": True})
    assert not bench.is_missed({"ok": True})
    assert not bench.is_missed({"error": "no Go"})


def test_a_metric_is_summed_over_its_labels():
    text = '# HELP a_total x\na_total{b="c d"} 2.0\na_total{b="e"} 3.0\na_total_created 9.0\n'
    assert bed.metric(text, "a_total") == 5.0
