"""How long a test waits for what is sure to come.

Ample: a machine that is busy takes seconds for what it mostly does in milliseconds, and no test
may fail for that. A bound of its own is for what is meant to run out.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0


async def until(is_true: Callable[[], object], look_s: float = 0.005) -> None:
    """Wait until it is true, looking every `look_s` seconds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline_s, "it never came true"
        await asyncio.sleep(look_s)
