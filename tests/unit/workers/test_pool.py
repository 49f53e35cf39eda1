"""The pool: reuse, cold starts, timeouts, resets, limits, the end."""

import asyncio
import json
import os
import signal
import time

import pytest

from router.model.errors import NotInvoked
from router.telemetry import metrics
from router.workers import zygote_client
from router.workers.pool import PoolSettings
from router.workers.zygote_client import Zygote
from tests.patience import PATIENCE_S, until

from .conftest import Bed

ECHO = "def handler(event, context):\n    return event\n"
PID = (
    "import os\n"
    "count = 0\n"
    "def handler(event, context):\n"
    "    global count\n"
    "    count += 1\n"
    "    return [os.getpid(), count]\n"
)
SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"
NOTE = "/running"
LONG = f"""
import os, time
def handler(event, context):
    if event:
        open((os.environ.get("TMPDIR") or "/tmp") + "{NOTE}", "w").close()
        time.sleep(500)
    return event
"""


async def runs(bed: Bed) -> int:
    """Wait until `LONG` runs; its process."""
    await until(lambda: any(os.path.exists(env.tmp_path + NOTE) for env in bed.pool._living))
    return bed.pids[0]


async def test_an_event_goes_in_and_comes_out_as_it_is(bed):
    reply = await bed.run(ECHO, '{"a": [1, "ä", 1.50]}'.encode())
    assert json.loads(reply.payload) == {"a": [1, "ä", 1.5]}
    assert reply.error_type is None
    assert reply.init_ms is not None
    assert reply.memory_mb_max > 0


async def test_a_warm_environment_is_used_again_and_keeps_its_globals(bed):
    function = bed.function(PID)
    first = await bed.invoke(function)
    second = await bed.invoke(function)
    assert json.loads(second.payload) == [json.loads(first.payload)[0], 2]
    assert second.init_ms is None


async def test_the_environment_used_last_is_used_first(bed):
    function = bed.function(SLEEP)
    await asyncio.gather(bed.invoke(function, b"0.1"), bed.invoke(function, b"0.2"))
    assert len(bed.pids) == 2
    last = next(iter(bed.pool._idle.values()))[-1]
    await bed.invoke(function, b"0")
    assert next(iter(bed.pool._idle.values()))[-1] is last


async def test_an_empty_payload_is_an_empty_object(bed):
    assert (await bed.run(ECHO, b"")).payload == b"{}"


async def test_a_six_megabyte_event_and_reply(bed):
    payload = json.dumps("x" * (6 * 1024 * 1024 - 2)).encode()
    reply = await bed.run(ECHO, payload)
    assert reply.payload == payload


