"""Runs every bad function through a real pool at one rung and prints the outcomes as JSON.

    python -m tests.security.bad_table RUNG USER VIEW        (as `tests.security.table`)

After each, a good function must answer, and nothing of the bad one may be left.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from router.model.errors import ConfigError, NotInvoked
from router.model.function import FunctionVersion, InvokeRequest
from router.workers import runtime_folder
from router.workers.isolation.plan import IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings
from tests.patience import PATIENCE_S
from tests.security.table import become
from tests.unit.workers.bad_functions import PRELUDE, TABLE, WORSE

BODIES = {name.replace("_", " "): (body, (error,)) for name, (body, error, _) in TABLE.items()}
BODIES |= WORSE
QUICK_MS = 800
"""For what is meant to run out, or is stopped by whatever comes first."""

LONG_MS = 8_000
AMPLE_MS = 60_000
LONG = {"100 MB of output", "2 GiB of memory", "2 GiB in a child", "/tmp until full"} | {
    "/tmp with very many files",
    "one large file",
    "too many threads",
}
EPHEMERAL_MB = 32
SAME_WITHOUT_VIEW = {name for name in WORSE if "/tmp" not in name and "file" not in name}
"""What takes seconds and is stopped by what has nothing to do with the files a function sees."""


BYSTANDER = """
import select, sys, time
worst = 0.0
while True:
    began = time.perf_counter()
    asked, _, _ = select.select([sys.stdin], [], [], 0.005)
    if asked:
        if not sys.stdin.readline():
            break
        print(worst, flush=True)
        worst = 0.0
    else:
        worst = max(worst, time.perf_counter() - began - 0.005)
"""


class Bystander:
    """A process that only waits: what it waits too long is the machine's doing, not the pool's."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BYSTANDER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def worst_s(self) -> float:
        """Longest since it was asked last."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


class LoopWatch:
    """Longest time the event loop did not come round."""

    def __init__(self) -> None:
        self.stall_s = 0.0

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.stall_s = max(self.stall_s, time.perf_counter() - began - 0.005)


def function(base: Path, name: str, number: int) -> FunctionVersion:
    body = BODIES[name][0] if name else "pass"
    code = base / f"code{number}"
    code.mkdir(mode=0o755)
    (code / "app.py").write_text(PRELUDE + f"    {body}\n")
    return FunctionVersion(
        name=f"f{number}",
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:f{number}",
        runtime=f"python3.{sys.version_info.minor}",
        handler="app.handler",
        code_path=str(code),
        code_hash=str(number),
        timeout_ms=patience_ms(name),
        ephemeral_mb=EPHEMERAL_MB,
    )


def patience_ms(name: str) -> int:
    if "Sandbox.Timedout" in BODIES[name][1]:
        return LONG_MS if name in LONG else QUICK_MS
    return AMPLE_MS


async def invoke(pool: Pool, version: FunctionVersion, event: str):
    payload = json.dumps(event).encode()
    request = InvokeRequest(
        function=version, invoked_arn=version.arn, request_id="bad", payload=payload
    )
    return await pool.invoke(request)


def descendants(root: int) -> list[int]:
    """All processes below one, zombies aside."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def session_of(pid: int) -> int:
    """Its session; 0 when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return 0


async def one(
    pool: Pool, base: Path, name: str, number: int, bystander: Bystander
) -> dict[str, object]:
    version = function(base, name, number)
    watch = LoopWatch()
    bystander.worst_s()
    task = asyncio.create_task(watch.run())
    try:
        reply = await invoke(pool, version, "bad")
        error_type, log = reply.error_type, reply.log_tail.decode(errors="replace")
        text = reply.payload.decode(errors="replace")[:200]
    except NotInvoked as error:
        error_type, text, log = error.reason, str(error), ""
    began = time.monotonic()
    good, version = None, msgspec.structs.replace(version, timeout_ms=AMPLE_MS)
    while time.monotonic() - began < PATIENCE_S:
        try:
            good = await invoke(pool, version, "good")
            break
        except NotInvoked:
            await asyncio.sleep(0.02)
    whole_s = time.monotonic() - began
    bystander_s = await asyncio.to_thread(bystander.worst_s)
    task.cancel()
    pool.retire(version.name)
    deadline = time.monotonic() + PATIENCE_S
    zygotes = {zygote.pid for zygote in pool._launcher._zygotes.values()}
    while left := [
        pid
        for pid in descendants(os.getpid())
        if pid != bystander.pid and session_of(pid) not in zygotes  # a zygote and its spare
    ]:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.05)
    return {
        "error_type": error_type,
        "text": text,
        "is_whole": good is not None and good.payload == b'"fine"',
        "whole_s": round(whole_s, 2),
        "stall_s": round(watch.stall_s, 3),
        "bystander_s": round(bystander_s, 3),
        "left": len(left),
        "ended": next((line for line in log.splitlines() if line.startswith("[router]")), ""),
    }


async def run_all(base: Path, settings: IsolationSettings, names: list[str]) -> dict[str, object]:
    facts = await asyncio.to_thread(probe, own_interpreter(), settings)
    logs = LogWriter(base / "data")
    launcher = Launcher(
        str(base / "data"),
        logs,
        planner=Planner(facts, settings, own_interpreter(), [str(base / "data/store")]),
        resolve_environment=lambda version: version.environment,
        extra_environment=lambda _version: {},
        runtime=runtime_folder.NONE,
    )
    pool = Pool(launcher, logs, PoolSettings())
    await pool.start()
    bystander = Bystander()
    try:
        outcomes = {
            name: await one(pool, base, name, number, bystander)
            for number, name in enumerate(names)
        }
    finally:
        await pool.close(0)
        bystander.close()
    return {"mechanisms": facts.mechanisms, "outcomes": outcomes}


def main() -> None:
    rung, uid, view = (int(word) for word in sys.argv[1:4])
    names = sys.argv[4:] or [name for name in BODIES if view or name not in SAME_WITHOUT_VIEW]
    if uid:
        become(uid)
    base = Path(tempfile.mkdtemp(prefix="router-bad-"))
    base.chmod(0o755)
    try:
        settings = IsolationSettings(rung=rung, mounts=bool(view))
        result = asyncio.run(run_all(base, settings, names))
    except ConfigError as error:
        result = {"refused": str(error)}
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
