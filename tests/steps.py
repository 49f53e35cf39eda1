"""How long one step of an event loop takes: whatever runs between two looks at its descriptors.

In time of the loop's own thread as the kernel counts it: what other processes take of the machine
does not matter, and neither does what a step waits for. Works on asyncio's own loop.
"""

import asyncio
import functools
import time
from typing import Self

STEP_MS_MAX = 50.0
"""No step of the router's loop may take longer (`reliability.md` 5)."""


class StepMeter:
    """The longest step of any loop of this process, while it is entered."""

    def __init__(self) -> None:
        self._worst_ms = 0.0
        self._worst_of = ""

    def __enter__(self) -> Self:
        self._run = run = asyncio.Handle._run

        @functools.wraps(run)
        def measured(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            took_ms = (time.thread_time() - began) * 1000
            if took_ms > self._worst_ms:
                self._worst_ms, self._worst_of = took_ms, _name(handle)

        asyncio.Handle._run = measured
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.Handle._run = self._run

    def take(self) -> tuple[float, str]:
        """The longest since this was asked before, in milliseconds, and what it was."""
        worst, self._worst_ms, self._worst_of = (self._worst_ms, self._worst_of), 0.0, ""
        return worst


def _name(handle: asyncio.Handle) -> str:
    task = getattr(handle._callback, "__self__", None)
    return repr(task.get_coro() if isinstance(task, asyncio.Task) else handle)
