"""Which seeds run when."""

from functools import cache
from pathlib import Path

from tests.simulation.run import Result, simulate_seed

CI_SEEDS = range(1, 51)
"""Run by `make check`."""

MINUTES = 10
"""Virtual minutes of each of them."""

REGRESSIONS = Path(__file__).with_name("regressions.txt")


@cache
def honest(seed: int, minutes: int = MINUTES) -> Result:
    """One run of the real engine, shared by all tests of a session."""
    return simulate_seed(seed, minutes)


def regressions() -> list[tuple[int, int]]:
    """Seeds and minutes that once showed something; they run for ever."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    words = [line.split("#")[0].split() for line in lines]
    return [(int(seed), int(minutes)) for seed, minutes in filter(None, words)]
