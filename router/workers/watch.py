"""Watches what environments use, as far as no control group limits it."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable

from router.model.function import FunctionVersion
from router.model.limits import MIB
from router.workers.isolation.plain import PROCESSES_MAX
from router.workers.process import Environment
from router.workers.usage import Usage, is_folder_over, usage_of

INTERVAL_S = 0.25
FOLDER_ROUNDS = 4
"""Every so many rounds the size of each `/tmp` is looked at."""

Living = Iterable[tuple[Environment, FunctionVersion]]


class UsageWatch:
    """Kills an environment with more memory, processes or files in `/tmp` than it may have."""

    def __init__(self, living: Callable[[], Living], *, has_groups: bool) -> None:
        """`living` gives the environments now. `has_groups`: the kernel limits all but files."""
        self._living = living
        self._has_groups = has_groups
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
        for number in itertools.count(1):
            await asyncio.sleep(INTERVAL_S)
            watched = [item for item in self._living() if item[0].pid and item[0].status is None]
            if watched and not self._has_groups:
                wanted = [(env.pid, function.memory_mb * 1024) for env, function in watched]
                for (env, function), usage in zip(
                    watched, await asyncio.to_thread(_usages, wanted), strict=True
                ):
                    _judge(env, function.memory_mb, usage)
            if watched and number % FOLDER_ROUNDS == 0:
                folders = [(env.tmp_path, function.ephemeral_mb * MIB) for env, function in watched]
                for (env, function), is_over in zip(
                    watched, await asyncio.to_thread(_overs, folders), strict=True
                ):
                    if is_over:
                        env.is_retired = True  # the next one starts with an empty folder
                        _end(env, f"more than {function.ephemeral_mb} MB in /tmp")


def _usages(wanted: list[tuple[int, int]]) -> list[Usage]:
    return [usage_of(pid, memory_kb) for pid, memory_kb in wanted]


def _overs(folders: list[tuple[str, int]]) -> list[bool]:
    return [is_folder_over(path, bytes_max) for path, bytes_max in folders]


def _judge(env: Environment, memory_mb: int, usage: Usage) -> None:
    env.memory_kb_max = max(env.memory_kb_max, usage.memory_kb)
    if usage.memory_kb > memory_mb * 1024:
        env.is_out_of_memory = True
        env.kill()
    elif usage.tasks > PROCESSES_MAX:
        _end(env, f"more than {PROCESSES_MAX} processes and threads")


def _end(env: Environment, reason: str) -> None:
    if env.status is None:
        env.output.write((f"[router] ended: {reason}",))
        env.kill()
