"""Environments started ahead: kept, replaced, given up, never in anybody's way (5.3, 8.5)."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from router.model.function import FunctionVersion
from router.workers import provisions as module
from router.workers.pool import PoolSettings
from tests.patience import until

from .conftest import Bed as PoolBed

ABOUT = """
import os, time
KIND = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("dies"):
        os._exit(1)
    return [os.getpid(), KIND]
"""


class Bed(PoolBed):
    async def open(self, *args, **fields):
        pool = await super().open(*args, **fields)
        pool.provisions.open()
        return pool


@pytest.fixture
async def bed(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    yield bed
    await bed.pool.close(0)


async def keep(bed: Bed, function: FunctionVersion, count: int) -> None:
    """Have so many, and wait for them."""
    bed.pool.provisions.keep([(function, count)])
    await until(lambda: ready(bed, function) == count)


def ready(bed: Bed, function: FunctionVersion) -> int:
    provision = bed.pool.provisions.of(function)
    return len(provision.ready) if provision is not None else 0


async def about(bed: Bed, function: FunctionVersion, **event: object) -> tuple[int, str]:
    reply = await bed.invoke(function, json.dumps(event).encode())
    pid, kind = json.loads(reply.payload)
    assert (reply.init_ms is None) == (kind == "provisioned-concurrency")
    return pid, kind


async def test_an_invocation_finds_one_that_is_ready_and_spills_over_when_none_is(bed):
    function = bed.function(ABOUT, version="1")
    heard: list[tuple[str, int]] = []
    bed.pool.provisions.on_change = lambda version, count: heard.append((version.version, count))
    await keep(bed, function, 1)
    assert heard == [("1", 1)]
    pid, kind = await about(bed, function)
    assert kind == "provisioned-concurrency"
    assert (await about(bed, function))[0] == pid
    both = await asyncio.gather(about(bed, function, sleep=0.3), about(bed, function))
    assert sorted(kind for _, kind in both) == ["on-demand", "provisioned-concurrency"]
    other = bed.function(ABOUT, version="2")
    assert (await about(bed, other))[1] == "on-demand", "another version has none"


async def test_what_dies_is_replaced(bed):
    function = bed.function(ABOUT, version="1")
    await keep(bed, function, 2)
    reply = await bed.invoke(function, b'{"dies": true}')
    assert reply.error_type == "Runtime.ExitError"
    await until(lambda: ready(bed, function) == 2)
    first = next(iter(bed.pool.provisions.of(function).ready)).pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: ready(bed, function) == 2 and first not in bed.pids)


async def test_fewer_and_none_end_what_is_too_much(bed):
    function = bed.function(ABOUT, version="1")
    await keep(bed, function, 3)
    running = asyncio.create_task(about(bed, function, sleep=0.2))
    await asyncio.sleep(0)  # it begins, whatever else this machine does
    assert len(bed.pool.provisions.of(function).idle) == 2
    bed.pool.provisions.keep([(function, 1)])
    assert ready(bed, function) == 1, "the one that runs goes on"
    assert (await running)[1] == "provisioned-concurrency"
    bed.pool.provisions.keep([])
    await until(lambda: not bed.pids)
    assert (await about(bed, function))[1] == "on-demand"


async def test_a_version_made_anew_has_environments_of_its_own(bed):
    old, new = bed.function(ABOUT, version="1"), bed.function(ABOUT, version="1")
    await keep(bed, old, 1)
    pid, _ = await about(bed, old)
    await keep(bed, new, 1)
    assert (await about(bed, new))[0] != pid
    await until(lambda: pid not in bed.pids)


async def test_an_initialisation_that_fails_is_tried_again_ever_more_slowly(bed, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    function = bed.function("raise OSError('no database')\n", version="1")
    bed.pool.provisions.keep([(function, 1)])
    provision = bed.pool.provisions.of(function)
    assert not provision.has_failed
    await until(lambda: provision.has_failed)
    assert provision.failures == module.FAILURES_MAX
    assert not provision.has_been_ready
    Path(function.code_path, "app.py").write_text(ABOUT + "# another size\n")
    await until(lambda: len(provision.ready) == 1)
    assert provision.has_been_ready
    assert not provision.has_failed


async def test_what_cannot_be_started_at_all_is_not_the_functions_failure(bed, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    function = bed.function(ABOUT, version="1", runtime="cobol")
    bed.pool.provisions.keep([(function, 1)])
    provision = bed.pool.provisions.of(function)
    await until(lambda: provision.failures > module.FAILURES_MAX)
    assert not provision.has_failed


async def test_it_is_neither_idle_for_too_long_nor_thrown_out(data, facts):
    bed = Bed(data, facts)
    await bed.open(PoolSettings(environments_max=2, idle_s=0.1))
    try:
        function = bed.function(ABOUT, version="1")
        await keep(bed, function, 1)
        pid, _ = await about(bed, function)
        for name in "abc":  # each needs the room of the one before
            assert (await about(bed, bed.function(ABOUT, name=name)))[1] == "on-demand"
        await until(lambda: bed.pids == [pid])  # those on demand have been idle for too long
        assert await about(bed, function) == (pid, "provisioned-concurrency")
    finally:
        await bed.pool.close(0)
    assert not bed.pids


@pytest.mark.parametrize("is_killed_while_starting", [True, False])
async def test_s2_nothing_is_started_any_more_once_the_pool_closes(
    data, facts, is_killed_while_starting
):
    bed = Bed(data, facts)
    await bed.open(PoolSettings())
    function = bed.function(ABOUT, version="1")
    bed.pool.provisions.keep([(function, 3)])
    if not is_killed_while_starting:
        await until(lambda: ready(bed, function) == 3)
    await bed.pool.close(0)
    assert not bed.pids
