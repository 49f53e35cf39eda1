"""SLEEPER: a mapping whose handler sleeps 3 s moves no other mapping's p99 pickup by over 20 ms.

Two topics, two functions. Records come to the one all the time; how long after it was sent a
record is in the hands of its handler is that handler's own word. The other's handler sleeps, on all
four partitions, in every other phase. A phase is beside the quiet one before it, so what the
machine does comes to both. Neither waits for a window: what a mapping of Kafka collects for half a
second by default would hide what is looked for.

Run it: `python -m tests.bench.sleeper`.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.pipeline.bed import Server
from tests.bench.sources import bed

GOAL_MS = 20.0
PHASES = 5
PHASE_S = 9.0
EVERY_S = 0.02
SLEEP_S = 3.0


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """The difference as a share of 20 ms; about two minutes."""
    phases, phase_s = (1, 0.6) if is_quick else (PHASES, PHASE_S)
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack, phases, phase_s)
    except bed.Unavailable as error:
        return {"SLEEPER": {"error": str(error)}}


def _run(stack: contextlib.ExitStack, phases: int, phase_s: float) -> dict[str, Any]:
    bootstrap = stack.enter_context(bed.kafka())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    functions = {"Quick": bed.function("picked_up"), "Sleeper": bed.function("sleep")}
    server = stack.enter_context(bed.router(folder, functions))
    topics = dict(zip(functions, bed.empty_topics(bootstrap, len(functions)), strict=True))
    for worker, name in topics.items():
        settings = bed.kafka_settings(bootstrap, name, MaximumBatchingWindowInSeconds=0)
        stack.enter_context(bed.mapped(server, worker, settings))
    found = asyncio.run(_phases(bootstrap, topics, server, phases, phase_s))
    moved = [beside["p99_ms"] - quiet["p99_ms"] for quiet, beside in found]
    middle, best = statistics.median(moved), min(moved)
    return {
        "SLEEPER": {
            "ratio": round(middle / GOAL_MS, 3),
            "goal": 1.0,
            "ok": middle <= GOAL_MS,
            "ratio_best": round(best / GOAL_MS, 3),
            "ok_best": best <= GOAL_MS,
            "phases": [{"quiet": quiet, "beside": beside} for quiet, beside in found],
        }
    }


async def _phases(
    bootstrap: str, topics: dict[str, str], server: Server, phases: int, phase_s: float
) -> list[tuple[dict[str, float], dict[str, float]]]:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        await _phase(producer, topics, server, 1.0, is_asleep=True)  # starts both functions
        found = []
        for _ in range(phases):
            await asyncio.sleep(min(phase_s, SLEEP_S + 1))  # whoever sleeps wakes up
            quiet = await _phase(producer, topics, server, phase_s, is_asleep=False)
            beside = await _phase(producer, topics, server, phase_s, is_asleep=True)
            print(f"  quiet {quiet}, beside a sleeper {beside}", file=sys.stderr)
            found.append((quiet, beside))
        return found
    finally:
        await producer.stop()
        await asyncio.sleep(0.05)  # its transports close in later turns of the loop


async def _phase(
    producer: Any, topics: dict[str, str], server: Server, phase_s: float, *, is_asleep: bool
) -> dict[str, float]:
    collector = server.collector
    collector.reset()
    collector.numbers = numbers = []
    sent, end, sleep_again = 0, time.monotonic() + phase_s, 0.0
    while (now := time.monotonic()) < end or not sent:
        if is_asleep and now >= sleep_again:
            sleep_again = now + SLEEP_S
            for partition in range(bed.PARTITIONS):
                await producer.send(topics["Sleeper"], b"{}", partition=partition)
        value = json.dumps({"sent_ns": time.time_ns()}).encode()
        await producer.send_and_wait(topics["Quick"], value, partition=sent % bed.PARTITIONS)
        sent += 1
        await asyncio.sleep(EVERY_S)
    await asyncio.to_thread(bed.until, lambda: len(numbers) >= sent, f"{sent} records")
    waits_ms = sorted(one / 1_000 for one in numbers)
    return {
        "p50_ms": round(statistics.median(waits_ms), 1),
        "p99_ms": round(waits_ms[int(0.99 * (len(waits_ms) - 1))], 1),
        "records": sent,
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
