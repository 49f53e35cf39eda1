"""What a process does about its memory when it starts, and once it has."""

import ctypes
import gc
import importlib
import sys
from typing import Final

YOUNG_OBJECTS_MAX: Final = 5_000
"""Objects made before the garbage collector looks for cycles. Under load far more than its usual
700 are alive at any time without being garbage; nearly all of ours end without it."""


def load_structlog() -> None:
    """Without `rich`, which it would load for tracebacks in colour, asked for by nobody here.

    A router that runs is 2.7 MB smaller for it. Commands that print tables load `rich` themselves.
    """
    if "rich" not in sys.modules:
        sys.modules["rich"] = None  # type: ignore[assignment]  # "not to be had"
        importlib.import_module("structlog")
        del sys.modules["rich"]


def settle() -> None:
    """What lives from here on is garbage sooner or later; what was made before is not.

    What starting needed and nobody uses any more goes back to the system: a megabyte or more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)
