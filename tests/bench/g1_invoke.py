"""G1, G2: a warm `invoke()` of a 1 KB echo beside a blocking socket-pair ping-pong.

G1: least µs per round trip ≤ 2.0 × the ping-pong's. G2: the router's CPU per round trip ≤ 3 ×.
The call is the one a mapping driver makes, through the dispatcher, with timeouts, metrics, log
capture and isolation on. The ping-pong uses the same worker loop and codec in a fresh interpreter.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from router.dispatch.dispatcher import Dispatcher
from tests.bench import workers_bed as bed

ROUNDS = 7
CALLS = 1_500
GOAL_TIME = 2.0
GOAL_CPU = 3.0


def run(*, is_quick: bool = False) -> dict:
    """Both goals, measured in one run."""
    sizes = (1, 20) if is_quick else (ROUNDS, CALLS)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(measure(*sizes))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(*sizes))


async def measure(rounds: int, calls: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        code = bed.write_code(Path(folder))
        version = bed.function(code)
        pool, _, isolation = await bed.open_pool(Path(folder), boto3=False)
        dispatcher = Dispatcher(pool, 100)
        dispatcher.register("mapping")
        fresh = bed.FreshWorker(version)
        ours: list[tuple[float, float]] = []
        base: list[tuple[float, float]] = []
        try:
            for _ in range(rounds + 1):
                base.append(ping_pong(fresh, version, calls))
                ours.append(await invokes(dispatcher, version, calls))
        finally:
            fresh.close()
            await pool.close(0)
    ours, base = ours[1:], base[1:]  # the first round warms up
    time_ratio = min(t for t, _ in ours) / min(t for t, _ in base)
    cpu_ratio = min(c for _, c in ours) / min(c for _, c in base)
    median = statistics.median(t for t, _ in ours) / statistics.median(t for t, _ in base)
    detail = {
        "us": round(min(t for t, _ in ours), 1),
        "baseline_us": round(min(t for t, _ in base), 1),
        "cpu_us": round(min(c for _, c in ours), 1),
        "baseline_cpu_us": round(min(c for _, c in base), 1),
        "median_ratio": round(median, 2),
        "is_steady": max(t for t, _ in base) <= 2 * min(t for t, _ in base),
        "calls": rounds * calls,
        "isolation": isolation,
        **bed.machine(),
    }
    return {
        "G1": {"ratio": round(time_ratio, 3), "goal": GOAL_TIME, "ok": time_ratio <= GOAL_TIME}
        | detail,
        "G2": {"ratio": round(cpu_ratio, 3), "goal": GOAL_CPU, "ok": cpu_ratio <= GOAL_CPU},
    }


def ping_pong(
    fresh: bed.FreshWorker, version: bed.FunctionVersion, calls: int
) -> tuple[float, float]:
    """µs and parent CPU µs per round trip."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        assert fresh.call(version, bed.PAYLOAD)
    return (
        (time.perf_counter() - began) / calls * 1e6,
        (time.process_time() - cpu) / calls * 1e6,
    )


async def invokes(
    dispatcher: Dispatcher, version: bed.FunctionVersion, calls: int
) -> tuple[float, float]:
    """µs and router CPU µs per invocation."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        reply = await dispatcher.invoke_for("mapping", bed.request(version))
        assert reply.error_type is None
    return (
        (time.perf_counter() - began) / calls * 1e6,
        (time.process_time() - cpu) / calls * 1e6,
    )


if __name__ == "__main__":
    print(json.dumps(run()))
