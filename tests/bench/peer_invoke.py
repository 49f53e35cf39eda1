"""INVOKE, COLD: one function through our Lambda API, and through those of others, side by side.

The same function and an event of 1 KB, a closed loop of one, 16 and 64 clients, all contenders up
and driven in turn; those of 64 clients alone, started for it. Ours is `router run` with everything
on: isolation, logs, metrics, limits.

INVOKE: p50 of one client by serverless-offline's; INVOKE_16: its throughput by theirs with 16, and
by ministack's, whose silent functions wait for a first line of log (with one that prints beside
it); INVOKE_64: by serverless-offline's with 64; INVOKE_memory: our tree of processes then, by
250 MB. COLD: the first invocation of a new function by that of a fresh emulator of AWS, and by
ministack's.

Run it: `python -m tests.bench.peer_invoke`; about four minutes.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench.lambda_peers import bed, contenders
from tests.bench.lambda_peers.bed import Contender, Round
from tests.bench.lambda_peers.contenders import PRINTING, QUIET
from tests.bench.pipeline.bed import Unavailable, load_generator

P50_GOAL = 0.7
FEW, MANY = 16, 64
FEW_GOAL = 1.5
MINISTACK_GOAL = 8.0
MANY_GOAL = 8.0
MEMORY_MB_GOAL = 250
COLD_EMULATOR_GOAL = 0.35
COLD_MINISTACK_GOAL = 0.08
ROUNDS = 5
SECONDS = 2.0
CROWD_WARM_S = 2.0
"""What is not counted after a start."""

COLD_STARTS = 15
OURS, SERVERLESS, MINISTACK, EMULATOR = "router", "serverless-offline", "ministack", "emulator"
PRINTED = " that prints"

Open = Callable[[Path], AbstractContextManager[Contender]]
Results = dict[str, dict]


def run(*, is_quick: bool = False) -> Results:
    """Eight results; a contender that is not here leaves an error in each of its own."""
    try:
        load_generator()
    except Unavailable as error:
        return {"INVOKE": {"error": str(error)}, "COLD": {"error": str(error)}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        results, missing = side_by_side(folder, is_quick=is_quick)
        results |= crowded(folder, missing, is_quick=is_quick)
    machine = {"isolation": contenders.isolation(), "cores": os.cpu_count()}
    return {name: one | machine for name, one in results.items()}


PEERS: dict[str, Open] = {
    SERVERLESS: contenders.serverless_offline,
    MINISTACK: contenders.ministack,
    EMULATOR: contenders.emulator,
}


def side_by_side(folder: Path, *, is_quick: bool) -> tuple[Results, dict[str, str]]:
    """What is measured while all are up, and why some are not."""
    with contextlib.ExitStack() as stack:
        sides = {OURS: stack.enter_context(contenders.router(folder))}
        missing: dict[str, str] = {}
        for name, opened in PEERS.items():
            try:
                sides[name] = stack.enter_context(opened(folder))
            except Unavailable as error:
                missing[name] = str(error)
        results = warm(sides, missing, is_quick=is_quick)
        results |= cold(sides, missing, folder, starts=1 if is_quick else COLD_STARTS)
    return results, missing


def warm(sides: dict[str, Contender], missing: dict[str, str], *, is_quick: bool) -> Results:
    """Functions that have run before, few clients first: more leave processes behind."""
    rounds, seconds = (1, 0.2) if is_quick else (ROUNDS, SECONDS)
    few = 2 if is_quick else FEW

    def turns(clients: int, *names: str, **printing: bool) -> dict[str, list[Round]]:
        lanes = [(name, sides[name], QUIET) for name in names if name in sides]
        if printing:
            lanes += [(name + PRINTED, sides[name], PRINTING) for name in names if name in sides]
        return bed.in_turn(lanes, clients, rounds, seconds)

    one = turns(1, OURS, SERVERLESS, EMULATOR)
    some = turns(few, OURS, SERVERLESS) if SERVERLESS in sides else {}
    beside = turns(few, OURS, MINISTACK, printing=True) if MINISTACK in sides else {}

    def by(
        found: dict[str, list[Round]], theirs: str, member: str, goal: float, suffix: str = ""
    ) -> dict:
        if theirs in missing:
            return {"error": missing[theirs]}
        is_most = member == "p50_ms"
        return bed.compared(found, OURS + suffix, theirs + suffix, member, goal, is_most=is_most)

    return {
        "INVOKE": by(one, SERVERLESS, "p50_ms", P50_GOAL)
        | {"emulator": bed.series(one[EMULATOR]) if EMULATOR in one else missing[EMULATOR]},
        "INVOKE_16": by(some, SERVERLESS, "per_s", FEW_GOAL),
        "INVOKE_16_ministack": by(beside, MINISTACK, "per_s", MINISTACK_GOAL),
        "INVOKE_16_printing": by(beside, MINISTACK, "per_s", MINISTACK_GOAL, suffix=PRINTED),
    }


def crowded(folder: Path, missing: dict[str, str], *, is_quick: bool) -> Results:
    """Many clients at once on a contender that has just been started: afresh for each round."""
    rounds, seconds = (1, 0.2) if is_quick else (ROUNDS, SECONDS)
    clients = 4 if is_quick else MANY
    opened = {OURS: contenders.router} | {name: PEERS[name] for name in {SERVERLESS} - set(missing)}
    found: dict[str, list[Round]] = {name: [] for name in opened}
    for number in range(rounds):
        for name in list(opened)[:: -1 if number % 2 else 1]:
            home = Path(tempfile.mkdtemp(dir=folder))
            with opened[name](home) as side:
                shown = bed.drive(side, QUIET, clients, seconds, CROWD_WARM_S)
            bed.show(name, clients, shown)
            found[name].append(shown)
    memory = [one.memory_mb / MEMORY_MB_GOAL for one in found[OURS]]
    by = {"error": missing.get(SERVERLESS)}
    if SERVERLESS in found:
        by = bed.compared(found, OURS, SERVERLESS, "per_s", MANY_GOAL, is_most=False)
        del by["is_steady"]  # theirs does not hold still at all: that is what is seen here
    return {
        "INVOKE_64": by,
        "INVOKE_64_memory": bed.judged(statistics.median(memory), min(memory), 1.0, is_most=True)
        | {"memory_mb": [round(one.memory_mb) for one in found[OURS]]},
    }


def cold(
    sides: dict[str, Contender], missing: dict[str, str], folder: Path, starts: int
) -> Results:
    """The first invocation of new functions, in turn; the emulator is started for each."""
    body = bed.payload()
    found: dict[str, list[float]] = {OURS: [], EMULATOR: [], MINISTACK: []}
    for number in range(starts + 1):
        for name in set(sides) & {OURS, MINISTACK}:
            contenders.create(sides[name], f"new-{number}", QUIET)
            found[name].append(sides[name].invoke(f"new-{number}", body))
        if EMULATOR not in missing:
            with contenders.emulator(folder) as fresh:
                found[EMULATOR].append(fresh.invoke(QUIET, body))
    taken = {name: [round(one * 1000, 2) for one in times[1:]] for name, times in found.items()}
    for name, times in taken.items():
        if not times:
            continue
        shown = f"{statistics.median(times):.1f} ms ({min(times):.1f})"
        print(f"  {name:<28} first invocation {shown}", file=sys.stderr)

    def by(theirs: str, goal: float) -> dict:
        if theirs in missing:
            return {"error": missing[theirs]}
        own, other = taken[OURS], taken[theirs]
        ratio = statistics.median(own) / statistics.median(other)
        return bed.judged(ratio, min(own) / min(other), goal, is_most=True) | {
            "is_steady": statistics.median(other) <= 2 * min(other),
            "ours_ms": own,
            "theirs_ms": other,
        }

    return {
        "COLD": by(EMULATOR, COLD_EMULATOR_GOAL),
        "COLD_ministack": by(MINISTACK, COLD_MINISTACK_GOAL),
    }


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
