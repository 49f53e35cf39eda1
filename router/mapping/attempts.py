"""One lane's loop around the function: before an attempt and after it.

Steps 3 and 5 to 7 of `event-source-mappings.md` 3.5.
"""

from router.mapping import batching, retry, window_calls
from router.mapping.batching import ENVELOPE_BYTES
from router.mapping.bisect import halving_point
from router.mapping.lanes import Doom, Lane, Phase
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome
from router.model.record import Record

RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
AGE_EXCEEDED = "RecordAgeExceeded"
SIZE_EXCEEDED = "MaximumPayloadSizeExceeded"


def prepare(lane: Lane, spec: MappingSpec, wall_ms: int) -> bool:
    """Leave in the batch what may be tried now; False when something is given up before that."""
    if retry.is_spent(lane.attempts, spec):
        # The limit was lowered since, or the router died between the last failure and its discard.
        lane.doom(Doom(lane.batch, RETRIES_EXHAUSTED, lane.attempts))
        return False
    expired, fresh, rest = retry.cut_by_age(lane.batch, wall_ms, spec.record_age_ms_max)
    if rest:
        lane.keep(len(expired) + len(fresh))
    if expired:
        # The attempt that found the expiry counts, as on AWS (P10).
        lane.doom(Doom(expired, AGE_EXCEEDED, lane.attempts + 1))
        return False
    if len(fresh) == 1:
        frame_bytes = ENVELOPE_BYTES
        if (bounds := lane.bounds) is not None:
            frame_bytes = lane.frame_bytes(bounds, spec)
        if batching.is_oversized(fresh[0], spec, frame_bytes):
            lane.doom(Doom(fresh, SIZE_EXCEEDED, lane.attempts + 1))
            return False
    return True


def conclude(
    lane: Lane, outcome: Outcome, spec: MappingSpec, shard: str, now_ms: int, wall_ms: int
) -> tuple[Record, ...]:
    """Bring the lane to what follows its invocation; returns the records that are finished."""
    batch = lane.batch
    verdict = retry.judge(outcome, len(batch), lane.attempts, spec)
    lane.window_start_ms = now_ms
    if isinstance(verdict, retry.Wait):
        lane.misses += 1
        lane.attempt_from_ms = now_ms + retry.backoff_ms(spec, shard, lane.index, lane.misses)
        lane.phase = Phase.READY
        return ()
    lane.misses = 0
    lane.phase = Phase.SAVING
    if lane.bounds is not None and isinstance(verdict, retry.Finish | retry.Cut):
        window_calls.move_state(lane, lane.bounds, outcome)
    if isinstance(verdict, retry.Finish):
        lane.finish(len(batch))
        return batch
    lane.first_failure_wall_ms = lane.first_failure_wall_ms or wall_ms
    match verdict:
        case retry.Cut(at):
            lane.finish(at)
            lane.split()
            return batch[:at]
        case retry.Select(failed):
            return lane.select(failed)
        case retry.Halve():
            lane.split(halving_point(len(batch)))
        case retry.Retry():
            lane.attempts += 1
            wait_ms = retry.backoff_ms(spec, shard, lane.index, lane.attempts)
            lane.attempt_from_ms = now_ms + wait_ms
        case retry.GiveUp():
            lane.doom(Doom(batch, RETRIES_EXHAUSTED, lane.attempts + 1, outcome))
    return ()
