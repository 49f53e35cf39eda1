"""Words for plays with tumbling windows."""

from router.mapping import engine as e
from router.model import limits
from router.model.outcome import PartlySucceeded, Succeeded
from router.model.progress import LaneProgress
from router.model.window import InvokeWindow, Window, window_frame_bytes
from tests.unit.mapping.play import (
    WALL_MS,
    Play,
    Stated,
    ended,
    fetch,
    fetched,
    invoke,
    nothing,
    opened,
    record,
    save,
    spec_of,
    stored,
)

W = 60_000
START = WALL_MS // W * W
END = START + W
NEXT = END + W
INTO_MS = WALL_MS - START
"""How far into the first window a play begins."""
OVER_MS = W - INTO_MS + limits.WINDOW_GRACE_MS
"""When, on the play's clock, the first window is over."""
FRAME = window_frame_bytes("0", spec_of().source_arn)


def at_wall(position: int, arrival_ms: int, **more):
    return record(position, arrival_ms=arrival_ms, **more)


def windowed(*positions: int, state=b"{}", start=START, end=END, attempt=1) -> Stated:
    return of_window(positions, InvokeWindow(start, end, state), attempt)


def final(state: bytes, start=START, end=END, attempt=1) -> Stated:
    return of_window((), InvokeWindow(start, end, state, is_final=True), attempt)


def early(state: bytes, start=START, end=END, attempt=1) -> Stated:
    return of_window((), InvokeWindow(start, end, state, is_terminated_early=True), attempt)


def of_window(positions, window, attempt) -> Stated:
    plain = invoke(*positions, attempt=attempt)
    return Stated(f"{plain} {window}", lambda c: plain.fits(c) and c.window == window)


def saved(position, state: bytes | None, start=START, end=END, head=None) -> Stated:
    """A step that stores the window with the position."""
    plain, window = save(position, head=head), Window(start, end, state)
    return Stated(f"{plain} {window}", lambda c: plain.fits(c) and c.update.lane.window == window)


def done(state: bytes):
    return ended(Succeeded(state))


def partly(*indexes: int, state: bytes):
    return ended(PartlySucceeded(indexes, state))


def open_window(state=b'{"n":1}', **spec) -> Play:
    """An engine with one window open, all that was read handled and stored, a fetch open."""
    play = Play(tumbling_window_ms=W, **spec)
    play >> opened() << fetch(0)
    play >> fetched(1) << fetch(1) << windowed(1)
    play >> done(state) << saved(1, state)
    play >> stored() << nothing
    return play


def later(window: Window, position: int = 1):
    """A shard found in the store with this window."""
    return opened(position, lanes=(LaneProgress(0, position, window=window),))


def filtered(read_to: int, last_arrival_ms: int):
    return lambda play: e.RecordsFetched(
        play.take(e.Fetch).command_id, (), read_to, last_arrival_ms=last_arrival_ms
    )
