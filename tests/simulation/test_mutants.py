"""Honest trials: every engine with one thing wrong is caught by the seeds of `make check`."""

from functools import cache

import pytest

from router.mapping.stream_engine import StreamEngine
from router.model.errors import EngineError
from tests.simulation.mutants import mutants
from tests.simulation.report import failure_text, minimise
from tests.simulation.run import Result, simulate_seed
from tests.simulation.seeds import CI_SEEDS, MINUTES, honest
from tests.simulation.shard_state import Violation
from tests.simulation.world import MakeEngine

MUTANTS = mutants()


@cache
def eventful_first() -> list[int]:
    """The CI seeds, those that meet most first: mutants die sooner."""
    return sorted(CI_SEEDS, key=lambda seed: -len(honest(seed).seen))


def hunt(make_engine: MakeEngine) -> Result | None:
    for seed in eventful_first():
        result = simulate_seed(seed, MINUTES, make_engine)
        if result.error is not None:
            return result
    return None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str) -> None:
    result = hunt(MUTANTS[name]())
    assert result is not None, f"no seed of {CI_SEEDS} notices: {name}"
    assert isinstance(result.error, Violation | EngineError), repr(result.error)


def test_loading_a_mutant_leaves_the_real_engine_alone() -> None:
    from router.mapping import stream_engine

    assert MUTANTS["head not stored"]() is not StreamEngine
    assert stream_engine.StreamEngine is StreamEngine


def test_a_failure_says_how_to_replay_it_and_what_it_needs() -> None:
    make_engine = MUTANTS["one retry too many"]()
    result = hunt(make_engine)
    assert result is not None
    smallest, off = minimise(result, make_engine)
    text = failure_text(smallest, off)
    assert text.endswith(f"replay: make sim SEED={result.options.seed}")
    assert f"seed {result.options.seed} failed: Violation: D10" in text
    assert "options: " in text
    assert len(smallest.last_steps) <= 50
    assert off, "nothing could be switched off"
