"""What an environment uses counts with all it started, shared pages once."""

import os
import subprocess
import sys
import time

import pytest

from router.workers import usage
from router.workers.usage import is_folder_over, usage_of

from .conftest import Bed

PARENT = """
import os, sys, threading, time
data = bytearray(os.urandom(1)) * (40 << 20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(60)
for _ in range(2):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent():
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"ready\n"
    yield process
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()


def test_all_processes_and_threads_below_are_counted(parent):
    assert usage_of(parent.pid, 1 << 30).tasks == 1 + 2 + 3


def test_pages_that_forks_share_count_once_when_it_matters(parent):
    cheap = usage_of(parent.pid, 1 << 30).memory_kb
    assert cheap > 4 * 40 * 1024, "each of four processes has all 40 MiB"
    assert 40 * 1024 < usage_of(parent.pid, 1024).memory_kb < 80 * 1024


SHARED = """
import mmap, os, time
data = mmap.mmap(-1, 40 << 20)
data.write(b"x" * (40 << 20))
for _ in range(3):
    if os.fork() == 0:
        sum(data[at] for at in range(0, 40 << 20, 4096))
        os.write(1, b"ready\\n")
        time.sleep(60)
time.sleep(60)
"""


def test_memory_shared_without_a_file_counts_and_once():
    with subprocess.Popen(
        [sys.executable, "-c", SHARED], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            for _ in range(3):
                assert process.stdout.readline() == b"ready\n"
            assert usage_of(process.pid, 1 << 30).memory_kb > 4 * 40 * 1024
            assert 40 * 1024 < usage_of(process.pid, 1024).memory_kb < 80 * 1024
        finally:
            os.killpg(process.pid, 9)


def test_a_process_that_is_gone_uses_nothing(parent):
    os.kill(parent.pid, 9)
    parent.wait()
    assert usage_of(parent.pid, 1024).tasks == 0


async def test_memory_of_a_functions_children_counts(bed: Bed):
    source = (
        "import os, time\n"
        "def handler(event, context):\n"
        "    for _ in range(3):\n"
        "        if os.fork() == 0:\n"
        "            x = b'x' * (event << 20)\n"
        "            time.sleep(55)\n"
        "    time.sleep(event and 50)\n"
        "    return 'fits'\n"
    )
    function = bed.function(source)
    reply = await bed.invoke(function, b"80")
    assert reply.error_type == "Runtime.OutOfMemory", reply
    assert reply.memory_mb_max > 128


async def test_children_that_share_what_there_is_do_not_count_it_again(bed: Bed):
    source = (
        "import os, time\n"
        "x = b'x' * (60 << 20)\n"
        "def handler(event, context):\n"
        "    children = [os.fork() for _ in range(4)]\n"
        "    time.sleep(1)\n"
        "    if 0 in children: os._exit(0)\n"
        "    return 'fits'\n"
    )
    reply = await bed.run(source)
    assert reply.payload == b'"fits"', reply


async def test_more_processes_than_lambda_allows_end_the_environment(bed: Bed):
    source = (
        "import subprocess, threading, time\n"
        "def handler(event, context):\n"
        "    threading.stack_size(65_536)\n"
        "    for _ in range(1_100):\n"
        "        threading.Thread(target=time.sleep, args=(55,), daemon=True).start()\n"
        "    time.sleep(55)\n"
    )
    began = time.monotonic()
    reply = await bed.run(source, timeout_ms=55_000, memory_mb=1_024)
    assert time.monotonic() - began < 50
    if reply.error_type == "RuntimeError":  # an own user: the kernel refuses the next one
        assert b"can't start new thread" in reply.payload
    else:
        assert reply.error_type == "Runtime.ExitError"
        assert b"more than 1024 processes and threads" in reply.log_tail


def test_a_folder_is_over_by_size_or_by_number_and_links_are_not_followed(tmp_path, monkeypatch):
    (tmp_path / "tmp/below").mkdir(parents=True)
    (tmp_path / "large").write_bytes(b"x" * 400_000)
    folder = str(tmp_path / "tmp")
    (tmp_path / "tmp/below/link").symlink_to(tmp_path / "large")
    (tmp_path / "tmp/loop").symlink_to(tmp_path / "tmp")
    assert not is_folder_over(folder, 300_000)
    (tmp_path / "tmp/below/file").write_bytes(b"x" * 400_000)
    assert is_folder_over(folder, 300_000)
    assert not is_folder_over(folder, 500_000)
    monkeypatch.setattr(usage, "_NAMES_MAX", 3)
    assert is_folder_over(folder, 500_000)
    assert not is_folder_over(str(tmp_path / "gone"), 0)


async def test_after_a_full_tmp_the_next_environment_has_an_empty_one(bed: Bed):
    source = (
        "import os, tempfile, time\n"
        "def handler(event, context):\n"
        "    found = os.listdir(tempfile.gettempdir())\n"
        "    for n in range(event):\n"
        "        with open(f'{tempfile.gettempdir()}/{n}', 'wb') as f: f.write(b'x' * 500_000)\n"
        "    time.sleep(event and 50)\n"
        "    return found\n"
    )
    function = bed.function(source, ephemeral_mb=2)
    reply = await bed.invoke(function, b"9")
    assert reply.error_type == "Runtime.ExitError"
    assert b"[router] ended: more than 2 MB in /tmp" in reply.log_tail
    assert (await bed.invoke(function, b"0")).payload == b"[]"
