"""1,000 environments at once, 100 a second from then on, never more saved up than 1,000."""

from hypothesis import given
from hypothesis import strategies as st

from router.workers.start_rate import REFILL_S, STARTS_MAX, StartRate


def started(rate: StartRate, now_s: float, asked: int) -> int:
    return sum(rate.take(now_s) for _ in range(asked))


def test_a_burst_then_a_steady_rate() -> None:
    rate = StartRate()
    assert started(rate, 50.0, 2 * STARTS_MAX) == STARTS_MAX
    assert started(rate, 50.0, 5) == 0
    assert started(rate, 51.0, STARTS_MAX) == STARTS_MAX / REFILL_S
    assert started(rate, 1_000.0, 2 * STARTS_MAX) == STARTS_MAX, "nothing is saved up"


@given(asks=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 1_500)), max_size=12))
def test_never_more_than_the_rate_in_any_time(asks: list[tuple[float, int]]) -> None:
    rate = StartRate()
    now_s, given_at = 100.0, []
    for wait_s, asked in asks:
        now_s += wait_s
        given_at.append((now_s, started(rate, now_s, asked)))
    for index, (begin_s, _) in enumerate(given_at):
        for end_s, _ in given_at[index:]:
            total = sum(count for at_s, count in given_at if begin_s <= at_s <= end_s)
            assert total <= STARTS_MAX + (end_s - begin_s) * STARTS_MAX / REFILL_S + 1e-6
