"""Bad functions (`reliability.md` 5): the right error, a whole pool, a loop that never waits.

Each runs in a real environment. After each, the same function must answer a good event at once,
and the event loop must not have waited for it.
"""

import asyncio
import contextlib
import json
import os
import time

import msgspec
import pytest

from router.telemetry import metrics
from router.workers import wire
from router.workers.output import BURST_BYTES, RATE_BYTES_PER_S
from tests.patience import until

from .bad_functions import EXIT, KILLED, PRELUDE, TABLE
from .conftest import Bed

pytestmark = pytest.mark.slow

BUSY_S = 0.7
"""The promise is 50 ms (`make bench ONLY=G15`), in a process that has a core."""

WAITED_S = 30.0
"""A loop that waited for one of these functions would stand for ever, or for its minute; less than
that may be a machine busy with other things."""


class LoopWatch:
    """Longest that the event loop worked, and stood, before it came round."""

    def __init__(self) -> None:
        self._busy_s = self._stood_s = 0.0

    async def run(self) -> None:
        while True:
            began, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.005)
            self._busy_s = max(self._busy_s, time.thread_time() - worked)
            self._stood_s = max(self._stood_s, time.perf_counter() - began)

    @property
    def is_free(self) -> bool:
        return self._busy_s < BUSY_S and self._stood_s < WAITED_S


@pytest.fixture
async def loop_watch():
    watch = LoopWatch()
    task = asyncio.create_task(watch.run())
    yield watch
    task.cancel()


@pytest.mark.parametrize("name", TABLE)
async def test_k3_a_bad_function(bed: Bed, loop_watch: LoopWatch, name: str):
    body, error_type, text = TABLE[name]
    patience_ms = 800 if error_type == "Sandbox.Timedout" else 60_000
    function = bed.function(PRELUDE + f"    {body}\n", timeout_ms=patience_ms)
    reply = await bed.invoke(function, b'"bad"')
    assert reply.error_type == error_type, reply.payload
    if text is not None:
        assert text in reply.payload.decode()
    if error_type is not None and error_type.startswith(("Runtime.Exit", "Sandbox.")):
        assert set(json.loads(reply.payload)) == {"errorType", "errorMessage"}
    began = time.monotonic()
    function = msgspec.structs.replace(function, timeout_ms=60_000)
    assert (await bed.invoke(function, b'"good"')).payload == b'"fine"'
    assert time.monotonic() - began < WAITED_S
    assert loop_watch.is_free


async def test_a_hundred_megabytes_of_stdout_are_bounded_and_counted(bed, loop_watch):
    source = (
        "def handler(event, context):\n"
        "    line = 'x' * 999\n"
        "    for _ in range(100_000): print(line)\n"
    )
    reply = await bed.run(source, name="talker", timeout_ms=150_000)
    assert reply.error_type is None
    assert len(reply.log_tail) <= 4096
    dropped = metrics.REGISTRY.get_sample_value(
        "router_function_log_dropped_bytes_total", {"function": "talker"}
    )
    kept_max = BURST_BYTES + RATE_BYTES_PER_S * (reply.duration_ms / 1000 + 1)
    assert 100_000_000 - kept_max < dropped <= 100_000_000
    assert loop_watch.is_free


async def test_stdout_without_a_newline(bed):
    source = "import sys\ndef handler(event, context):\n    sys.stdout.write('y' * 2_000_000)\n"
    reply = await bed.run(source)
    assert reply.error_type is None
    assert reply.log_tail.endswith(b"\t\n")


async def test_a_handlers_own_children_end_with_its_environment(bed, data):
    source = """
import os, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
    os._exit(1)
"""
    reply = await bed.run(source, name="leaver")
    assert reply.error_type == EXIT
    (zygote,) = bed.launcher.zygotes.known.values()
    await until(lambda: [pid for pid in children_of(zygote.pid) if not is_spare(pid)] == [])


def is_spare(pid: int) -> bool:
    """Whether a child of a zygote is no environment, which has a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) != pid
    return False


def children_of(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(name))
    return found


async def test_memory_over_the_functions_size_ends_it(bed, loop_watch):
    source = (
        "import time\n"
        "def handler(event, context):\n"
        "    x = b'x' * (event << 20)\n"
        "    time.sleep(event and 50)\n"
    )
    function = bed.function(source)
    reply = await bed.invoke(function, b"400")
    assert reply.error_type == "Runtime.OutOfMemory"
    assert KILLED in reply.payload.decode()
    assert b"Error Type: Runtime.OutOfMemory" in reply.log_tail
    assert (await bed.invoke(function, b"0")).error_type is None


async def test_descriptors_of_the_router_stay_with_the_router(bed):
    source = (
        "import os\n"
        "def handler(event, context):\n"
        "    return sorted(map(int, os.listdir('/proc/self/fd')))\n"
    )
    reply = await bed.run(source)
    if reply.error_type is None:  # /proc can be out of reach
        fds = json.loads(reply.payload)
        assert fds[:3] == [0, 1, 2]
        assert len(fds) <= 5


async def test_files_processes_and_descriptors_return_to_where_they_were(bed):
    """L5."""
    good = bed.function("def handler(event, context):\n    return 1\n")
    await bed.invoke(good)
    bed.pool.retire("f")
    await until(lambda: bed.pids == [])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        bad = bed.function("import os\ndef handler(event, context):\n    os._exit(1)\n")
        await bed.invoke(bad)
    await until(lambda: bed.pids == [])
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)


def test_the_largest_frame_holds_the_largest_reply():
    assert wire.FRAME_BYTES_MAX > 6 * 1024 * 1024 + 100
