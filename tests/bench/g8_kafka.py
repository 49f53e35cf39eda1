"""G8, G9: a topic into a function, beside bare loops over the same topic.

G8: records a second through mapping, envelope, isolated process and commits, by those of a
confluent-kafka loop that calls the same handler in its own process and commits nothing. The goal
is that of two cores shared with the broker. G9: CPU of the router's process per record, by that of
a loop that reads with the same client as the router, counts and does nothing else.

Run it: `python -m tests.bench.g8_kafka`.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.bench.sources import bed

G8_GOAL = 0.55
G9_GOAL = 3.0
ROUNDS = 5
RECORDS = 100_000


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Two results; about two minutes."""
    rounds, records = (1, 4_000) if is_quick else (ROUNDS, RECORDS)
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack, rounds, records)
    except bed.Unavailable as error:
        return {name: {"error": str(error)} for name in ("G8", "G9")}


def _run(stack: contextlib.ExitStack, rounds: int, records: int) -> dict[str, Any]:
    bootstrap = stack.enter_context(bed.kafka())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(bed.router(folder, {"Worker": bed.function("kafka")}))
    name = bed.topic(bootstrap, records)
    found = bed.in_turn(
        {
            "router": lambda: through(server, bootstrap, name, records),
            "confluent-kafka": lambda: other(bed.PEERS, "confluent", bootstrap, name, records),
            "aiokafka": lambda: other(sys.executable, "aiokafka", bootstrap, name, records),
        },
        rounds,
    )
    ours, loop, client = found.values()
    return {
        "G8": bed.compared(ours, loop, "per_s", G8_GOAL, is_most=False, records=records),
        "G9": bed.compared(ours, client, "cpu_us", G9_GOAL, is_most=True, records=records),
    }


def through(
    server: Any, bootstrap: str, name: str, records: int, worker: str = "Worker", **more: Any
) -> bed.Drain:
    """A topic through a mapping of the router."""
    server.collector.reset()
    with bed.mapped(server, worker, bed.kafka_settings(bootstrap, name, **more)):
        return bed.drain(server.collector, server.process.pid, records, "router")


def other(
    python: Path | str, kind: str, bootstrap: str, name: str, records: int, pause_s: float = 0
) -> bed.Drain:
    """A topic through another consumer."""
    environment = {
        "BOOTSTRAP": bootstrap,
        "TOPIC": name,
        "GROUP": f"g-{uuid4().hex[:12]}",
        "PAUSE_S": str(pause_s),
    }
    with bed.beside(python, "consumer.py", kind, **environment) as (collector, pid):
        return bed.drain(collector, pid, records, kind)


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
