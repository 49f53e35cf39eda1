"""SIGTERM, a second one, the deadline, `kill -9`: nothing lost, nobody left (S1, S2, C1)."""

import os
import signal
import threading
import time

import pytest

from tests.integration.bed import (
    TELLING,
    WAIT_S,
    assert_in_order,
    call,
    function,
    is_alive,
    mapping,
    template,
    until,
    webhook,
)

HOLD_S = 1.0


def loaded(bed, timeout: int = 60, **environment: str):
    bed.write(
        template(
            webhook(shards=2),
            function(timeout=timeout),
            mapping(BatchSize=10, ParallelizationFactor=4),
        )
    )
    bed.code()
    bed.environment |= environment
    bed.start()
    return bed


def assert_gone(pids: list[int]) -> None:
    until(lambda: not any(map(is_alive, pids)), WAIT_S, "the end of every process below the router")


def test_s1_under_load_a_stop_finishes_what_runs_and_repeats_nothing(bed):
    loaded(bed)
    with bed.traffic(keys=6, pause_s=0.002) as traffic:
        until(lambda: len(bed.ear.handled()) > 100)
        # From now on every batch is held, so that some surely run until all has been looked at.
        is_held, is_seen = threading.Event(), threading.Event()
        bed.ear.answer = lambda _facts: is_held.set() or (is_seen.wait(WAIT_S) and "ok")
        assert is_held.wait(WAIT_S)
        family = bed.family()
        assert family
        bed.signal(signal.SIGTERM)
        ready = until(
            lambda: (reply := call(bed.addresses["ops"], "/ready")).status == 503 and reply,
            WAIT_S,
            "/ready 503",
        )
        assert "draining" in ready.json["reasons"]
        assert call(bed.addresses["ops"], "/live").status == 200
        refused = bed.post("late", 0)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        is_seen.set()
        assert bed.wait() == 0
        traffic.is_over.set()
    assert_gone(family)
    assert not (bed.data / "address.json").exists()
    heard = list(bed.ear.heard)
    begun = {facts["call"] for facts in heard if facts["what"] == "record"}
    assert begun == {facts["call"] for facts in heard if facts["what"] == "end"}, "a cut invocation"

    bed.ear.answer = lambda _facts: "ok"
    bed.start()
    until(lambda: set(traffic.accepted) <= set(bed.ear.handled()), what="every record handled")
    seen = bed.ear.records()
    assert len(seen) == len(set(seen)), "a clean stop repeated a record"
    assert_in_order(seen)
    assert bed.stop() == 0


@pytest.mark.parametrize("how", ["second signal", "deadline"])
def test_s2_a_handler_that_hangs_does_not_hold_up_a_stop_for_ever(bed, how):
    loaded(bed, timeout=60, ROUTER_DRAIN_S="1" if how == "deadline" else "60")
    bed.ear.answer = lambda facts: time.sleep(120) or "ok"
    for n in range(5):
        assert bed.post("a", n).status == 202
    until(bed.ear.records)
    family = bed.family()
    bed.signal(signal.SIGTERM)
    if how == "second signal":
        until(lambda: call(bed.addresses["ops"], "/ready").status == 503)
        bed.signal(signal.SIGTERM)
    began = time.monotonic()
    assert bed.wait() == 0
    assert time.monotonic() - began < 50
    assert_gone(family)

    bed.ear.answer = lambda _facts: "ok"
    bed.start()
    until(lambda: {n for _, n in bed.ear.handled()} == set(range(5)), what="nothing lost")
    assert_in_order(bed.ear.records())


def test_ctrl_c_reaches_the_whole_group_and_still_stops_cleanly(bed):
    """A terminal sends SIGINT to every process in the foreground."""
    loaded(bed)
    bed.ear.answer = lambda facts: time.sleep(0.3) or "ok"
    for n in range(3):
        assert bed.post("a", n).status == 202
    until(bed.ear.records)
    os.killpg(bed.process.pid, signal.SIGINT)
    assert bed.wait() == 0
    heard = list(bed.ear.heard)
    begun = {facts["call"] for facts in heard if facts["what"] == "record"}
    assert begun == {facts["call"] for facts in heard if facts["what"] == "end"}
    bed.ear.answer = lambda _facts: "ok"
    bed.start()
    until(lambda: len(bed.ear.handled()) == 3)
    assert sorted(bed.ear.records()) == [("a", 0), ("a", 1), ("a", 2)]


def test_a_stop_while_it_starts_leaves_nothing(bed):
    loaded(bed)
    assert bed.stop() == 0
    for delay_s in (0.1, 0.4, 0.8):
        import subprocess

        process = subprocess.Popen(
            bed.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=bed.environ(), cwd=bed.folder,
        )  # fmt: skip
        time.sleep(delay_s)
        process.terminate()
        assert process.wait(WAIT_S) in {0, -signal.SIGTERM}
    bed.start()
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])


PARENT = TELLING.replace("def handler", "import subprocess\n\n\ndef handler").replace(
    "    for record",
    '    child = subprocess.Popen(["sleep", "300"], start_new_session=True)\n'
    '    tell(what="child", child=os.popen("cat /proc/self/stat").read())\n    for record',
)


def test_after_kill_9_function_processes_are_gone_and_their_children_after_the_next_start(bed):
    bed.write(template(webhook(), function(timeout=60), mapping()))
    bed.code(PARENT)
    bed.start()
    assert bed.post("a", 0).status == 202
    until(lambda: bed.ear.handled() == [("a", 0)])
    family = bed.family()
    sleepers = [pid for pid in family if _comm(pid) == "sleep"]
    assert sleepers, "the handler's own child is below the router"
    functions = [pid for pid in family if pid not in sleepers]
    bed.signal(signal.SIGKILL)
    bed.wait()
    assert_gone(functions)
    bed.start()
    assert_gone(sleepers)
    assert bed.post("a", 1).status == 202
    until(lambda: ("a", 1) in bed.ear.handled())


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""
