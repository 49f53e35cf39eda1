"""Points at which a crash test may kill the router.

`ROUTER_CHAOS=name` or `name:nth` kills the process with SIGKILL when it passes the point of
that name for the nth time (1 when left out). Without the variable a point costs one comparison.
"""

import os
import signal

from router.model.errors import ConfigError


class _Trap:
    """Where to die, and after how many passes."""

    def __init__(self, text: str) -> None:
        self.name, _, nth = text.partition(":")
        if nth and not (nth.isascii() and nth.isdigit() and int(nth) > 0):
            raise ConfigError(f"ROUTER_CHAOS must be NAME or NAME:NTH, not {text!r}")
        self.passes_left = int(nth or 1)


_trap = _Trap(os.environ.get("ROUTER_CHAOS", ""))


def chaos_point(name: str) -> None:
    """Die here when a crash test asked for it (`docs/contracts/reliability.md` 4, K2)."""
    if name != _trap.name:
        return
    _trap.passes_left -= 1
    if _trap.passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
