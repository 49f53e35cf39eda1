"""G11: from HTTP to a function and back, beside the thinnest ways with as many workers.

Ours is a function's URL: the listener with its limits and deadlines, who may call, the event, the
environment in its isolation, logs and metrics. The other two build the same event and run the same
handler in forked processes (`lambda_peers/thin.py` says what they leave out). A closed loop of
eight clients drives each in turn with 1 KB, so each has eight workers; requests a second. A third
one, raw with its listener in a process of its own as ours has it, says what that alone costs.

Run it: `python -m tests.bench.g11_http`; about a minute.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.lambda_peers import bed, contenders
from tests.bench.lambda_peers.bed import Contender
from tests.bench.lambda_peers.contenders import QUIET
from tests.bench.pipeline.bed import ROOT, Unavailable, load_generator
from tests.ports import lasting_port

GOAL_RAW = 0.75
GOAL_AIOHTTP = 1.2
CLIENTS = 8
ROUNDS = 6
SECONDS = 2.5
OURS = "router"
APART = "apart"
KINDS = ("raw", "aiohttp", APART)


def run(*, is_quick: bool = False) -> dict:
    """Two results: beside the raw way, and beside that of aiohttp."""
    try:
        load_generator()
    except Unavailable as error:
        return {"G11": {"error": str(error)}}
    rounds, seconds = (1, 0.2) if is_quick else (ROUNDS, SECONDS)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(contenders.router(folder, has_url=True))
        sides = [(OURS, ours, QUIET)]
        sides += [(kind, stack.enter_context(thin(kind)), QUIET) for kind in KINDS]
        found = bed.in_turn(sides, CLIENTS, rounds, seconds)
    machine = {"isolation": contenders.isolation(), "cores": os.cpu_count(), "clients": CLIENTS}
    apart = bed.compared(found, APART, "raw", "per_s", 1, is_most=False)
    machine |= {"listener_apart": apart["ratio"], "listener_apart_best": apart["ratio_best"]}
    return {
        "G11": bed.compared(found, OURS, "raw", "per_s", GOAL_RAW, is_most=False) | machine,
        "G11_aiohttp": bed.compared(found, OURS, "aiohttp", "per_s", GOAL_AIOHTTP, is_most=False),
    }


@contextlib.contextmanager
def thin(kind: str):
    """One of the thin ways."""
    port = lasting_port()
    command = [sys.executable, "-m", "tests.bench.lambda_peers.thin", kind]
    command += ["--port", str(port), "--workers", str(CLIENTS)]
    with bed.process(kind, command, ROOT, lambda: bed.listens(port)) as pid:
        yield Contender(kind, pid, f"127.0.0.1:{port}", {QUIET: "/"})


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
