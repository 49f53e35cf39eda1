"""Both loops, and patience with a process that starts."""

import asyncio

import pytest
import uvloop

from router.ingress import front
from tests.patience import PATIENCE_S


def pytest_asyncio_loop_factories(config, item):
    """Every test runs on both loops: uvloop in production, asyncio's own wherever it is not."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """The process takes as long to start, and to answer, as the machine's other work lets it."""
    for name in ("START_S", "ASK_S", "COUNTED_S", "HEARD_S"):
        monkeypatch.setattr(front, name, PATIENCE_S)
