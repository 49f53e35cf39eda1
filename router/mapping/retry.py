"""What follows an invocation, when the next attempt starts and which records are too old.

The rules are `event-source-mappings.md` 3.4 and 3.5.
"""

import msgspec

from router.model import backoff, limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.record import Record


class Finish(msgspec.Struct, frozen=True):
    """The whole batch is finished."""


class Cut(msgspec.Struct, frozen=True):
    """Records before index `at` are finished; those from it on are a new batch."""

    at: int


class Select(msgspec.Struct, frozen=True):
    """Records at the indexes `failed` are a new batch; all others are finished."""

    failed: tuple[int, ...]


class Halve(msgspec.Struct, frozen=True):
    """Nothing is finished; each half is a new batch."""


class Retry(msgspec.Struct, frozen=True):
    """The batch as it is failed once more and may try again."""


class GiveUp(msgspec.Struct, frozen=True):
    """The batch failed once more and has used up its attempts."""


class Wait(msgspec.Struct, frozen=True):
    """The function did not run: the same attempt again, later."""


Verdict = Finish | Cut | Select | Halve | Retry | GiveUp | Wait


def judge(outcome: Outcome, size: int, attempts: int, spec: MappingSpec) -> Verdict:
    """What to do after an invocation of `size` records that had failed `attempts` times before.

    Raises `EngineError` when reported failures are not within the batch.
    """
    match outcome:
        case Succeeded():
            return Finish()
        case NotRun():
            return Wait()
        case PartlySucceeded(failed=failed):
            if not failed or not 0 <= min(failed) <= max(failed) < size:
                raise EngineError(f"reported failures outside a batch of {size} records")
            # Progress is no attempt: the rest starts afresh (P9). Without progress it is one.
            if spec.retries_reported_only:
                if len(set(failed)) < size:
                    return Select(tuple(sorted(set(failed))))
            elif (first := min(failed)) > 0:
                return Cut(first)
            # Kafka: with a partial response nothing is bisected (7.4).
            may_halve = not spec.retries_reported_only
        case Failed(is_invalid_response=is_invalid_response):
            may_halve = not is_invalid_response
    if spec.is_bisecting and may_halve and size > 1:
        return Halve()
    return GiveUp() if is_spent(attempts + 1, spec) else Retry()


def is_spent(attempts: int, spec: MappingSpec) -> bool:
    """A batch that has failed this often is not tried again."""
    return 0 <= spec.retries_max < attempts


def backoff_ms(spec: MappingSpec, shard: str, lane: int, attempt: int) -> int:
    """Wait of a lane after the `attempt`-th failure in a row (from 1)."""
    return backoff.backoff_ms(
        attempt, limits.BACKOFF_MS_MIN, spec.backoff_ms_max, f"{spec.uuid}\0{shard}\0{lane}"
    )


def store_backoff_ms(spec: MappingSpec, shard: str, lane: int, attempt: int) -> int:
    """Wait after the store failed: short, for no function has to recover, only a disk."""
    return backoff.backoff_ms(
        attempt,
        limits.BACKOFF_MS_MIN,
        min(spec.backoff_ms_max, limits.STORE_BACKOFF_MS_MAX),
        f"{spec.uuid}\0{shard}\0{lane}",
    )


def cut_by_age(
    batch: tuple[Record, ...], wall_ms: int, age_ms_max: int
) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]:
    """Split into expired front, what may be tried now, and the rest from the next expired on.

    Arrival times need not rise with positions. A younger record in front of an expired one is
    tried first, without it: order is kept and no attempt carries an expired record (D10).
    """
    if age_ms_max < 0:
        return (), batch, ()
    oldest_ms = wall_ms - age_ms_max
    start, size = 0, len(batch)
    while start < size and batch[start].arrival_ms <= oldest_ms:
        start += 1
    end = start
    while end < size and batch[end].arrival_ms > oldest_ms:
        end += 1
    return batch[:start], batch[start:end], batch[end:]
