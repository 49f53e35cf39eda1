"""GROW-HOOKS: one webhook and a thousand, the same posts spread over all of them.

The goal is judged on durable ingest, which is all that webhooks cost: the thousand have no
mapping. Memory is what the idle webhooks take.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed, growth

GOAL = "GROW-HOOKS"
ROUNDS = 5
MANY = 1_000


def run(*, is_quick: bool = False) -> dict:
    """Per post, at both ends."""
    if missing := growth.unavailable(GOAL):
        return missing
    many, rounds = (20, 1) if is_quick else (MANY, ROUNDS)
    size = (400, 32) if is_quick else (20_000, 256)
    ends = {"small": 1, "large": many}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = growth.template(folder / "bench", {"Hook0": growth.webhook("/in-0")})
        with (
            bed.router(folder / "small", "small", template=first) as small,
            bed.router(folder / "large", "large", template=first) as large,
        ):
            growth.apply(large, {f"Hook{n}": growth.webhook(f"/in-{n}") for n in range(1, many)})
            idle_mb = growth.memory_mb(small, large)
            pairs = [
                (server, bed.Load(*size, paths=ends[server.name], deliveries=0))
                for server in (small, large)
            ]
            found = bed.compare_loads(pairs, rounds)
            busy_mb = growth.memory_mb(small, large)
    return {
        GOAL: growth.factor(
            found["small"], found["large"], webhooks=ends, idle_mb=idle_mb, busy_mb=busy_mb
        )
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
