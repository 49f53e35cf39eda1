"""A running mapping as people see it: its lanes, and what went wrong last."""

from collections.abc import Iterable

import msgspec

from router.mapping.lanes import Lane, Phase
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded

STATES = {
    Phase.GATHERING: "gathering",
    Phase.READY: "waiting",
    Phase.RUNNING: "running",
    Phase.SAVING: "saving",
    Phase.DISCARDING: "discarding",
}
"""`waiting`: its batch is to be tried, at once or after a rest."""


class LastError(msgspec.Struct, frozen=True):
    """What went wrong last, however long ago; it may be well again since."""

    text: str
    wall_ms: int


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """One lane with something unfinished."""

    shard: str
    """A shard, a partition; empty for a queue."""
    lane: str
    """Its number, or a FIFO queue's message group."""
    state: str
    records: int
    """Read and not finished."""
    attempts: int = 0
    """Failed ones of the batch in front."""
    rest_ms: int = 0
    """Until the batch in front is tried again."""
    position: int | None = None
    """Everything of the lane at or below is finished; None where positions say nothing."""
    oldest_arrival_ms: int | None = None
    """When its oldest unfinished record came, wall clock."""
    failing_since_ms: int | None = None
    """When the batch in front failed first, also before it was cut; wall clock. None: it has not,
    or its source brings what failed again by itself."""


class ShardPlace(msgspec.Struct, frozen=True):
    """How far a mapping came in a shard that it has at present."""

    shard: str
    position: int
    """Everything at or below is finished."""
    lag: int | None
    """Records behind; None until the end of the shard was seen."""


class MappingView(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping at work."""

    lag: int | None
    """Records of the source that are not finished, as measured last; None: nobody here knows."""
    in_flight: int
    """Invocations running."""
    held_records: int
    """Read and not finished."""
    last_error: LastError | None
    """Since the router started."""
    lanes: tuple[LaneView, ...] = ()
    """Those with something unfinished, the oldest record first; none while it does not run."""

    @property
    def oldest_arrival_ms(self) -> int | None:
        """When the oldest unfinished record came that was read; None when there is none."""
        return self.lanes[0].oldest_arrival_ms if self.lanes else None


def problem_of(outcome: Outcome, error: str | None) -> str | None:
    """What an invocation shows that went wrong; `error` is the function's own word for it.

    None for what went well, and for a wait for a turn.
    """
    match outcome:
        case NotRun(reason):
            return None if reason == "throttled" else f"not invoked: {error or reason}"
        case PartlySucceeded(failed):
            return f"the function reported {len(failed)} failed records"
        case Failed(reason=reason, is_invalid_response=True):
            return f"invalid response: {reason or 'not what a mapping can read'}"
        case Failed(reason=reason):
            return f"the function failed: {error or reason or 'its log says why'}"
    return None


def by_age(lane: LaneView) -> tuple[bool, int]:
    """Orders lanes: the oldest record first, those that know of none last."""
    return lane.oldest_arrival_ms is None, lane.oldest_arrival_ms or 0


def view_lanes(lanes: Iterable[Lane], now_ms: int) -> list[LaneView]:
    """The lanes of a stream engine that have something unfinished."""
    return [_view(lane, now_ms) for lane in lanes if not lane.is_idle]


def _view(lane: Lane, now_ms: int) -> LaneView:
    doomed = lane.doomed.records if lane.doomed is not None else ()
    oldest = next((records[0] for records in (doomed, lane.batch, lane.queue) if records), None)
    is_resting = lane.phase is Phase.READY and lane.attempt_from_ms > now_ms
    return LaneView(
        shard=lane.shard,
        lane=str(lane.index),
        state=STATES[lane.phase],
        records=len(doomed) + len(lane.batch) + len(lane.queue),
        attempts=lane.attempts,
        rest_ms=lane.attempt_from_ms - now_ms if is_resting else 0,
        position=lane.position,
        oldest_arrival_ms=None if oldest is None else oldest.arrival_ms,
        failing_since_ms=lane.first_failure_wall_ms or None,
    )
