"""The trials K1, K2, K3 of `docs/contracts/reliability.md` 4."""

import asyncio
import contextlib
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.crash.harness import (
    HERE,
    Collector,
    Plan,
    RouterProcess,
    Sender,
    Snapshot,
    Verdict,
    judge,
    last_calls,
    positions_of,
    settled,
    snapshot,
)
from tests.integration.bed import ingress_pids
from tests.patience import until

TEMPLATE = HERE / "app" / "template.yaml"
SETTLE_S = 60


@dataclass
class Size:
    """How much a trial sends."""

    keys: int = 12
    posts: int = 240
    poison: int = 4
    pause_s: float = 0.01


@dataclass
class Report:
    """A trial's verdict and how honest it was."""

    verdict: Verdict
    kills: list[Snapshot]
    start_s: float
    """How long the router took to be ready on the data the kill left."""

    def line(self) -> str:
        flights = ", ".join(
            f"{len(kill.in_flight)} in flight in {kill.running_calls} calls" for kill in self.kills
        )
        it = self.verdict
        return (
            f"accepted {it.accepted}, lost {len(it.lost)}, out of order {len(it.out_of_order)}, "
            f"discarded {len(it.discarded)}, duplicates {len(it.duplicates)}; at the kill: "
            f"{flights or 'no kill'}; ready again after {self.start_s:.2f} s"
        )


@contextlib.asynccontextmanager
async def stage(folder: Path, size: Size, seed: int, *, timeout_s: int = 60):
    """A router, a collector and a sender that has begun."""
    rng = random.Random(seed)
    collector = Collector()
    parameters = {"Collector": await collector.start(), "Timeout": str(timeout_s)}
    router = RouterProcess(folder, TEMPLATE, parameters)
    plan = Plan.draw(rng, size.keys, size.posts, size.poison)
    sender = Sender(router, plan, size.pause_s)
    try:
        yield rng, collector, router, plan, sender
    finally:
        if router.is_running:
            router.kill()
        await collector.stop()


async def conclude(
    router: RouterProcess, plan: Plan, sender: Sender, collector: Collector, kills: list[Snapshot]
) -> Report:
    """Wait for the end, judge, and see the router stop cleanly without leaving processes."""
    failed = await settled(router, plan, sender.accepted, collector, SETTLE_S)
    verdict = judge(plan, sender.accepted, collector, failed, kills, positions_of(collector))
    children = router.children()
    assert await asyncio.to_thread(router.stop) == 0, router.tail()
    await until(lambda: not any(map(_is_alive, children)))
    return Report(verdict, kills, router.start_s)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def killed_router(folder: Path, seed: int, size: Size | None = None) -> Report:
    """K1: SIGKILL at a uniformly random time while records flow, then a start on the same data."""
    size = size or Size()
    async with stage(folder, size, seed) as (rng, collector, router, plan, sender):
        router.start()
        sending = asyncio.create_task(sender.run())
        await busy(collector)
        await asyncio.sleep(rng.uniform(0, 1.2))
        router.kill()
        kills = [snapshot(router, collector)]
        await asyncio.to_thread(router.start)
        await asyncio.wait_for(sending, SETTLE_S)
        return await conclude(router, plan, sender, collector, kills)


async def killed_at_point(folder: Path, point: str, seed: int) -> Report:
    """K2: SIGKILL at a named point of the router, at its nth pass."""
    async with stage(folder, Size(), seed) as (rng, collector, router, plan, sender):
        # A first life makes the store, so that the point is passed under load, not while starting.
        router.start()
        assert router.stop() == 0
        nth = rng.randint(1, 3) if "discard" in point else rng.randint(2, 14)
        await asyncio.to_thread(router.start, {"ROUTER_CHAOS": f"{point}:{nth}"})
        sending = asyncio.create_task(sender.run())
        async with asyncio.timeout(SETTLE_S):
            while router.is_running:
                await asyncio.sleep(0.01)
        assert router.process is not None
        assert router.process.returncode == -signal.SIGKILL, router.tail()
        kills = [snapshot(router, collector)]
        await asyncio.to_thread(router.start)
        await asyncio.wait_for(sending, SETTLE_S)
        return await conclude(router, plan, sender, collector, kills)


async def killed_workers(folder: Path, seed: int, how: str) -> Report:
    """K3: environments die or misbehave in the middle of batches; the router lives on."""
    size = Size(poison=2)
    timeout_s = 3 if how in {"stop", "close"} else 60  # these do not end by themselves
    async with stage(folder, size, seed, timeout_s=timeout_s) as (
        rng,
        collector,
        router,
        plan,
        sender,
    ):
        router.start()
        sending = asyncio.create_task(sender.run())
        await busy(collector)
        kills = []
        for _ in range(3):
            await asyncio.sleep(rng.uniform(0.05, 0.3))
            if how == "kill":
                pids = _environments(router)
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.05)
                kills.append(last_calls(collector, pids))
            else:
                collector.orders.append(f"{how}\n".encode())
        await asyncio.wait_for(sending, SETTLE_S)
        return await conclude(router, plan, sender, collector, kills)


async def killed_ingress(folder: Path, seed: int) -> Report:
    """The ingress process is killed again and again; the router lives on.

    No environment dies, so nothing at all may be handled twice: what was handed over and not
    answered is sent again, and known.
    """
    async with stage(folder, Size(poison=2), seed) as (rng, collector, router, plan, sender):
        router.start({"ROUTER_INGRESS_PROCESSES": "1"})
        assert router.process is not None
        sending = asyncio.create_task(sender.run())
        await busy(collector)
        for _ in range(3):
            (pid,) = ingress_pids(router.process.pid)
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(rng.uniform(0.1, 0.5))
            async with asyncio.timeout(SETTLE_S):
                while pid in (now := ingress_pids(router.process.pid)) or not now:
                    await asyncio.sleep(0.01)
        await asyncio.wait_for(sending, SETTLE_S)
        return await conclude(router, plan, sender, collector, [])


def _environments(router: RouterProcess) -> list[int]:
    """Processes two below the router: forked by a zygote."""
    assert router.process is not None
    direct = set(_children_of(router.process.pid))
    return [pid for zygote in direct for pid in _children_of(zygote)]


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(text) for text in task.read_text().split()]
    return found


async def busy(collector: Collector) -> None:
    """Until the first batch is being handled."""
    async with asyncio.timeout(SETTLE_S):
        while not collector.calls:
            await asyncio.sleep(0.005)
