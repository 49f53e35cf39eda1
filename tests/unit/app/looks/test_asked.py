"""What is asked of the store: once for all who look, with rests, and nobody waits for long."""

import asyncio

import pytest

from router.app.looks import asked as a
from router.app.looks.asked import Asked
from router.model.errors import StoreError
from tests.patience import until


class Source:
    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.rounds = 0
        self.error = None

    async def measure(self):
        self.rounds += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


class Nothing:
    def __init__(self):
        self.mappings = {}


@pytest.fixture
def source():
    return Source()


def make(source, problems=dict):
    return Asked(
        Nothing(), None, None, measure=source.measure, oldest_ms=None, webhook_problems=problems,
        wall_ms=lambda: 0,
    )  # fmt: skip


async def test_one_round_for_all_who_look_and_then_a_rest(source):
    asked = make(source)
    await asyncio.gather(*(asked.look([], is_shown=True) for _ in range(5)))
    await asked.look([], is_shown=True)
    assert source.rounds == 1


async def test_nobody_waits_long_for_a_slow_store(source, monkeypatch):
    monkeypatch.setattr(a, "WAIT_S", 0.01)
    source.gate.clear()
    asked = make(source)
    await asked.look([], is_shown=True)
    await asked.look([], is_shown=True)
    assert source.rounds == 1
    source.gate.set()
    await until(lambda: asked._round is None)


async def test_a_store_that_fails_is_asked_again(source, monkeypatch):
    monkeypatch.setattr(a, "REST_S_MAX", 0.0)
    source.error = StoreError("no disk")
    asked = make(source)
    await asked.look([], is_shown=True)
    source.error = None
    await asked.look([], is_shown=True)
    assert source.rounds == 2


async def test_secrets_are_looked_for_now_and_then(source, monkeypatch):
    monkeypatch.setattr(a, "REST_S_MAX", 0.0)
    looked = []

    def problems():
        looked.append(1)
        return {"hook": "none"}

    asked = make(source, problems)
    for _ in range(3):
        await asked.look([], is_shown=False)
    assert asked.webhook_problems == {"hook": "none"}
    assert len(looked) == 1


async def test_closing_asks_no_more(source):
    source.gate.clear()
    asked = make(source)
    looking = asyncio.create_task(asked.look([], is_shown=True))
    await until(lambda: source.rounds)
    asked.close()
    await looking
