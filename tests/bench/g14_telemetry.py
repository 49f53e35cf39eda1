"""G14: metrics and logs take at most 15 % of the router's CPU on the path of G0.

Two routers under the same load in turn: one as it is, one whose metric children and log lines do
nothing (`pipeline/launch.py`). START, END and REPORT of the function stay on in both.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed

GOAL = 0.15
ROUNDS = 6

ONE_PROCESS = {"ROUTER_INGRESS_PROCESSES": "0"}
"""The switches are thrown in the router's own process, so all that is measured must be in it."""


def run(*, is_quick: bool = False) -> dict:
    """Share of the router's CPU that goes with metrics and logs."""
    rounds, load = (1, bed.Load(400, 32)) if is_quick else (ROUNDS, bed.Load())
    try:
        bed.load_generator()
    except bed.Unavailable as error:
        return {"G14": {"error": str(error)}}
    with (
        tempfile.TemporaryDirectory() as folder,
        bed.router(Path(folder, "on"), "on", **ONE_PROCESS) as on,
        bed.router(Path(folder, "off"), "off", BENCH_OFF="metrics,logs", **ONE_PROCESS) as off,
    ):
        found = bed.compare([off, on], load, rounds)
        counted = [
            bed.metric(server.metrics(), "router_mapping_records_invoked_total")
            for server in (on, off)
        ]
        lines = [b"batch_handled" in server.log.read_bytes() for server in (on, off)]
    if counted != [load.requests * (rounds + 1), 0] or lines != [True, False]:
        raise bed.Dishonest(f"on and off were not that: counted {counted}, logged {lines}")
    share = 1 - bed.median(found["off"], "cpu_us") / bed.median(found["on"], "cpu_us")
    least = 1 - min(one.cpu_us for one in found["off"]) / min(one.cpu_us for one in found["on"])
    return {
        "G14": {
            "ratio": round(share, 3),
            "goal": GOAL,
            "ok": share <= GOAL,
            "ratio_best": round(least, 3),
            "ok_best": least <= GOAL,
            "is_steady": bed.is_steady(found["off"], "cpu_us"),
            "connections": load.connections,
            "requests": load.requests,
            "on": bed.series(found["on"]),
            "off": bed.series(found["off"]),
        }
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
