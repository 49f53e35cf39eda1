"""Which seeds run when."""

from functools import cache
from pathlib import Path

from tests.simulation.run import STORM_SEEDS, Result, simulate_seed

CHECK_SEEDS = range(1, 51)
CHECK_MINUTES = 10

HUNT_SEEDS = (*STORM_SEEDS, *CHECK_SEEDS)
"""Where mutants are hunted: storms first, they meet most."""

"""Run by `make check`: seeds, and virtual minutes of each."""

SEEDS = 400
MINUTES = 60
"""Run by `make sim` and `make test`."""

NIGHTLY_SEEDS = 10_000
"""Run by `make sim-nightly`, every night other ones."""

SEEDS_PER_SOMETIMES = 200
"""In so many seeds each *sometimes* property is seen at least once."""

REGRESSIONS = Path(__file__).with_name("regressions.txt")


@cache
def honest(seed: int, minutes: int = CHECK_MINUTES) -> Result:
    """One run of the real router, shared by all tests of a session."""
    return simulate_seed(seed, minutes)


def regressions() -> list[tuple[int, int]]:
    """Seeds and minutes that once showed something; they run for ever."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    words = [line.split("#")[0].split() for line in lines]
    return [(int(seed), int(minutes)) for seed, minutes in filter(None, words)]
