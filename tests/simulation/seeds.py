"""Which seeds run when."""

from functools import cache
from pathlib import Path

from tests.simulation.kinds import KINDS
from tests.simulation.run import Result, simulate_seed

CHECK_SEEDS = range(1, 51)
CHECK_MINUTES = 10

"""Run by `make test`: seeds, and virtual minutes of each."""

HUNT_SEEDS = {kind.name: (*kind.storm_seeds, *CHECK_SEEDS) for kind in KINDS.values()}
"""Where mutants are hunted, by the kind they are of: storms first, they meet most."""

SEEDS = 400
MINUTES = 60
"""Run by `make sim` and `make test`."""

NIGHTLY_SEEDS = 10_000
"""Run by `make sim-nightly`, every night other ones."""

SEEDS_PER_SOMETIMES = 200
"""In so many seeds each *sometimes* property is seen at least once."""

REGRESSIONS = Path(__file__).with_name("regressions.txt")


@cache
def honest(seed: int, minutes: int = CHECK_MINUTES, kind: str = "") -> Result:
    """One run of the real router, shared by all tests of a session."""
    return simulate_seed(seed, minutes, kind=kind)


def regressions() -> list[tuple[int, int, str]]:
    """Seeds, minutes and kinds that once showed something; they run for ever."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    words = [line.split("#")[0].split() for line in lines]
    return [(int(seed), int(minutes), kind) for kind, seed, minutes in filter(None, words)]
