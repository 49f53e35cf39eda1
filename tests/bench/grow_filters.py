"""GROW-FILTERS: fifty mappings on a stream and five hundred, with filters of which one matches.

Per judgement: every mapping looks at every record, and one of them hands it to its function. The
ratio says whether a mapping more makes the others dearer; what a record costs in all is shown
beside it, with the cost of a stream whose one mapping takes everything.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import bed, growth

GOAL = "GROW-FILTERS"
ROUNDS = 3
ENDS = {"small": 1, "middle": 50, "large": 500}
REQUESTS = {"small": 20_000, "middle": 4_000, "large": 400}


def feeds(stream: str, count: int) -> growth.Resources:
    """Mappings of which each wants the records of one repository."""
    found: growth.Resources = {}
    for number in range(count):
        pattern = json.dumps({"body": {"repository": {"id": [number]}}})
        found[f"Worker{number}"] = growth.function()
        found[f"Feed{number}"] = growth.mapping(
            stream, f"Worker{number}", FilterCriteria={"Filters": [{"Pattern": pattern}]}
        )
    return found


def run(*, is_quick: bool = False) -> dict:
    """Per record and mapping, at both ends."""
    if missing := growth.unavailable(GOAL):
        return missing
    ends, requests, rounds = ENDS, REQUESTS, ROUNDS
    if is_quick:
        ends, rounds = {"small": 1, "middle": 3, "large": 10}, 1
        requests = {"small": 200, "middle": 120, "large": 100}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        servers = growth.on_one_stream(stack, Path(name), ends, feeds)
        width = 32 if is_quick else 256
        pairs = [
            (server, bed.Load(requests[end], width, keys=count))
            for server, (end, count) in zip(servers, ends.items(), strict=True)
        ]
        found = bed.compare_loads(pairs, rounds)
        busy_mb = growth.memory_mb(*servers)
    per_judgement = {
        end: bed.median(rounds_of, "cpu_us") / ends[end] for end, rounds_of in found.items()
    }
    ratio = per_judgement["large"] / per_judgement["middle"]
    return {
        GOAL: {
            **growth.factor(found["middle"], found["large"]),
            "ratio": round(ratio, 2),
            "ok": ratio <= growth.FLAT,
            "ok_best": False,
            "small": bed.series(found["small"]),
            "middle": bed.series(found["middle"]),
            "cpu_us_per_judgement": {end: round(us, 2) for end, us in per_judgement.items()},
            "mappings": ends,
            "requests": requests,
            "busy_mb": busy_mb,
        }
    }


if __name__ == "__main__":
    print(run(is_quick="--quick" in sys.argv))
