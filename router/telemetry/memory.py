"""What a process does about its memory once it has started."""

import ctypes
import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 5_000
"""Objects made before the garbage collector looks for cycles. Under load far more than its usual
700 are alive at any time without being garbage; nearly all of ours end without it."""


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
