"""A process in reserve becomes the next environment; whatever befalls it, nobody waits for it."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.patience import until

from .conftest import Bed
from .test_bad_functions import children_of, is_spare

LOTTERY = """
import os, random, uuid
def handler(event, context):
    return {"pid": os.getpid(), "drawn": random.random(), "id": str(uuid.uuid4())}
"""


def zygote_of(bed: Bed) -> int:
    (zygote,) = bed.launcher.zygotes.known.values()
    return zygote.pid


def spares(bed: Bed) -> list[int]:
    return [pid for pid in children_of(zygote_of(bed)) if is_spare(pid)]


async def the_spare(bed: Bed) -> int:
    await until(lambda: len(spares(bed)) == 1)
    return spares(bed)[0]


async def told(bed: Bed, name: str) -> dict[str, object]:
    reply = await bed.run(LOTTERY, name=name)
    assert reply.error_type is None, reply.payload
    return json.loads(reply.payload)


async def test_it_becomes_the_next_environment_and_another_takes_its_place(bed: Bed):
    seen = []
    for number in range(3):
        spare = await the_spare(bed)
        told_now = await told(bed, f"one-{number}")
        assert told_now["pid"] == spare
        seen.append(told_now)
    assert len({one["drawn"] for one in seen}) == len({one["id"] for one in seen}) == 3


async def test_a_burst_needs_more_than_one(bed: Bed):
    seen = [await told(bed, f"burst-{number}") for number in range(8)]
    assert len({one["pid"] for one in seen}) == 8
    assert await the_spare(bed) not in {one["pid"] for one in seen}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_was_killed_is_not_missed(bed: Bed, number: signal.Signals):
    spare = await the_spare(bed)
    os.kill(spare, number)
    assert (await told(bed, "first"))["pid"] != spare
    assert await the_spare(bed) != spare


async def test_one_that_is_stopped_and_killed_with_the_message_in_its_hands(bed: Bed):
    """Its environment has ended before it was loaded, and another one is started (8.5)."""
    spare = await the_spare(bed)
    os.kill(spare, signal.SIGSTOP)
    running = asyncio.create_task(told(bed, "held"))
    await until(lambda: len(spares(bed)) == 2)  # the one given away, and the next
    os.kill(spare, signal.SIGKILL)
    assert (await running)["pid"] != spare


async def test_it_holds_no_descriptor_of_the_zygote(bed: Bed):
    open_files = {os.readlink(file) for file in Path(f"/proc/{await the_spare(bed)}/fd").iterdir()}
    assert len([name for name in open_files if name.startswith("socket:")]) == 1


async def test_it_ends_with_its_zygote(bed: Bed):
    spare = await the_spare(bed)
    os.kill(zygote_of(bed), signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{spare}").exists())
    assert (await told(bed, "after"))["pid"] != spare
