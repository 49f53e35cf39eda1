"""SCRAPE (G15): what a scrape of thousands of mappings and functions takes of the event loop.

In a process of its own for each loop: 1,000 mappings and 1,000 functions, all their metrics, then
ten times as many. The goal is 50 ms of the loop for 1,000, and for 10,000 that no turn is longer:
the library's renderer in a thread, which holds the interpreter for five milliseconds whenever the
loop wants it back, is shown beside it at 1,000. Both are asked for what Prometheus asks for:
OpenMetrics, compressed. While one runs, a task asks for the loop every millisecond.
"""

import asyncio
import gzip
import json
import statistics
import subprocess
import sys
import time

from prometheus_client.openmetrics.exposition import generate_latest

from router.telemetry import metrics
from router.telemetry.exposition import expose, form_of
from router.telemetry.mapping_metrics import MappingMetrics
from router.workers.meters import Meters

GOAL_MS = 50.0
SIZES = (1_000, 10_000)
ROUNDS = 5
FORM = form_of("application/openmetrics-text;version=1.0.0", "gzip")
PROBE_S = 0.001


def fill(first: int, until: int) -> None:
    """Mappings and functions from one number to another, all of whose metrics are there."""
    for number in range(first, until):
        mapping = MappingMetrics(
            f"Mapping{number:05d}", f"00000000-0000-4000-8000-{number:012d}",
            f"Function{number:05d}", f"arn:aws:sqs:us-east-1:000000000000:queue-{number}",
        )  # fmt: skip
        mapping.set_state("Enabled")
        mapping.polled.inc(number)
        mapping.accept_to_handled.observe(0.2)
        Meters(f"Function{number:05d}")


async def library() -> bytes:
    """As it was before: in a thread."""
    return await asyncio.to_thread(lambda: gzip.compress(generate_latest(metrics.REGISTRY), 1))


async def ours() -> bytes:
    return (await expose(FORM)).body


async def probe(turns_ms: list[float]) -> None:
    """How late it has its turn."""
    while True:
        due = time.perf_counter() + PROBE_S
        await asyncio.sleep(PROBE_S)
        turns_ms.append((time.perf_counter() - due) * 1000)


async def measure(make, rounds: int) -> dict[str, float]:
    """Of the loop's processor time and of a probe's turns while it is made, medians."""
    cpu_ms, worst_ms, late_ms, took_ms, size = [], [], [], [], 0
    for _ in range(rounds):
        turns_ms: list[float] = []
        probing = asyncio.create_task(probe(turns_ms))
        await asyncio.sleep(0.05)
        turns_ms.clear()
        began, began_cpu = time.perf_counter(), time.thread_time()
        size = len(await make())
        cpu_ms.append((time.thread_time() - began_cpu) * 1000)
        took_ms.append((time.perf_counter() - began) * 1000)
        probing.cancel()
        worst_ms.append(max(turns_ms, default=0.0))
        late_ms.append(sum(turns_ms))
    return {
        "loop_cpu_ms": round(statistics.median(cpu_ms), 1),
        "worst_turn_ms": round(statistics.median(worst_ms), 1),
        "late_in_all_ms": round(statistics.median(late_ms), 1),
        "took_ms": round(statistics.median(took_ms), 1),
        "bytes": size,
    }


async def series(sizes: list[int], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    found, filled = {}, 0
    for size in sizes:
        fill(filled, size)
        filled = size
        found[str(size)] = {"router": await measure(ours, rounds)}
        if size == sizes[0]:  # it takes too long for more
            found[str(size)]["library"] = await measure(library, min(rounds, 2))
    return found


def run(*, is_quick: bool = False) -> dict:
    """On both loops; the worse one is judged."""
    sizes, rounds = ((20, 60), 1) if is_quick else (SIZES, ROUNDS)
    loops = {}
    for loop in ("asyncio", "uvloop"):
        command = [sys.executable, "-m", __spec__.name, loop, str(rounds), *map(str, sizes)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        loops[loop] = json.loads(done.stdout)
        print(f"  {loop}: {loops[loop]}", file=sys.stderr)
    small, large = map(str, sizes)
    cpu_ms = max(found[small]["router"]["loop_cpu_ms"] for found in loops.values())
    turn_ms = max(found[large]["router"]["worst_turn_ms"] for found in loops.values())
    ratio = max(cpu_ms, turn_ms) / GOAL_MS
    return {"SCRAPE": {"ratio": round(ratio, 3), "goal": 1.0, "ok": ratio <= 1, "loops": loops}}


def main(loop: str, rounds: str, *sizes: str) -> None:
    """In the process of one loop: prints what was measured."""
    work = series([int(size) for size in sizes], int(rounds))
    if loop == "uvloop":
        import uvloop

        found = uvloop.run(work)
    else:
        found = asyncio.run(work)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
