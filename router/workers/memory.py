"""Watches the memory of environments where no control group does it.

Anonymous memory is what counts: address space would break threads, resident memory would count
what all environments share (`reliability.md` 9).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from router.workers.process import Environment

INTERVAL_S = 0.25


class MemoryWatch:
    """Kills an environment that uses more than its function has."""

    def __init__(self, living: Callable[[], Iterable[tuple[Environment, int]]]) -> None:
        """`living` gives the environments now, each with its function's memory in MB."""
        self._living = living
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="memory-watch")

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
            sizes = await asyncio.to_thread(_sizes_kb, [env.pid for env, _ in watched])
            for (env, memory_mb), size_kb in zip(watched, sizes, strict=True):
                env.memory_kb_max = max(env.memory_kb_max, size_kb)
                if size_kb > memory_mb * 1024 and env.status is None:
                    env.is_out_of_memory = True
                    env.kill()


def _sizes_kb(pids: list[int]) -> list[int]:
    return [anonymous_kb(pid) for pid in pids]


def anonymous_kb(pid: int) -> int:
    """Anonymous resident memory of a process in KiB; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return 0
    _, found, rest = text.partition("RssAnon:")
    return int(rest.split(None, 1)[0]) if found else 0
