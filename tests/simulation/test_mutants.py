"""Honest trials: routers with one thing wrong are caught by the seeds of `make check`.

All of them run in `make mutants` and `make test`; here are a few of each kind, and what keeps
the list in `docs/mutants.md` true.
"""

import re
from functools import cache

import pytest

from router.mapping import stream_engine
from router.model.errors import EngineError
from tests.simulation.mutants import mutants
from tests.simulation.report import failure_text, minimise
from tests.simulation.run import Result
from tests.simulation.shard_state import Violation
from tests.simulation.trials import DOCUMENT, caught_before, hunt

MUTANTS = mutants()

FEW = (
    "head not stored",
    "checkpoint one too far",
    "one record dropped",
    "two records swapped",
    "one discard not stored",
    "a refused reply is success",
    "parents ignored",
)
"""One or two of each kind: all of them take a minute."""


@cache
def caught(name: str) -> Result:
    _promise, seed = caught_before()[name]
    result = hunt(MUTANTS[name], [seed])
    assert result is not None, f"seed {seed} does not notice any more: {name}; run `make mutants`"
    return result


@pytest.mark.parametrize("name", FEW)
def test_a_mutant_is_caught(name: str) -> None:
    assert isinstance(caught(name).error, Violation | EngineError), repr(caught(name).error)


def test_every_change_has_its_place() -> None:
    """A mutant whose line was rewritten says so here, before anyone runs them all."""
    for mutant in MUTANTS.values():
        mutant.make()


def test_the_list_in_the_docs_is_not_stale() -> None:
    rows = re.findall(
        r"^\| (.+?) \| `(.+?)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted((name, mutant.place) for name, mutant in MUTANTS.items()), (
        "run `make mutants`"
    )
    assert "not caught" not in DOCUMENT.read_text(encoding="utf-8")


def test_loading_a_mutant_leaves_the_real_engine_alone() -> None:
    real = stream_engine.StreamEngine
    assert MUTANTS["head not stored"].make().engine is not real
    assert stream_engine.StreamEngine is real


def test_a_failure_says_how_to_replay_it_and_what_it_needs() -> None:
    result = caught("head not stored")
    smallest, off = minimise(result, MUTANTS["head not stored"].make())
    text = failure_text(smallest, off)
    assert f"replay: make sim SEED={result.options.seed} MINUTES=10" in text
    assert re.search(rf"seed {result.options.seed} failed: Violation: D\d+: ", text)
    assert "options: " in text
    assert len(smallest.last_steps) <= 50
    assert off, "nothing could be switched off"
