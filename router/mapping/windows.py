"""Which tumbling window a record belongs to (`event-source-mappings.md` 6).

Windows follow one another and never overlap or go back: a record that comes late joins the
window that is open, or the one after the last. Only after a clock that was far ahead is set back
they begin anew, where the clock is: else nothing would end for as long as it was ahead (T1).
"""

from enum import Enum, auto

from router.model import limits
from router.model.window import EMPTY_STATE, Window, window_frame_bytes

Bounds = tuple[int, int]
"""Start and end of a window, epoch milliseconds; the end is the first one after it."""


def bounds_of(arrival_ms: int, last: Window | None, width_ms: int) -> Bounds:
    """The window of a record that is next in a lane whose last window is `last`.

    Aligned to the epoch. Settings that changed hold from the next window on: it begins where the
    last one ended and ends where one of the new width does.
    """
    if last is not None and is_ahead(last.end_ms, arrival_ms):
        last = None
    if last is not None and last.is_open and arrival_ms < last.end_ms:
        return last.start_ms, last.end_ms
    start_ms = arrival_ms // width_ms * width_ms
    if last is not None:
        start_ms = max(start_ms, last.end_ms)
    return start_ms, (start_ms // width_ms + 1) * width_ms


def is_ahead(end_ms: int, wall_ms: int) -> bool:
    """Whether a window is of a time that the clock was set back from."""
    return end_ms - wall_ms > limits.WINDOW_AHEAD_MS_MAX


class WindowCall(Enum):
    """A call of the window itself, without records."""

    FINAL = auto()
    """The window is over: its success closes it."""
    EARLY = auto()
    """The state is too large: its success empties it, and the window goes on."""


def state_in(bounds: Bounds, last: Window | None) -> bytes:
    """The state that a call in this window is given."""
    if last is None or last.state is None or last.start_ms != bounds[0]:
        return EMPTY_STATE
    return last.state


def frame_bytes(bounds: Bounds, last: Window | None, shard: str, source_arn: str) -> int:
    """What the event of such a call takes besides its records (D11)."""
    return window_frame_bytes(shard, source_arn) + len(state_in(bounds, last))
