"""Runs every bad function through real pools at one rung and prints the outcomes as JSON.

    python -m tests.security.bad_table RUNG USER VIEW SIZE [CASE ...]
        RUNG, USER, VIEW: as `tests.security.table`; SIZE: one of `ways.SIZES`

One function of each way at a time. After each, a good one must answer, and nothing of the bad one
may be left.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import msgspec

from router.model.errors import ConfigError, NotInvoked
from router.model.function import FunctionVersion, InvokeRequest
from router.workers import runtime_folder
from router.workers.isolation.plan import Facts, IsolationSettings, Planner, probe
from router.workers.launcher import Launcher, own_interpreter
from router.workers.logs import LogWriter
from router.workers.pool import Pool, PoolSettings
from tests.patience import PATIENCE_S
from tests.security.table import become
from tests.security.ways import (
    AMPLE_MS,
    CASES,
    SAME_WITHOUT_VIEW,
    SIZES,
    Case,
    Way,
    find,
    hand_over,
    open_folder,
)
from tests.steps import StepMeter

EPHEMERAL_MB = 32

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


def function(base: Path, way: Way, case: Case, number: int) -> FunctionVersion:
    code = base / f"code{number}"
    code.mkdir(mode=0o755)
    (code / way.file).write_text(case.source)
    return FunctionVersion(
        name=f"f{number}",
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:f{number}",
        runtime=way.runtime,
        handler=way.handler,
        code_path=str(code),
        code_hash=str(number),
        timeout_ms=case.timeout_ms,
        ephemeral_mb=EPHEMERAL_MB,
    )


async def invoke(pool: Pool, version: FunctionVersion, event: str):
    payload = json.dumps(event).encode()
    request = InvokeRequest(
        function=version,
        invoked_arn=version.arn,
        request_id=str(uuid.uuid4()),
        payload=payload,
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


async def one(pool: Pool, version: FunctionVersion) -> dict[str, object]:
    """The bad event, then good ones until one is answered; the function is gone afterwards."""
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
    pool.retire(version.name)
    return {
        "error_type": error_type,
        "text": text,
        "is_whole": good is not None and good.payload == b'"fine"',
        "whole_s": round(time.monotonic() - began, 2),
        "ended": next((line for line in log.splitlines() if line.startswith("[router]")), ""),
    }


class Bed:
    """A pool for each way, and what is measured while one function of each does its worst."""

    def __init__(self, base: Path, pools: dict[str, Pool], meter: StepMeter) -> None:
        self._base = base
        self._pools = pools
        self._meter = meter
        self._bystander = Bystander()
        self._numbers = itertools.count()

    async def together(
        self, cases: list[tuple[str, Way, str]]
    ) -> list[tuple[str, str, dict[str, object]]]:
        """Way, case, outcome: one case of each way at the same time."""
        versions = [
            function(self._base, way, way.cases[case], next(self._numbers))
            for _, way, case in cases
        ]
        watch = LoopWatch()
        self._bystander.worst_s()
        await asyncio.sleep(0)  # what got all this ready is no step of the pool
        self._meter.take()
        task = asyncio.create_task(watch.run())
        outcomes = await asyncio.gather(
            *(
                one(self._pools[name], version)
                for (name, _, _), version in zip(cases, versions, strict=True)
            )
        )
        step_ms, step = self._meter.take()
        measured = {
            "stall_s": round(watch.stall_s, 3),
            "bystander_s": round(await asyncio.to_thread(self._bystander.worst_s), 3),
            "step_ms": round(step_ms, 1),
            "step": step,
        }
        task.cancel()
        began = time.monotonic()
        measured["left"] = await self._left()
        measured["left_s"] = round(time.monotonic() - began, 2)
        return [
            (name, case, outcome | measured)
            for (name, _, case), outcome in zip(cases, outcomes, strict=True)
        ]

    async def _left(self) -> int:
        """Processes that did not go."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            zygotes = {
                zygote.pid
                for pool in self._pools.values()
                for zygote in pool._launcher.zygotes.known.values()
            }
            left = [
                pid
                for pid in descendants(os.getpid())
                # a zygote and its spare
                if pid != self._bystander.pid and session_of(pid) not in zygotes
            ]
            if not left or time.monotonic() > deadline:
                return len(left)
            await asyncio.sleep(0.05)

    def close(self) -> None:
        self._bystander.close()


def pool_of(base: Path, way: Way, facts: Facts, settings: IsolationSettings) -> Pool:
    data = base / "data"
    data.mkdir()
    logs = LogWriter(data)
    launcher = Launcher(
        str(data),
        logs,
        planner=Planner(facts, settings, own_interpreter(), [str(data / "store")]),
        resolve_environment=lambda version: version.environment,
        extra_environment=lambda _version: {},
        runtime=runtime_folder.NONE,
        hosting=way.hosting,
    )
    return Pool(launcher, logs, PoolSettings())


async def run_all(
    base: Path, settings: IsolationSettings, ways: dict[str, Way], names: dict[str, list[str]]
) -> dict[str, object]:
    facts = await asyncio.to_thread(probe, own_interpreter(), settings)
    for way in ways:
        (base / way).mkdir(mode=0o755)
    pools = {name: pool_of(base / name, way, facts, settings) for name, way in ways.items()}
    with StepMeter() as meter:
        bed = Bed(base, pools, meter)
        outcomes: dict[str, dict[str, object]] = {name: {} for name in ways}
        try:
            for pool in pools.values():
                await pool.start()
            for cases in itertools.zip_longest(*names.values()):
                pairs = zip(ways, cases, strict=True)
                wanted = [(way, ways[way], case) for way, case in pairs if case is not None]
                for way, case, outcome in await bed.together(wanted):
                    outcomes[way][case] = outcome
        finally:
            for pool in pools.values():
                await pool.close(0)
            bed.close()
    return {"mechanisms": facts.mechanisms, "outcomes": outcomes}


def names_of(ways: dict[str, Way], size: str, *, view: bool) -> dict[str, list[str]]:
    """Each second way the other way round: what is hard on the machine does not come together."""
    found = {}
    for turn, (name, way) in enumerate(ways.items()):
        cases = [case for case in way.cases if view or case not in SAME_WITHOUT_VIEW]
        wanted = SIZES[size].get(name, way.cases)
        cases = [case for case in cases if case in wanted]
        found[name] = cases[::-1] if turn % 2 else cases
    return found


def main() -> None:
    rung, uid, view = (int(word) for word in sys.argv[1:4])
    folder = open_folder()
    base = None
    try:
        ways = find(tuple(CASES), folder)
        names = names_of(ways, sys.argv[4], view=bool(view))
        if chosen := sys.argv[5:]:
            names = {way: [case for case in chosen if case in ways[way].cases] for way in ways}
        if uid:
            hand_over(folder, uid)
            become(uid)
        base = open_folder()
        settings = IsolationSettings(rung=rung, mounts=bool(view))
        result = asyncio.run(run_all(base, settings, ways, names))
    except ConfigError as error:
        result = {"refused": str(error)}
    finally:
        for path in filter(None, (base, folder)):
            shutil.rmtree(path, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
