"""So many per minute, and no more."""

import pytest

from router.ingress.rate import RateLimit


def test_a_minute_s_worth_at_once_then_one_by_one():
    limit = RateLimit(60)
    assert [limit.wait_s(0.0) for _ in range(60)] == [0] * 60
    assert limit.wait_s(0.0) == 1
    assert limit.wait_s(0.5) == 1
    assert limit.wait_s(1.0) == 0
    assert limit.wait_s(1.0) == 1


def test_a_slow_rate_says_how_long_to_wait():
    limit = RateLimit(2)
    assert [limit.wait_s(10.0) for _ in range(3)] == [0, 0, 30]
    assert limit.wait_s(15.0) == 25
    assert limit.wait_s(40.0) == 0


def test_one_per_minute():
    limit = RateLimit(1)
    assert [limit.wait_s(5.0), limit.wait_s(6.0), limit.wait_s(65.0)] == [0, 59, 0]


@pytest.mark.parametrize("per_minute", [1, 7, 1_000])
def test_over_an_hour_the_rate_is_kept(per_minute):
    limit = RateLimit(per_minute)
    admitted = sum(limit.wait_s(step / 100) == 0 for step in range(0, 360_000, 3))
    # The first minute may have its share twice: at once, and as it fills again.
    assert per_minute * 60 * 0.99 <= admitted <= per_minute * 61
