"""`make sim`: run seeds on all cores, print what failed and what was met.

python -m tests.simulation                      400 seeds of one virtual hour
python -m tests.simulation --seed 17            one seed, with its last steps when it fails
python -m tests.simulation --random --seeds 10000
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context

from tests.simulation.kinds import KINDS
from tests.simulation.report import failure_text, minimise, missed, sometimes_table
from tests.simulation.run import Result, simulate_seed
from tests.simulation.seeds import MINUTES, SEEDS, regressions

RANDOM_SEEDS = 1 << 40
"""Nightly runs begin at a random seed below this."""

FAILURES_TOLD = 3
"""Failed seeds that are made small and shown in full."""


def main() -> int:
    """Exit status 1 when a seed failed, or when something was never seen."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--kind", choices=KINDS, default="", help="of this kind, not its own")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many to run")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--random", action="store_true", help="begin at a random seed")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="virtual minutes of each")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return _one(chosen.seed, chosen.minutes, chosen.kind)
    first = secrets.randbelow(RANDOM_SEEDS) if chosen.random else chosen.first
    print(f"seeds {first} to {first + chosen.seeds - 1}, {chosen.minutes} virtual minutes each")
    sys.stdout.flush()
    numbers = range(first, first + chosen.seeds)
    seeds = [(seed, chosen.minutes, chosen.kind) for seed in numbers]
    return _many(regressions() + seeds, chosen.cores)


def _one(seed: int, minutes: int, kind: str) -> int:
    result = simulate_seed(seed, minutes, kind=kind)
    if result.error is not None:
        print(failure_text(*minimise(result)))
        return 1
    print(f"{result.kind} seed {seed} holds: {result.records} records, {result.steps} steps,")
    print(f"{result.duplicates} duplicates; met: {', '.join(sorted(result.seen)) or 'nothing'}")
    return 0


def _many(seeds: list[tuple[int, int, str]], cores: int) -> int:
    started_s = time.monotonic()
    results: list[Result] = []
    failed: list[Result] = []
    for result in _results(seeds, cores):
        results.append(result)
        if result.error is not None:
            failed.append(result)
            print(f"{result.kind} seed {result.options.seed}: {result.error}"[:300], flush=True)
    for result in failed[:FAILURES_TOLD]:
        print(failure_text(*minimise(result)), flush=True)
    print(sometimes_table(results))
    never = missed(results)
    if never:
        print(f"never seen in {len(results)} seeds: {', '.join(never)}")
    hours = sum(result.options.minutes for result in results) / 60
    print(
        f"{len(results)} seeds, {hours:.0f} virtual hours: {len(failed)} failed, "
        f"{sum(result.steps for result in results)} steps, "
        f"{sum(result.records for result in results)} records, "
        f"{time.monotonic() - started_s:.0f} s on {cores} cores"
    )
    return 1 if failed or never else 0


def _results(seeds: list[tuple[int, int, str]], cores: int) -> Iterator[Result]:
    """As they come, from as many processes as there are cores."""
    with get_context("fork").Pool(cores) as pool:
        yield from pool.imap_unordered(_run, seeds, chunksize=2)


def _run(chosen: tuple[int, int, str]) -> Result:
    seed, minutes, kind = chosen
    return simulate_seed(seed, minutes, kind=kind)


if __name__ == "__main__":
    sys.exit(main())