async def test_a_timeout_ends_the_environment_but_keeps_tmp(bed):
    source = """
import os, time
seen = []
def handler(event, context):
    seen.append(1)
    if event == "hang":
        open((os.environ.get("TMPDIR") or "/tmp") + "/note", "w").write("kept")
        time.sleep(60)
    return [len(seen), open((os.environ.get("TMPDIR") or "/tmp") + "/note").read()]
"""
    function = bed.function(source, timeout_ms=2_000)
    began = time.monotonic()
    reply = await bed.invoke(function, b'"hang"')
    assert 1.9 < time.monotonic() - began < 40
    assert reply.error_type == "Sandbox.Timedout"
    assert json.loads(reply.payload)["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert b"\tStatus: timeout" in reply.log_tail
    assert bed.pids == []
    assert json.loads((await bed.invoke(function)).payload) == [1, "kept"]


async def test_a_shorter_call_is_not_bound_by_a_longer_timer(bed):
    function = bed.function(SLEEP, timeout_ms=3_000)
    for _ in range(4):
        assert (await bed.invoke(function, b"0.8")).error_type is None
    assert (await bed.invoke(function, b"60")).error_type == "Sandbox.Timedout"


async def test_what_was_answered_in_time_is_no_timeout_however_late_it_is_read(bed):
    """A process that was stopped (SIGSTOP, a suspended machine) reads late; no attempt is lost."""
    function = bed.function(SLEEP, timeout_ms=2_000)
    await bed.invoke(function, b"0")
    call = asyncio.ensure_future(bed.invoke(function, b"0.1"))
    await asyncio.sleep(0.05)
    time.sleep(2.5)
    reply = await call
    assert reply.error_type is None
    assert reply.payload == b"0.1"
    call = asyncio.ensure_future(bed.invoke(function, b"60"))
    await asyncio.sleep(0.05)
    time.sleep(2.5)
    began = time.monotonic()
    assert (await call).error_type == "Sandbox.Timedout"
    assert time.monotonic() - began < 40


async def test_a_handler_that_ignores_sigterm_is_killed_all_the_same(bed):
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    reply = await bed.run(source, b"60", timeout_ms=300)
    assert reply.error_type == "Sandbox.Timedout"


async def test_k3_a_stopped_environment_times_out(bed):
    source = (
        "import os, signal\n"
        "def handler(event, context):\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    reply = await bed.run(source, timeout_ms=400)
    assert reply.error_type == "Sandbox.Timedout"
    await until(lambda: bed.pids == [])


async def test_k3_a_killed_environment_fails_its_invocation_at_once(bed):
    function = bed.function(LONG, timeout_ms=600_000)
    running = asyncio.create_task(bed.invoke(function, b"1"))
    os.kill(await runs(bed), signal.SIGKILL)
    reply = await asyncio.wait_for(running, PATIENCE_S)
    assert reply.error_type == "Runtime.ExitError"
    assert b"signal: killed" in reply.payload
    assert (await bed.invoke(function, b"0")).error_type is None


async def test_an_idle_environment_that_dies_is_forgotten(bed):
    function = bed.function(PID)
    await bed.invoke(function)
    os.kill(bed.pids[0], signal.SIGKILL)
    await until(lambda: bed.pids == [])
    assert json.loads((await bed.invoke(function)).payload)[1] == 1


async def test_idle_environments_end(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(idle_s=0.2))
    try:
        await bed.run(ECHO)
        (tmp,) = [env.tmp_path for env in bed.pool._living]
        assert os.path.isdir(tmp)
        await until(lambda: bed.pids == [] and not os.path.exists(tmp))
    finally:
        await bed.pool.close(0)


async def test_a_full_pool_ends_the_longest_idle_of_another_function(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(environments_max=2))
    try:
        functions = [bed.function(PID, name=name) for name in ("one", "two", "three")]
        for function in functions:
            assert (await bed.invoke(function)).error_type is None
        names = sorted(function.name for function in bed.pool._living.values())
        await until(lambda: len(bed.pids) == 2)
        names = sorted(function.name for function in bed.pool._living.values())
        assert names == ["three", "two"]
    finally:
        await bed.pool.close(0)


async def test_as_many_cold_starts_at_a_time_as_the_pool_may_hold(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(environments_max=4))
    try:
        function = bed.function(SLEEP)
        replies = await asyncio.gather(*(bed.invoke(function, b"0.2") for _ in range(4)))
        assert [reply.payload for reply in replies] == [b"0.2"] * 4
        assert len(bed.pids) == 4
    finally:
        await bed.pool.close(0)


async def test_a_pool_that_is_busy_throttles(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(environments_max=1))
    try:
        function = bed.function(LONG)
        running = asyncio.create_task(bed.invoke(function, b"1"))
        await runs(bed)
        with pytest.raises(NotInvoked) as raised:
            await bed.invoke(function, b"0")
        assert raised.value.reason == "throttled"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: bed.pids == [])
        assert (await bed.invoke(function, b"0")).error_type is None
    finally:
        await bed.pool.close(0)


async def test_retire_lets_the_running_one_finish_on_the_old_code(bed):
    function = bed.function(SLEEP)
    running = asyncio.create_task(bed.invoke(function, b"0.3"))
    await until(lambda: bed.pids and bed.pids[0])
    bed.pool.retire("f")
    assert (await running).payload == b"0.3"
    await until(lambda: bed.pids == [])


async def test_retire_leaves_what_is_current(bed):
    """A published version goes on in its environments when the function changes."""
    old, published = bed.function(PID), bed.function(PID, version="1")
    await bed.invoke(old)
    (pid,) = bed.pids
    await bed.invoke(published)
    (kept,) = set(bed.pids) - {pid}
    bed.pool.retire("f", [bed.function(PID, revision="2"), published])
    await until(lambda: bed.pids == [kept])
    await bed.invoke(published)
    assert bed.pids == [kept]


async def test_published_versions_are_counted_apart_as_long_as_they_are_there(bed):
    def counted():
        return {
            (sample.labels["version"], sample.labels["result"]): sample.value
            for family in metrics.VERSION_INVOCATIONS.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["function"] == "counted"
            if sample.value
        }

    one, two, latest = (
        bed.function(PID, "counted", version=version) for version in ("1", "2", "$LATEST")
    )
    for function in (one, two, two, latest):
        await bed.invoke(function)
    assert counted() == {("1", "ok"): 1, ("2", "ok"): 2}
    bed.pool.retire("counted", [two])
    assert counted() == {("2", "ok"): 2}
    bed.pool.retire("counted")
    assert counted() == {}


async def test_a_new_revision_ends_the_idle_environments_of_the_old(bed):
    old = bed.function(PID)
    await bed.invoke(old)
    (pid,) = bed.pids
    new = bed.function(PID, revision="2")
    await bed.invoke(new)
    await until(lambda: len(bed.pids) == 1)
    assert bed.pids != [pid]


async def test_a_zygote_that_dies_fails_its_invocations_once_and_comes_back(bed):
    function = bed.function(LONG, timeout_ms=600_000)
    running = asyncio.create_task(bed.invoke(function, b"1"))
    pid = await runs(bed)
    (zygote,) = bed.launcher.zygotes.known.values()
    os.kill(zygote.pid, signal.SIGKILL)
    reply = await asyncio.wait_for(running, PATIENCE_S)
    assert reply.error_type == "Runtime.ExitError"
    await until(lambda: is_gone(pid))
    assert (await bed.invoke(function, b"0")).error_type is None
    (again,) = bed.launcher.zygotes.known.values()
    assert again is not zygote
    assert again.is_alive


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_cancelled_invocation_leaves_no_process_running(bed):
    function = bed.function(LONG, timeout_ms=600_000)
    running = asyncio.create_task(bed.invoke(function, b"1"))
    await runs(bed)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: bed.pids == [])


