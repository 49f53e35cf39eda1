"""The driver in a drain: a fetch that was ended is answered and read again (D1)."""

import asyncio

import pytest

from router.mapping import engine as e
from router.mapping.budget import Budget
from router.mapping.driver import SystemClock
from router.mapping.shell import Shell
from router.mapping.stream_engine import StreamEngine
from router.model.mapping_spec import MappingSpec
from router.model.progress import ShardProgress
from router.telemetry.mapping_metrics import MappingMetrics
from tests.patience import PATIENCE_S


class Source:
    """Counts who waits; brings nothing."""

    def __init__(self):
        self.fetches = 0

    async def fetch(self, shard, after, records_max, bytes_max, wait_ms, aside):
        self.fetches += 1
        await asyncio.Event().wait()


@pytest.fixture
async def shell():
    numbers = MappingMetrics("m", "u", "f", "arn")
    shell = Shell(
        MappingSpec(uuid="u", name="m", function_arn="f", source_arn="arn"),
        StreamEngine(MappingSpec(uuid="u", name="m", function_arn="f", source_arn="arn")),
        source=Source(),
        source_format=None,
        progress=None,
        runner=None,
        mailbox=None,
        resolve=None,
        numbers=numbers,
        clock=SystemClock(),
        budget=Budget(),
        on_broken=lambda: pytest.fail("it broke"),
    )
    yield shell
    await shell.stop()
    numbers.remove()


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_d1_a_shard_is_read_again_after_a_drain_that_was_called_off(shell, turns):
    """However little of a fetch had begun when the drain ended it."""
    shell.start([e.ShardOpened("0", ShardProgress(0))])
    for _ in range(turns):
        await asyncio.sleep(0)
    shell.begin_drain()
    for _ in range(3):
        await asyncio.sleep(0)
    fetches = shell._source.fetches
    shell.resume()
    async with asyncio.timeout(PATIENCE_S):
        while shell._source.fetches == fetches:
            await asyncio.sleep(0.005)


async def test_d1_a_drain_that_is_called_off_at_once_stops_no_reading(shell):
    shell.start([e.ShardOpened("0", ShardProgress(0))])
    shell.begin_drain()
    shell.resume()
    async with asyncio.timeout(PATIENCE_S):
        while not shell._source.fetches:
            await asyncio.sleep(0.005)
