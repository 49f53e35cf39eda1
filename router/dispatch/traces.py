"""Traces that begin here: with an invocation whose caller belongs to none."""

import time
from typing import Final

from router.dispatch.entropy import Entropy
from router.model.trace_header import FRESH_DIGITS, fresh_header

_ENTROPY: Final = Entropy()


def new_trace() -> str:
    """The header of a new trace, not sampled. On the event loop only."""
    return fresh_header(int(time.time()), _ENTROPY.take(FRESH_DIGITS))