async def test_code_that_is_gone_is_not_invoked(bed):
    function = bed.function(ECHO, code_path="/nonexistent/code")
    with pytest.raises(NotInvoked) as raised:
        await bed.invoke(function)
    assert raised.value.reason == "function_missing"


async def test_what_cannot_be_run_is_refused_by_name(bed):
    with pytest.raises(NotInvoked) as raised:
        await bed.run(ECHO, runtime="nodejs22.x")
    assert raised.value.reason == "start_failed"
    assert "runtime nodejs22.x has no interpreter" in str(raised.value)


async def test_s1_close_waits_for_running_invocations_then_refuses(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    function = bed.function(SLEEP)
    running = asyncio.create_task(bed.invoke(function, b"0.3"))
    await until(lambda: bed.pids and bed.pids[0])
    await bed.pool.close(PATIENCE_S)
    assert (await running).payload == b"0.3"
    with pytest.raises(NotInvoked) as raised:
        await bed.invoke(function, b"0")
    assert raised.value.reason == "stopping"


async def test_s2_close_without_drain_kills_and_leaves_nothing(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    function = bed.function(LONG, timeout_ms=600_000)
    running = asyncio.create_task(bed.invoke(function, b"1"))
    await runs(bed)
    pids = [*bed.pids, *(zygote.pid for zygote in bed.launcher.zygotes.known.values())]
    await bed.pool.close(0)
    assert (await running).error_type == "Runtime.ExitError"
    await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    assert not (data / "environments").exists()


async def test_what_a_crashed_router_left_is_removed(data, facts):
    (data / "environments" / "old").mkdir(parents=True)
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    try:
        assert list((data / "environments").iterdir()) == []
    finally:
        await bed.pool.close(0)


async def test_metrics_count_cold_starts_and_results(bed):
    def value(metric, *labels):
        return metric.labels(*labels).value

    def environments():
        return {
            sample.labels["state"]: sample.value
            for family in metrics.ENVIRONMENTS.collect()
            for sample in family.samples
            if sample.labels["function"] == "metered"
        }

    function = bed.function("def handler(event, context):\n    return 1 / event\n", name="metered")
    first = asyncio.create_task(bed.invoke(function, b"1"))
    seen = []
    while not first.done():
        seen.append(environments())
        await asyncio.sleep(0)
    await first
    assert {"starting": 1, "busy": 0, "idle": 0} in seen
    assert {"starting": 0, "busy": 1, "idle": 0} in seen
    await bed.invoke(function, b"0")
    assert value(metrics.COLD_STARTS, "metered") == 1
    assert value(metrics.INVOCATIONS, "metered", "ok") == 1
    assert value(metrics.INVOCATIONS, "metered", "error") == 1
    assert environments() == {"starting": 0, "busy": 0, "idle": 1}


async def test_a_fork_that_is_answered_is_none_that_is_stuck_however_late_it_is_heard_of(
    monkeypatch,
):
    """A machine that stood still: the answer and the end of the wait for it come together."""
    monkeypatch.setattr(zygote_client, "SPAWN_TIMEOUT_S", 0.05)
    loop = asyncio.get_running_loop()
    forking = loop.create_future()

    def stand_still():
        time.sleep(0.2)
        forking.set_result(7)

    loop.call_soon(stand_still)
    assert await Zygote("python3").forked(forking) == 7


async def test_zygotes_start_with_an_empty_environment(bed, monkeypatch):
    monkeypatch.setenv("SECRET_CANARY", "canary-1")
    zygote = Zygote(next(iter(bed.launcher.zygotes.known))[0])
    await zygote.start(bed.launcher._planner.host())
    try:
        with open(f"/proc/{zygote.pid}/environ", "rb") as file:
            assert file.read() == b""
    finally:
        await zygote.stop()
