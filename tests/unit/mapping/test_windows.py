"""Which window a record belongs to: aligned, one after the other, never back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.windows import bounds_of, frame_bytes, is_ahead, state_in
from router.model.window import Window, window_frame_bytes

W = 60_000


@pytest.mark.parametrize(
    ("arrival_ms", "last", "width_ms", "bounds"),
    [
        (0, None, W, (0, W)),
        (W - 1, None, W, (0, W)),
        (W, None, W, (W, 2 * W)),
        (1_772_446_498_204, None, 120_000, (1_772_446_440_000, 1_772_446_560_000)),
        # In the open one, also when late; the first one after it begins where it is due.
        (W + 5, Window(W, 2 * W, b"{}"), W, (W, 2 * W)),
        (5, Window(W, 2 * W, b"{}"), W, (W, 2 * W)),
        (2 * W, Window(W, 2 * W, b"{}"), W, (2 * W, 3 * W)),
        (7 * W + 1, Window(W, 2 * W, b"{}"), W, (7 * W, 8 * W)),
        # Late for a closed one: in the one after it.
        (W + 5, Window(W, 2 * W, None), W, (2 * W, 3 * W)),
        (5, Window(W, 2 * W, None), W, (2 * W, 3 * W)),
        (9 * W, Window(W, 2 * W, None), W, (9 * W, 10 * W)),
        # Another width: the open one keeps its bounds, the next one is cut to the new measure.
        (W + 5, Window(W, 2 * W, b"{}"), 10 * W, (W, 2 * W)),
        (2 * W, Window(W, 2 * W, b"{}"), 10 * W, (2 * W, 10 * W)),
        (25 * W, Window(W, 2 * W, None), 10 * W, (20 * W, 30 * W)),
        (11 * W, Window(0, 10 * W, None), W, (11 * W, 12 * W)),
        (3 * W, Window(0, 10 * W, None), W, (10 * W, 11 * W)),
        (0, Window(0, 90_000, None), W, (90_000, 120_000)),
        # A clock that was ahead is set back (T1): up to half an hour that is late, beyond it new.
        (5 * W, Window(34 * W, 35 * W, None), W, (35 * W, 36 * W)),
        (5 * W - 1, Window(34 * W, 35 * W, None), W, (4 * W, 5 * W)),
        (5 * W - 1, Window(34 * W, 35 * W, b"{}"), W, (4 * W, 5 * W)),
    ],
)
def test_bounds(arrival_ms, last, width_ms, bounds):
    assert bounds_of(arrival_ms, last, width_ms) == bounds


widths = st.sampled_from([1_000, 7_000, 60_000, 900_000])


@given(st.lists(st.tuples(st.integers(0, 10_000_000), widths, st.booleans()), max_size=30))
def test_windows_of_any_arrivals_follow_one_another(steps):
    last: Window | None = None
    for arrival_ms, width_ms, closes in steps:
        start, end = bounds_of(arrival_ms, last, width_ms)
        is_same = last is not None and last.is_open and (start, end) == (last.start_ms, last.end_ms)
        assert start < end
        assert arrival_ms < end
        is_new = last is None or is_ahead(last.end_ms, arrival_ms)
        assert is_same or is_new or start >= last.end_ms
        assert is_same or (end % width_ms == 0 and end - start <= width_ms)
        assert is_same or arrival_ms >= start or (not is_new and start == last.end_ms)
        last = Window(start, end, None if closes else b"{}")


def test_a_window_begins_empty_and_goes_on_with_its_own_state():
    assert state_in((0, W), None) == b"{}"
    assert state_in((0, W), Window(0, W, b'{"a":1}')) == b'{"a":1}'
    assert state_in((W, 2 * W), Window(0, W, b'{"a":1}')) == b"{}"
    assert state_in((W, 2 * W), Window(0, W, None)) == b"{}"


def test_d11_the_state_takes_its_place_in_the_event():
    frame = window_frame_bytes("0", "arn")
    assert frame_bytes((0, W), None, "0", "arn") == frame + 2
    assert frame_bytes((0, W), Window(0, W, b'{"a":1}'), "0", "arn") == frame + 7
