"""The last ten minutes: rates, sums, pictures; bounded."""

import pytest

from router.ops import history as h
from router.ops.history import POINTS, TRACKS_MAX, Columns, History, quantile

COLUMNS = {"thing": Columns(("done", "failed"), ("lag",))}
KEY = ("thing", "a")


def past():
    return History(COLUMNS, 0)


def tick(history, at_s, done=0.0, failed=0.0, lag=0.0, key=KEY, shape=()):
    history.begin(at_s * 1_000)
    history.add(key, (done, failed), (lag,), shape)
    history.end()


def test_a_rate_is_over_the_last_seconds_not_since_the_start():
    history = past()
    tick(history, 10, done=1_000)
    tick(history, 20, done=1_100)
    assert history.rate(KEY, "done", 1_100, 20_000) == pytest.approx(10)  # since the tick before
    assert history.rate(KEY, "done", 1_150, 26_000) == pytest.approx(50 / 6)
    assert history.rate(KEY, "done", 1_000, 30_000) == 0  # begun anew


def test_what_never_moved_has_a_rate_since_the_last_tick_and_no_track():
    history = past()
    tick(history, 10)
    assert history.rate(KEY, "done", 5, 15_000) == 1
    assert history.rate(KEY, "done", 5, 10_100) == 5  # never over less than a second
    assert history.lately(KEY, "done", 5) == 5
    assert history.points(KEY, "done") == [0.0]
    assert history.growth(KEY, "lag", 7, 6) is None


def test_sums_of_a_minute_and_of_ten():
    history = past()
    for number in range(1, 91):
        tick(history, number * 10, done=number * 10, failed=min(number, 40))
    assert history.lately(KEY, "done", 905) == 60 + 5
    assert history.lately(KEY, "done", 900, ticks=POINTS) == 600
    assert history.lately(KEY, "failed", 40) == 0
    assert history.lately(KEY, "failed", 40, ticks=POINTS) == 10


def test_points_are_rates_of_totals_and_levels_as_they_are():
    history = past()
    tick(history, 10, done=50, lag=3)
    tick(history, 30, done=90, lag=8)
    assert history.points(KEY, "done") == [5.0, 2.0]
    assert history.points(KEY, "lag") == [3.0, 8.0]
    for number in range(4, 100):
        tick(history, number * 10, done=90, lag=number)
    assert len(history.points(KEY, "lag")) == POINTS
    assert history.points(KEY, "lag")[-1] == 99
    assert history.growth(KEY, "lag", 120, 6) == 120 - 94


def test_a_total_that_begins_anew_counts_from_there():
    history = past()
    tick(history, 10, done=100)
    tick(history, 20, done=7)
    assert history.points(KEY, "done")[-1] == pytest.approx(0.7)


def test_what_is_gone_is_forgotten():
    history = past()
    tick(history, 10, done=5)
    tick(history, 20, done=5, key=("thing", "b"))
    assert history.lately(KEY, "done", 9) == 9
    assert history.lately(("thing", "b"), "done", 5) == 5


def test_tracks_are_bounded(monkeypatch):
    assert TRACKS_MAX == 5_000
    monkeypatch.setattr(h, "TRACKS_MAX", 2)
    history = past()
    history.begin(10_000)
    for name in "abc":
        history.add(("thing", name), (1.0, 0.0), (0.0,))
    history.end()
    assert history.points(("thing", "b"), "done") == [0.1]
    assert history.points(("thing", "c"), "done") == [0.0]


def test_a_histogram_of_the_last_minute():
    history = past()
    for number in range(1, 20):
        tick(history, number * 10, done=number, shape=(number, 2 * number, 0))
    assert history.shape(KEY, (20, 40, 0)) == [6, 12, 0]
    assert history.shape(("thing", "new"), (1, 0, 0)) == [1, 0, 0]


def test_quantiles_are_on_straight_lines_within_buckets():
    bounds = (1.0, 2.0, 4.0)
    assert quantile((0, 0, 0, 0), bounds, 0.5) is None
    assert quantile((), bounds, 0.5) is None
    assert quantile((10, 0, 0, 0), bounds, 0.5) == 0.5
    assert quantile((0, 10, 10, 0), bounds, 0.75) == 3.0
    assert quantile((1, 0, 0, 99), bounds, 0.99) == 4.0
