"""Long work in the event loop, cut so small that nobody waits for it.

Told by processor time: on a machine whose processors are taken, what is short must not rest for
having had to wait.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SLICE_S: Final = 0.002
"""Longest turn of work that nobody waits for, like a scrape of thousands of mappings."""

REST_SHARE: Final = 3.0
"""It rests so many times as long as it worked: a quarter of the loop at most."""


class Slices:
    """Ask `is_due` often, and when it is, `pause`."""

    def __init__(self) -> None:
        self._worked_s = 0.0
        self._rested_s = 0.0
        """Of what was worked, what it has rested for."""
        self._began_s = time.thread_time()

    @property
    def is_due(self) -> bool:
        """Whether the turn has been long enough."""
        return self.spent_s - self._rested_s >= SLICE_S

    @property
    def spent_s(self) -> float:
        """Time of the loop that all turns took."""
        return self._worked_s + time.thread_time() - self._began_s

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done elsewhere meanwhile, and by others, is none of this work."""
        self._worked_s += time.thread_time() - self._began_s
        try:
            yield
        finally:
            self._began_s = time.thread_time()

    async def breathe(self) -> None:
        """Let everybody else have their turn, without a rest: for work that waits anyway."""
        with self.aside():
            self._rested_s = self._worked_s
            await asyncio.sleep(0)

    async def pause(self) -> None:
        """Let everybody else have their turn."""
        with self.aside():
            owed_s = self._worked_s - self._rested_s
            self._rested_s = self._worked_s
            await asyncio.sleep(owed_s * REST_SHARE)
