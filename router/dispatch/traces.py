"""Traces that begin here: with an invocation whose caller belongs to none."""

import time
from typing import Final

from router.dispatch.entropy import Entropy
from router.model.trace_header import FRESH_DIGITS, fresh_header, fresh_rest

MADE_AT_ONCE: Final = 64
"""Headers got ready but for their time: many in a row take a fraction of what each costs alone."""

_ENTROPY: Final = Entropy()
_RESTS: Final[list[str]] = []


def new_trace() -> str:
    """The header of a new trace, not sampled. On the event loop only."""
    if not _RESTS:
        _RESTS.extend(fresh_rest(_ENTROPY.take(FRESH_DIGITS)) for _ in range(MADE_AT_ONCE))
    return fresh_header(int(time.time()), _RESTS.pop())
