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
def patience(monkeypatch):
    """A process takes as long to start as the machine's other work lets it."""
    monkeypatch.setattr(front, "START_S", PATIENCE_S)
