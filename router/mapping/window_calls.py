"""The calls of a tumbling window itself: its end, and its early end (contract, section 6).

Both carry no records, use up no retries and are made until they succeed. Which one is due
follows from what is stored, so that a restart makes it again.
"""

from collections.abc import Iterator

from router.mapping import batching, retry
from router.mapping.lanes import Lane, Phase
from router.mapping.shard import Shard
from router.mapping.windows import Bounds, WindowCall, is_ahead, state_in
from router.model import limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.window import EMPTY_STATE, InvokeWindow, Window, window_frame_bytes


def due(shard: Shard, lane: Lane, spec: MappingSpec) -> WindowCall | None:
    """The call that comes before the next batch of a lane that gathers; None: there is none."""
    window = lane.window
    if window is None or window.state is None:
        return None
    if len(window.state) > spec.state_bytes_max:
        return WindowCall.EARLY
    if not spec.tumbling_window_ms or not lane.is_sole:
        return WindowCall.FINAL
    if not lane.queue:
        return WindowCall.FINAL if shard.is_past(window.end_ms) else None
    front = lane.queue[0]
    if front.arrival_ms >= window.end_ms or is_ahead(window.end_ms, front.arrival_ms):
        return WindowCall.FINAL
    frame_bytes = window_frame_bytes(lane.shard, spec.source_arn)
    # A record that only the state leaves no room for is not given up.
    if batching.is_oversized(
        front, spec, frame_bytes + len(window.state)
    ) and not batching.is_oversized(front, spec, frame_bytes + len(EMPTY_STATE)):
        return WindowCall.EARLY
    return None


def is_front_over(shard: Shard, lane: Lane, spec: MappingSpec) -> bool:
    """The window of the first record in the queue is over: no batch of it can grow any more."""
    bounds = lane.queue_bounds(0, spec)
    return bounds is not None and shard.is_past(bounds[1])


def begin(lane: Lane, call: WindowCall) -> None:
    """Let the call take the place of the lane's next batch."""
    lane.call = call
    lane.attempt_from_ms = 0
    lane.phase = Phase.READY


def invoke_window(lane: Lane) -> InvokeWindow | None:
    """What the lane's next invocation is told of its window; None for an ordinary one."""
    window, bounds = lane.window, lane.bounds
    if lane.call is None:
        return None if bounds is None else InvokeWindow(*bounds, state_in(bounds, window))
    if window is None or window.state is None:
        raise EngineError(f"lane {lane.shard}/{lane.index} has no open window to call about")
    return InvokeWindow(
        window.start_ms,
        window.end_ms,
        window.state,
        is_final=lane.call is WindowCall.FINAL,
        is_terminated_early=lane.call is WindowCall.EARLY,
    )


def move_state(lane: Lane, bounds: Bounds, outcome: Outcome) -> None:
    """Records of the batch are finished: the window has the state that their call returned."""
    state = outcome.state if isinstance(outcome, Succeeded | PartlySucceeded) else None
    if state is None:
        raise EngineError(f"lane {lane.shard}/{lane.index}: a window's call brought no state")
    lane.window = Window(*bounds, state)


def conclude(lane: Lane, outcome: Outcome, spec: MappingSpec, now_ms: int) -> None:
    """Bring the lane to what follows its window's call."""
    window = lane.window
    if window is None:
        raise EngineError(f"lane {lane.shard}/{lane.index} has lost its window")
    if not isinstance(outcome, Succeeded):
        lane.misses += 1
        lane.call_failures += not isinstance(outcome, NotRun)
        lane.attempt_from_ms = now_ms + retry.backoff_ms(spec, lane.shard, lane.index, lane.misses)
        lane.phase = Phase.READY
        return
    state = EMPTY_STATE if lane.call is WindowCall.EARLY else None
    lane.window = Window(window.start_ms, window.end_ms, state)
    lane.call = None
    lane.misses = lane.call_failures = 0
    lane.phase = Phase.SAVING


def fetch_wait_ms(shard: Shard, lane: Lane, spec: MappingSpec, wall_ms: int) -> int:
    """How long a fetch may wait for records: a window that ends meanwhile wants to know.

    That is the last window there is of what was read: those before it are over when a record of it
    is next, however long the lane is held up until then.
    """
    end_ms = max(_ends_ms(lane, spec), default=None)
    if end_ms is None or shard.is_past(end_ms):
        return limits.FETCH_WAIT_MS
    wait_ms = end_ms + limits.WINDOW_GRACE_MS - wall_ms
    return min(max(wait_ms, limits.WINDOW_FETCH_WAIT_MS_MIN), limits.FETCH_WAIT_MS)


def _ends_ms(lane: Lane, spec: MappingSpec) -> Iterator[int]:
    """Ends of the windows of what is handled, with the function, and next and last in the queue."""
    if lane.window is not None and lane.window.is_open:
        yield lane.window.end_ms
    if lane.batch and lane.bounds is not None:
        yield lane.bounds[1]
    for index in (0, -1):
        if (bounds := lane.queue_bounds(index, spec)) is not None:
            yield bounds[1]
