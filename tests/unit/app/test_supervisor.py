"""What systemd hears."""

import asyncio
import os
import socket

import pytest

from router.app.supervisor import Supervisor
from tests.patience import PATIENCE_S


@pytest.fixture(params=["path", "abstract"])
def ear(request, tmp_path):
    """A socket as systemd has it, and its name as it says it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@router-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        listening.settimeout(PATIENCE_S)
        yield listening, name


def test_it_says_when_it_is_ready_and_when_it_stops(ear):
    listening, name = ear
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    supervisor.ready()
    supervisor.stopping()
    assert [listening.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


async def test_signs_of_life_come_while_the_loop_runs(ear):
    listening, name = ear
    watched = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
    running = asyncio.create_task(Supervisor(watched).run())
    for _ in range(3):
        assert await asyncio.to_thread(listening.recv, 100) == b"WATCHDOG=1"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"},
    ],
)
async def test_nobody_who_waits_for_signs_of_life_gets_none(environ):
    await asyncio.wait_for(Supervisor(environ).run(), PATIENCE_S)


def test_nobody_who_listens_hurts_nobody(tmp_path):
    Supervisor({}).ready()
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
