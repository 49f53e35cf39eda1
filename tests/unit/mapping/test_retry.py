"""What follows an invocation: `event-source-mappings.md` 3.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.retry import (
    Cut,
    Finish,
    GiveUp,
    Halve,
    Retry,
    Wait,
    backoff_ms,
    cut_by_age,
    is_spent,
    judge,
    store_backoff_ms,
)
from router.model import limits
from router.model.errors import EngineError
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from tests.unit.mapping.play import record, spec_of

ERROR = Failed("ValueError")
INVALID = Failed("InvalidBatchResponse", is_invalid_response=True)


@pytest.mark.parametrize(
    ("outcome", "size", "attempts", "spec", "verdict"),
    [
        (Succeeded(), 3, 0, {}, Finish()),
        (Succeeded(), 3, 9, {"retries_max": 9}, Finish()),
        (NotRun("throttled"), 3, 0, {"retries_max": 0, "is_bisecting": True}, Wait()),
        (PartlySucceeded((1,)), 3, 0, {"retries_max": 0}, Cut(1)),
        (PartlySucceeded((1, 2)), 3, 0, {"is_bisecting": True}, Cut(1)),
        (PartlySucceeded((0, 2)), 3, 0, {}, Retry()),
        (PartlySucceeded((0,)), 3, 0, {"retries_max": 0}, GiveUp()),
        (PartlySucceeded((0,)), 3, 0, {"retries_max": 0, "is_bisecting": True}, Halve()),
        (PartlySucceeded((0,)), 1, 0, {"retries_max": 0, "is_bisecting": True}, GiveUp()),
        (ERROR, 3, 5, {}, Retry()),
        (ERROR, 3, 0, {"retries_max": 0}, GiveUp()),
        (ERROR, 3, 1, {"retries_max": 2}, Retry()),
        (ERROR, 3, 2, {"retries_max": 2}, GiveUp()),
        (ERROR, 2, 0, {"retries_max": 0, "is_bisecting": True}, Halve()),
        (ERROR, 1, 0, {"retries_max": 1, "is_bisecting": True}, Retry()),
        (INVALID, 3, 0, {"retries_max": 1, "is_bisecting": True}, Retry()),
        (INVALID, 3, 1, {"retries_max": 1, "is_bisecting": True}, GiveUp()),
    ],
)
def test_p8_p9_p14_p15_verdicts(outcome, size, attempts, spec, verdict):
    assert judge(outcome, size, attempts, spec_of(**spec)) == verdict


@pytest.mark.parametrize("failed", [(), (3,), (0, 3), (-1, 0)])
def test_reports_outside_the_batch_are_refused(failed):
    with pytest.raises(EngineError):
        judge(PartlySucceeded(failed), 3, 0, spec_of())


@pytest.mark.parametrize(
    ("attempts", "retries_max", "expected"),
    [(0, 0, False), (1, 0, True), (10_000, -1, False), (2, 2, False), (3, 2, True)],
)
def test_p8_allowed_invocations_are_one_more_than_the_retries(attempts, retries_max, expected):
    assert is_spent(attempts, spec_of(retries_max=retries_max)) is expected


@given(st.text(), st.integers(-1, 9), st.integers(1, 20_000))
def test_backoff_doubles_between_its_limits_and_never_draws_a_number(shard, lane, attempt):
    wait_ms = backoff_ms(spec_of(), shard, lane, attempt)
    step_ms = min(500 * 2 ** min(attempt - 1, 20), 48_000)
    assert step_ms <= wait_ms <= step_ms * 5 // 4
    assert limits.BACKOFF_MS_MIN <= wait_ms <= limits.BACKOFF_MS_MAX
    assert wait_ms == backoff_ms(spec_of(), shard, lane, attempt)


def test_lanes_that_fail_together_come_back_apart():
    waits_ms = {backoff_ms(spec_of(), "0", lane, 8) for lane in range(10)}
    assert len(waits_ms) == 10


def test_the_ceiling_is_a_setting():
    assert backoff_ms(spec_of(backoff_ms_max=2_000), "0", 0, 50) <= 2_000


def cut(*ages: int, age_ms_max: int = 100):
    batch = tuple(record(index, arrival_ms=1_000 - age_ms) for index, age_ms in enumerate(ages))
    return tuple(
        [found.position for found in part] for part in cut_by_age(batch, 1_000, age_ms_max)
    )


def test_d10_a_record_is_expired_at_the_limit():
    assert cut(100, 99) == ([0], [1], [])


def test_d10_age_cuts_in_order():
    assert cut(1, 2) == ([], [0, 1], [])
    assert cut(200, 150) == ([0, 1], [], [])
    assert cut(200, 1, 200, 1) == ([0], [1], [2, 3])
    assert cut(1, 200) == ([], [0], [1])
    assert cut(200, 200, age_ms_max=-1) == ([], [0, 1], [])


def test_a_store_is_asked_again_soon_however_long_it_failed():
    """C1: well again within 10 s, also after an hour of a full disk."""
    waits = [store_backoff_ms(spec_of(backoff_ms_max=60_000), "0", 0, n) for n in range(1, 40)]
    assert waits[0] < 1_000
    assert max(waits) <= limits.STORE_BACKOFF_MS_MAX
    assert max(waits) > backoff_ms(spec_of(), "0", 0, 1)
    assert max(store_backoff_ms(spec_of(backoff_ms_max=500), "0", 0, n) for n in range(1, 9)) <= 500
