"""`make sim`: run seeds, print what failed and what was met.

python -m tests.simulation --seed 17            one seed, with its last steps
python -m tests.simulation --seeds 400 --minutes 60
"""

import argparse
import sys
import time

from tests.simulation.report import failure_text, minimise, sometimes_table
from tests.simulation.run import Result, simulate_seed
from tests.simulation.seeds import CI_SEEDS, MINUTES


def main() -> int:
    """Exit status 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--seeds", type=int, default=len(CI_SEEDS), help="how many to run")
    parser.add_argument("--first", type=int, default=CI_SEEDS[0], help="the first of them")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="virtual minutes of each")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return _one(chosen.seed, chosen.minutes)
    return _many(range(chosen.first, chosen.first + chosen.seeds), chosen.minutes)


def _one(seed: int, minutes: int) -> int:
    result = simulate_seed(seed, minutes)
    if result.error is not None:
        print(failure_text(*minimise(result)))
        return 1
    print(f"seed {seed} holds: {result.records} records, {result.steps} steps,")
    print(f"{result.duplicates} duplicates; met: {', '.join(sorted(result.seen)) or 'nothing'}")
    return 0


def _many(seeds: range, minutes: int) -> int:
    started_s = time.process_time()
    results: list[Result] = []
    failed: list[Result] = []
    for seed in seeds:
        result = simulate_seed(seed, minutes)
        results.append(result)
        if result.error is not None:
            failed.append(result)
            print(f"seed {seed}: {result.error}"[:300])
    spent_s = time.process_time() - started_s
    if failed:
        print(failure_text(*minimise(failed[0])))
    print(sometimes_table(results))
    steps = sum(result.steps for result in results)
    records = sum(result.records for result in results)
    print(
        f"{len(results)} seeds x {minutes} min: {len(failed)} failed, {steps} steps, "
        f"{records} records, {spent_s:.1f} s CPU ({len(results) / spent_s:.1f} seeds/s)"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
