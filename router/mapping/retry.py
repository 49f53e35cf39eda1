"""What follows an invocation, when the next attempt starts and which records are too old.

The rules are `event-source-mappings.md` 3.4 and 3.5.
"""

from hashlib import blake2b

import msgspec

from router.model import limits
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Outcome, PartlySucceeded, Succeeded
from router.model.record import Record


class Finish(msgspec.Struct, frozen=True):
    """The whole batch is finished."""


class Cut(msgspec.Struct, frozen=True):
    """Records before index `at` are finished; those from it on are a new batch."""

    at: int


class Halve(msgspec.Struct, frozen=True):
    """Nothing is finished; each half is a new batch."""


class Retry(msgspec.Struct, frozen=True):
    """The batch as it is failed once more and may try again."""


class GiveUp(msgspec.Struct, frozen=True):
    """The batch failed once more and has used up its attempts."""


class Wait(msgspec.Struct, frozen=True):
    """The function did not run: the same attempt again, later."""


Verdict = Finish | Cut | Halve | Retry | GiveUp | Wait


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
            # Progress is no attempt: the tail starts afresh (P9). Without progress it is one.
            if (first := min(failed)) > 0:
                return Cut(first)
            may_halve = True
        case Failed(is_invalid_response=is_invalid_response):
            may_halve = not is_invalid_response
    if spec.is_bisecting and may_halve and size > 1:
        return Halve()
    return GiveUp() if is_spent(attempts + 1, spec) else Retry()


def is_spent(attempts: int, spec: MappingSpec) -> bool:
    """A batch that has failed this often is not tried again."""
    return 0 <= spec.retries_max < attempts


def backoff_ms(mapping: str, shard: str, lane: int, attempt: int) -> int:
    """Wait after the `attempt`-th failure in a row (from 1): doubling, spread, never random.

    Between `limits.BACKOFF_MS_MIN` and `limits.BACKOFF_MS_MAX`. The spread, up to a quarter on
    top, keeps lanes that failed together from coming back together, also at the ceiling.
    """
    step_ms = min(
        limits.BACKOFF_MS_MIN << min(attempt - 1, limits.BACKOFF_MS_MAX.bit_length()),
        limits.BACKOFF_MS_MAX * 4 // 5,
    )
    seed = f"{mapping}\0{shard}\0{lane}\0{attempt}".encode()
    spread = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")
    return step_ms + spread % (step_ms // 4 + 1)


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
