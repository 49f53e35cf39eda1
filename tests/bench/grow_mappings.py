"""GROW-MAPPINGS: one mapping on a stream, and fifty, and five hundred; each handles every record.

Per delivery: five hundred mappings deliver each record five hundred times. A window of one second
makes the batches as large everywhere, so that the ratio says what a mapping more costs all the
others, not what small batches cost. At one mapping most of the cost is taking the record in, so
the goal is judged on five hundred by fifty, where that no longer shows. Each has a function of
its own: one stream goes to a function once.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed, growth

GOAL = "GROW-MAPPINGS"
ROUNDS = 3
ENDS = {"small": 1, "middle": 50, "large": 500}
REQUESTS = {"small": 40_000, "middle": 4_000, "large": 400}


def feeds(stream: str, count: int) -> growth.Resources:
    """Mappings on one stream, each with its function."""
    found: growth.Resources = {}
    for number in range(count):
        found[f"Worker{number}"] = growth.function()
        found[f"Feed{number}"] = growth.mapping(
            stream, f"Worker{number}", MaximumBatchingWindowInSeconds=1
        )
    return found


def run(*, is_quick: bool = False) -> dict:
    """Per delivery, at both ends."""
    if missing := growth.unavailable(GOAL):
        return missing
    ends, requests, rounds = ENDS, REQUESTS, ROUNDS
    if is_quick:
        ends, rounds = {"small": 1, "middle": 3, "large": 10}, 1
        requests = {"small": 400, "middle": 120, "large": 40}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        servers = growth.on_one_stream(stack, Path(name), ends, feeds)
        width = 32 if is_quick else 256
        pairs = [
            (server, bed.Load(requests[end], width, deliveries=count))
            for server, (end, count) in zip(servers, ends.items(), strict=True)
        ]
        idle_mb = growth.memory_mb(*servers)
        found = bed.compare_loads(pairs, rounds)
        busy_mb = growth.memory_mb(*servers)
    result = growth.factor(found["middle"], found["large"])
    shown = {"small": bed.series(found["small"]), "middle": result["small"]}
    about = {"mappings": ends, "requests": requests, "idle_mb": idle_mb, "busy_mb": busy_mb}
    return {GOAL: {**result, **shown, **about}}


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
