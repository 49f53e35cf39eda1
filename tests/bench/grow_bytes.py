"""GROW-BYTES: posts of 1 KB, of 256 KB and of 5 MiB, the largest body the ingress takes.

A large event must cost in proportion to its size and not more: the goal is judged on CPU per byte
at the large end by that at 256 KB, where the fixed cost of an event no longer shows. The same
router takes all three in turn. Memory is the most it ever had.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed, growth

GOAL = "GROW-BYTES"
ROUNDS = 3
KIB = 1024
LARGEST_BYTES = 5 * KIB * KIB
LOADS = {
    "small": bed.Load(20_000, 64, body_bytes=1_000),
    "middle": bed.Load(400, 16, body_bytes=256 * KIB),
    "large": bed.Load(32, 8, body_bytes=LARGEST_BYTES),
}
QUICK_LOADS = {
    "small": bed.Load(100, 8),
    "middle": bed.Load(8, 4, body_bytes=256 * KIB),
    "large": bed.Load(2, 2, body_bytes=LARGEST_BYTES),
}


def run(*, is_quick: bool = False) -> dict:
    """Per event and per megabyte, at each size."""
    if missing := growth.unavailable(GOAL):
        return missing
    rounds, loads = (1, QUICK_LOADS) if is_quick else (ROUNDS, LOADS)
    found: dict[str, list[bed.Round]] = {end: [] for end in loads}
    peak_mb: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, bed.router(Path(name, "router")) as router:
        for number in range(rounds + 1):
            for end, load in loads.items():
                shown = bed.drive_and_show(router, load, f"{end}-{number}")
                peak_mb.setdefault(end, round(router.memory_mb("VmHWM"), 1))
                if number:
                    found[end].append(shown)
    per_mb = {
        end: bed.median(rounds_of, "cpu_us") / loads[end].body_bytes * 1e6
        for end, rounds_of in found.items()
    }
    result = growth.factor(found["middle"], found["large"])
    ratio = per_mb["large"] / per_mb["middle"]
    return {
        GOAL: {
            **result,
            "ratio": round(ratio, 2),
            "ok": ratio <= growth.FLAT,
            "ok_best": False,
            "small": bed.series(found["small"]),
            "middle": bed.series(found["middle"]),
            "cpu_us_per_mb": {end: round(shown) for end, shown in per_mb.items()},
            "body_bytes": {end: load.body_bytes for end, load in loads.items()},
            "peak_mb": peak_mb,
        }
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
