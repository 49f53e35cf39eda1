"""GROW-KEYS: ten partition keys and ten thousand, through 4 shards × 4 lanes.

Ten thousand are more than the 4,096 whose lane a router remembers, and drawn in turn, so that
every record's lane is worked out anew: the worst case.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed, growth

GOAL = "GROW-KEYS"
ROUNDS = 5
FEW, MANY = 10, 10_000


def run(*, is_quick: bool = False) -> dict:
    """Per event, at both ends."""
    if missing := growth.unavailable(GOAL):
        return missing
    rounds, size = (1, (400, 32)) if is_quick else (ROUNDS, (20_000, 256))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            bed.router(folder / "small", "small", factor=4) as small,
            bed.router(folder / "large", "large", factor=4) as large,
        ):
            pairs = [(small, bed.Load(*size, keys=FEW)), (large, bed.Load(*size, keys=MANY))]
            found = bed.compare_loads(pairs, rounds)
            busy_mb = growth.memory_mb(small, large)
    return {
        GOAL: growth.factor(
            found["small"],
            found["large"],
            keys={"small": FEW, "large": MANY},
            busy_mb=busy_mb,
        )
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
