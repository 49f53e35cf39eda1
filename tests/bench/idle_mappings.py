"""IDLE: two hundred mappings on topics and queues that nothing comes to.

CPU of the router's process with them beyond that without them, as a share of a core, by 2 %; and
IDLE_memory: megabytes of each. On queues of a server the same (IDLE_queues, …_memory). The same
router is measured before it has mappings and after.

Run it: `python -m tests.bench.idle_mappings`.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.g10_queue_mapping import Sqs
from tests.bench.pipeline import growth
from tests.bench.pipeline.bed import Server
from tests.bench.sources import bed

MAPPINGS = 200
QUICK_MAPPINGS = 3
CPU_GOAL = 0.02
MEMORY_MB_GOAL = 1.0
SETTLE_S = 20.0
"""Until all have joined and asked for the first time."""

REPEATS = 3
REPEAT_S = 20.0


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Four results; about four minutes."""
    try:
        with contextlib.ExitStack() as stack:
            return _kafka(stack, is_quick=is_quick) | _queues(stack, is_quick=is_quick)
    except bed.Unavailable as error:
        return {"IDLE": {"error": str(error)}}


def _kafka(stack: contextlib.ExitStack, *, is_quick: bool) -> dict[str, Any]:
    bootstrap = stack.enter_context(bed.kafka())
    names = bed.empty_topics(bootstrap, 1 + (QUICK_MAPPINGS if is_quick else MAPPINGS), 1)

    def settings(number: int) -> dict[str, Any]:
        return bed.kafka_settings(bootstrap, names[number])

    return _measured(stack, "IDLE", settings, {}, is_quick=is_quick)


def _queues(stack: contextlib.ExitStack, *, is_quick: bool) -> dict[str, Any]:
    sqs = Sqs(stack.enter_context(bed.sqs()))
    own = {
        "ROUTER_SQS": "aws",
        "AWS_ENDPOINT_URL_SQS": sqs.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    def settings(_number: int) -> dict[str, Any]:
        return {"EventSourceArn": sqs.filled(0)[1]}

    return _measured(stack, "IDLE_queues", settings, own, is_quick=is_quick)


def _measured(
    stack: contextlib.ExitStack,
    goal: str,
    settings: Callable[[int], dict[str, Any]],
    own: dict[str, str],
    *,
    is_quick: bool,
) -> dict[str, Any]:
    count, settle_s, repeats, repeat_s = (
        (QUICK_MAPPINGS, 0.5, 1, 0.5) if is_quick else (MAPPINGS, SETTLE_S, REPEATS, REPEAT_S)
    )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    functions: growth.Resources = {"Worker": bed.function("kafka")}
    server = stack.enter_context(bed.router(folder, functions, **own))
    time.sleep(settle_s)
    # The clients' modules are loaded by the first mapping and belong to no mapping.
    stack.enter_context(bed.mapped(server, "Worker", settings(0)))
    time.sleep(settle_s)
    few_mb, few = server.memory_mb(), _shares(server, repeats, repeat_s)
    worker = bed.named(server, "Worker")
    for number in range(1, count + 1):
        bed.ask(server, "POST", bed.ESM, {"FunctionName": worker, **settings(number)})
    time.sleep(settle_s)
    many_mb, many = server.memory_mb(), _shares(server, repeats, repeat_s)
    share, best = (max(0.0, pick(many) - pick(few)) for pick in (_middle, min))
    each_mb = max(0.0, many_mb - few_mb) / count
    return {
        goal: {
            "ratio": round(share / CPU_GOAL, 3),
            "goal": 1.0,
            "ok": share <= CPU_GOAL,
            "ratio_best": round(best / CPU_GOAL, 3),
            "ok_best": best <= CPU_GOAL,
            "mappings": count,
            "cpu_shares": {"one": few, "many": many},
        },
        f"{goal}_memory": {
            "ratio": round(each_mb / MEMORY_MB_GOAL, 3),
            "goal": 1.0,
            "ok": each_mb <= MEMORY_MB_GOAL,
            "memory_mb": {"one": round(few_mb, 1), "many": round(many_mb, 1)},
        },
    }


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _shares(server: Server, repeats: int, repeat_s: float) -> list[float]:
    """CPU of the router's process as shares of a core."""
    found = []
    for _ in range(repeats):
        began, cpu_s = time.monotonic(), server.cpu_s()
        time.sleep(repeat_s)
        found.append(round((server.cpu_s() - cpu_s) / (time.monotonic() - began), 4))
    return found


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
