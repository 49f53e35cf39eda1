"""Watches what environments use where no control group limits it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from router.workers.isolation.plain import PROCESSES_MAX
from router.workers.process import Environment
from router.workers.usage import Usage, usage_of

INTERVAL_S = 0.25


class UsageWatch:
    """Kills an environment that uses more memory than its function has, or too many processes."""

    def __init__(self, living: Callable[[], Iterable[tuple[Environment, int]]]) -> None:
        """`living` gives the environments now, each with its function's memory in MB."""
        self._living = living
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="usage-watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            watched = [(env, mb) for env, mb in self._living() if env.pid and env.status is None]
            if not watched:
                continue
            wanted = [(env.pid, memory_mb * 1024) for env, memory_mb in watched]
            found = await asyncio.to_thread(_usages, wanted)
            for (env, memory_mb), usage in zip(watched, found, strict=True):
                if env.status is None:
                    _judge(env, memory_mb, usage)


def _usages(wanted: list[tuple[int, int]]) -> list[Usage]:
    return [usage_of(pid, memory_kb) for pid, memory_kb in wanted]


def _judge(env: Environment, memory_mb: int, usage: Usage) -> None:
    env.memory_kb_max = max(env.memory_kb_max, usage.anonymous_kb)
    if usage.anonymous_kb > memory_mb * 1024:
        env.is_out_of_memory = True
        env.kill()
    elif usage.tasks > PROCESSES_MAX:
        text = f"[router] ended: more than {PROCESSES_MAX} processes and threads"
        env.output.write((text,))
        env.kill()
