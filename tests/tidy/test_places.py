"""Every mutant of the simulation has its place in the source.

Who rewrites such a line says there what the mutant is now; `tests/simulation` says whether it can
be loaded and is caught.
"""

from pathlib import Path

from tests.simulation.edits import EDITS
from tests.simulation.queues.edits import EDITS as OF_QUEUES
from tests.simulation.topics.edits import EDITS as OF_TOPICS

ROUTER = Path(__file__).parents[2] / "router"


def test_every_mutant_has_its_place():
    edits = [*EDITS, *OF_QUEUES, *OF_TOPICS]
    assert len(edits) > 100
    missing = [
        f"{edit.name}: not once in {edit.module}: {edit.old!r}"
        for edit in edits
        if ROUTER.joinpath(*edit.module.split(".")).with_suffix(".py").read_text().count(edit.old)
        != 1
    ]
    assert not missing
