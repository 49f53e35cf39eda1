"""G5: memory of 50 forked environments beside fresh ones, as PSS (shared pages shared out).

Goals: PSS per environment ≤ 0.45 × a fresh worker's; with boto3 preloaded ≤ 0.3 ×.
"""

import asyncio
import json
import re
import statistics
import tempfile
from pathlib import Path

from tests.bench import workers_bed as bed

ENVIRONMENTS = 50
FRESH = 4
GOAL = 0.45
GOAL_BOTO3 = 0.3


def run(*, is_quick: bool = False) -> dict:
    """Both goals."""
    return asyncio.run(measure(*((3, 1) if is_quick else (ENVIRONMENTS, FRESH))))


async def measure(environments: int, fresh: int) -> dict:
    results = {}
    for name, code, goal in (
        ("G5", "code", GOAL),
        ("G5_boto3", "boto3_code", GOAL_BOTO3),
    ):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = await one(Path(folder), code, goal, environments, fresh)
    return results


async def one(folder: Path, name: str, goal: float, environments: int, fresh_count: int) -> dict:
    code = bed.write_code(folder).with_name(name)
    pool, runtime, isolation = await bed.open_pool(folder, boto3=True)
    version = bed.function(code)
    fresh = []
    try:
        for _ in range(fresh_count):
            worker = bed.FreshWorker(version, runtime.path)
            fresh.append(worker)
            worker.call(version, bed.PAYLOAD)
        base = statistics.median(pss_kb(worker.process.pid) for worker in fresh)
        for worker in fresh:
            worker.close()
        fresh.clear()
        await asyncio.gather(*(pool.invoke(bed.request(version)) for _ in range(environments)))
        pids = [env.pid for env in pool._living]
        assert len(pids) == environments
        ours = statistics.median(pss_kb(pid) for pid in pids)
    finally:
        for worker in fresh:
            worker.close()
        await pool.close(0)
    return {
        "ratio": round(ours / base, 3),
        "goal": goal,
        "ok": ours / base <= goal,
        "environments": environments,
        "pss_kb": ours,
        "baseline_pss_kb": base,
        "isolation": isolation,
    }


def pss_kb(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1))


if __name__ == "__main__":
    print(json.dumps(run()))
