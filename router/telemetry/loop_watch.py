"""The watch on an event loop (`performance.md` 2, G15)."""

import asyncio
from collections.abc import Callable
from typing import Final

STALL_PROBE_S: Final = 0.02
"""How often the loop is asked whether it is on time."""


def _nobody(_late_s: float) -> None:
    """Not every loop has a histogram."""


class LoopWatch:
    """Measures how late the event loop wakes up."""

    def __init__(self, observe: Callable[[float], None] = _nobody) -> None:
        """`observe` hears of every probe, in seconds."""
        self._observe = observe
        self._worst_s = 0.0

    async def run(self) -> None:
        """Probe for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + STALL_PROBE_S
            await asyncio.sleep(STALL_PROBE_S)
            late_s = max(0.0, loop.time() - due)
            self._observe(late_s)
            self.note(late_s)

    def note(self, late_s: float) -> None:
        """A stall, also one of another process's loop."""
        self._worst_s = max(self._worst_s, late_s)

    def take_worst_s(self) -> float:
        """The longest stall since this was asked before."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s
