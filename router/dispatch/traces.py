"""Traces that begin here: with an invocation whose caller belongs to none."""

import os
import time

from router.model.trace_header import FRESH_BYTES, fresh_header


def new_trace() -> str:
    """The header of a new trace, not sampled."""
    return fresh_header(int(time.time()), os.urandom(FRESH_BYTES))
