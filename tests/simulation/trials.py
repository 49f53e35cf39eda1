"""`make mutants`: every router with one thing wrong, and the seed that noticed.

python -m tests.simulation.trials            all of them; writes docs/mutants.md
python -m tests.simulation.trials --check    all of them; writes nothing
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import msgspec

from router.model.errors import EngineError
from tests.simulation.mutants import Mutant, mutants
from tests.simulation.run import Result, simulate_seed
from tests.simulation.seeds import CHECK_MINUTES, HUNT_SEEDS, honest
from tests.simulation.shard_state import Violation

DOCUMENT = Path(__file__).parents[2] / "docs" / "mutants.md"

PROMISES = tuple(f"D{number}" for number in range(1, 13))
"""Each is what at least one mutant breaks first."""

SEED_CPU_S_MAX = 10.0
"""An honest run takes a fraction of a second."""

PREFACE = """\
# Mutants

Routers with one thing wrong each, made by `tests/simulation/mutants.py`. Every one must be caught
by the simulation: by a seed that fails, not by a unit test. `make mutants` runs them all and
writes this page; a test fails when a mutant was added or moved and the page was not written.

*Promise* is the one of `contracts/reliability.md` 2 whose check failed first; `engine` means that
the engine itself refused what it was told; Q is what only queues promise (section 3 there), P a
behaviour of `contracts/event-source-mappings.md`. *Seed* replays with
`make sim KIND=… SEED=… MINUTES=10` once the change is made by hand.

"""


class Trial(msgspec.Struct, frozen=True):
    """One mutant and what became of it."""

    name: str
    place: str
    kind: str
    seed: int | None
    promise: str = ""
    text: str = ""


def _met(chosen: tuple[str, int]) -> int:
    kind, seed = chosen
    return len(honest(seed, CHECK_MINUTES, kind).seen)


def hunt(mutant: Mutant, seeds: Sequence[int], promise: str = "") -> Result | None:
    """The first seed that notices; one that never ends does too (L3).

    With a promise: the first that notices by that one's check.
    """

    def give_up(_signal: int, _frame: object) -> None:
        raise Violation("L3", "no end in sight")

    parts = mutant.make()
    before = signal.signal(signal.SIGVTALRM, give_up)
    try:
        for seed in seeds:
            signal.setitimer(signal.ITIMER_VIRTUAL, SEED_CPU_S_MAX)
            result = simulate_seed(seed, CHECK_MINUTES, parts, kind=mutant.kind)
            if result.error is not None and promise in {"", promise_of(result)}:
                return result
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return None


def run_trial(chosen: tuple[str, Sequence[int], str]) -> Trial:
    """Hunt one mutant."""
    name, seeds, promise = chosen
    mutant = _mutants()[name]
    result = hunt(mutant, seeds, promise)
    if result is None:
        return Trial(name, mutant.place, mutant.kind, None)
    return Trial(
        name, mutant.place, mutant.kind, result.options.seed, promise_of(result), str(result.error)
    )


def promise_of(result: Result) -> str:
    """Which promise was broken first."""
    match result.error:
        case Violation(promise=promise):
            return promise or "-"
        case EngineError():
            return "engine"
        case error:
            return type(error).__name__


def table(trials: Iterable[Trial]) -> str:
    """The list, by promise."""
    lines = ["| mutant | place | promise | kind | seed |", "| --- | --- | --- | --- | --- |"]
    for trial in sorted(trials, key=_order):
        caught = "**not caught**" if trial.seed is None else str(trial.seed)
        lines.append(
            f"| {trial.name} | `{trial.place}` | {trial.promise} | {trial.kind} | {caught} |"
        )
    return "\n".join(lines) + "\n"


def _order(trial: Trial) -> tuple[str, int, str]:
    letter, number = trial.promise[:1], trial.promise[1:]
    return letter, int(number) if number.isdigit() else 0, trial.name


def caught_before() -> dict[str, tuple[str, int]]:
    """Promises and seeds of `docs/mutants.md`: they mostly notice again, and are tried first."""
    if not DOCUMENT.exists():
        return {}
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `.+?` \| (.+?) \| \w+ \| (\d+) \|", text, re.MULTILINE)
    return {name: (promise, int(seed)) for name, promise, seed in rows}


def unproved(trials: Iterable[Trial]) -> list[str]:
    """Promises that no mutant breaks first: nothing shows that their checks can fail."""
    broken = {trial.promise for trial in trials}
    return [promise for promise in PROMISES if promise not in broken]


@cache
def _mutants() -> dict[str, Mutant]:
    return mutants()


def main() -> int:
    """Exit status 1 when a mutant lives."""
    parser = argparse.ArgumentParser(prog="tests.simulation.trials", description=__doc__)
    parser.add_argument("--check", action="store_true", help="do not write docs/mutants.md")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", help="mutants with this in their name, place or kind")
    chosen = parser.parse_args()
    started_s = time.monotonic()
    names = [
        name
        for name, mutant in _mutants().items()
        if not chosen.only or chosen.only in f"{name} {mutant.place} {mutant.kind}"
    ]
    known = caught_before()
    trials: list[Trial] = []
    with get_context("fork").Pool(chosen.cores) as pool:
        seeds = dict(HUNT_SEEDS)
        for kind in {_mutants()[name].kind for name in names if name not in known}:
            pairs = [(kind, seed) for seed in seeds[kind]]
            met = dict(zip(seeds[kind], pool.map(_met, pairs, chunksize=1), strict=True))
            seeds[kind] = tuple(sorted(met, key=lambda seed: -met[seed]))
        of = {name: seeds[_mutants()[name].kind] for name in names}
        for trial in pool.imap_unordered(
            run_trial,
            [(it, [known[it][1], *of[it]] if it in known else of[it], "") for it in names],
        ):
            trials.append(trial)
            if trial.seed is None or chosen.only:
                print(f"{trial.name}: seed {trial.seed}: {trial.text}"[:200], flush=True)
        for promise in () if chosen.only else unproved(trials):
            # Another check was faster this time: the mutants that broke it before, on more seeds.
            broke = [name for name in names if known.get(name, ("", 0))[0] == promise]
            found = pool.map(run_trial, [(it, of[it], promise) for it in broke], chunksize=1)
            better = {trial.name: trial for trial in found if trial.seed is not None}
            trials = [better.get(trial.name, trial) for trial in trials]
    alive = [trial.name for trial in trials if trial.seed is None]
    print(table(trials))
    missing = [] if chosen.only else unproved(trials)
    if missing:
        print(f"no mutant breaks first: {', '.join(missing)}")
    print(
        f"{len(trials)} mutants, {len(alive)} not caught, {time.monotonic() - started_s:.0f} s on "
        f"{chosen.cores} cores"
    )
    if not chosen.check and not chosen.only:
        DOCUMENT.write_text(
            f"{PREFACE}{len(trials)} mutants, {len(trials) - len(alive)} caught.\n\n"
            f"{table(trials)}",
            encoding="utf-8",
        )
    return 1 if alive or missing else 0


if __name__ == "__main__":
    sys.exit(main())
