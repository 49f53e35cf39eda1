"""PEER: the same topic through FastStream, at-least-once on both sides.

PEER: batches of 100 with the whole Lambda envelope into an isolated process, in records a second by
its batch subscriber, which runs the same handler in its own process; PEER_cpu: CPU per record, ours
with all processes. PEER_keyed: handlers of 5 ms over 64 keys on 4 partitions, our lanes of keys by
its workers of partitions, in records a second; both keep the order of each key.

Run it: `python -m tests.bench.peer_kafka`.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.g8_kafka import other, through
from tests.bench.sources import bed

RATE_GOAL = 1.2
CPU_GOAL = 0.8
KEYED_GOAL = 8.0
ROUNDS = 5
RECORDS = 100_000
KEYED_RECORDS = {"ours": 20_000, "theirs": 2_000}
"""Each side for some seconds."""

KEYED_S = 0.005
LANES = 64
"""Of a partition: nearly every one of its sixteen keys has one of its own."""

CONCURRENCY = 80


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Three results; about three minutes."""
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack, is_quick=is_quick)
    except bed.Unavailable as error:
        return {"PEER": {"error": str(error)}}


def _run(stack: contextlib.ExitStack, *, is_quick: bool) -> dict[str, Any]:
    rounds, records = (1, 4_000) if is_quick else (ROUNDS, RECORDS)
    many, few = (400, 100) if is_quick else KEYED_RECORDS.values()
    bootstrap = stack.enter_context(bed.kafka())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    functions = {
        "Worker": bed.function("kafka"),
        "Slow": bed.function("kafka", pause_s=KEYED_S),
    }
    own = {"ROUTER_CONCURRENCY_MAX": str(CONCURRENCY)}
    server = stack.enter_context(bed.router(folder, functions, **own))
    plain, long, short = (bed.topic(bootstrap, count) for count in (records, many, few))
    found = bed.in_turn(
        {
            "router": lambda: through(server, bootstrap, plain, records),
            "FastStream": lambda: other(bed.PEERS, "batch", bootstrap, plain, records),
        },
        rounds,
    )
    lanes = 4 if is_quick else LANES
    keyed = bed.in_turn(
        {
            "router": lambda: through(
                server, bootstrap, long, many, "Slow", ParallelizationFactor=lanes
            ),
            "FastStream": lambda: other(bed.PEERS, "keyed", bootstrap, short, few, KEYED_S),
        },
        rounds,
    )
    ours, theirs = found.values()
    return {
        "PEER": bed.compared(ours, theirs, "per_s", RATE_GOAL, is_most=False, records=records),
        "PEER_cpu": bed.compared(ours, theirs, "tree_us", CPU_GOAL, is_most=True),
        "PEER_keyed": bed.compared(
            *keyed.values(), "per_s", KEYED_GOAL, is_most=False, lanes=lanes
        ),
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
