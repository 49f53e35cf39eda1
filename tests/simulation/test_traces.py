"""Recorded traces: what the engine decided once it decides again.

A change of behaviour is allowed, never unseen: run `make traces` and name it in `changelog.d/`.
"""

from pathlib import Path

import pytest

from router.mapping.trace import replay
from tests.simulation.record_traces import FOLDER

TRACES = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_engine_decides_as_recorded(path: Path) -> None:
    _, difference = replay(path.read_bytes().splitlines())
    assert difference is None, (
        f"{path.name}: {difference}\n"
        "is this change meant? then `make traces`, and name it in changelog.d/"
    )


def test_there_are_twenty_traces() -> None:
    assert len(TRACES) >= 20


@pytest.mark.slow
def test_a_real_router_was_recorded_too() -> None:
    assert [path for path in TRACES if path.stem.startswith("run-")]
