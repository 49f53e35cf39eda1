"""Numbers as people read them."""

import pytest

from router.ops import wording as w


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (999_949, "1.00M"),
        (999_400, "999k"), (4_500_000, "4.50M"), (2.5e9, "2.50G"), (7e13, "70.0T"),
    ],
)  # fmt: skip
def test_counts_have_three_digits_from_ten_thousand_on(value, text):
    assert w.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0/s"), (0.001, "<0.01/s"), (0.034, "0.034/s"), (3.14, "3.1/s"), (62.4, "62/s")],
)
def test_rates(value, text):
    assert w.rate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text", "short"),
    [
        (-3, "0 s", "0 s"), (0.9, "0 s", "0 s"), (59, "59 s", "59 s"), (60, "1 min", "1 min"),
        (185, "3 min 5 s", "3 min"), (7_800, "2 h 10 min", "2 h"), (356_400, "4 d 3 h", "4 d"),
    ],
)  # fmt: skip
def test_spans_tell_two_units_or_one(seconds, text, short):
    assert w.span(seconds) == text
    assert w.short_span(seconds) == short


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0.42, "0.42 ms"), (12.4, "12 ms"), (1_250, "1.25 s"), (150_000, "2 min 30 s")],
)
def test_durations(ms, text):
    assert w.duration(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (1_023 * 1_024, "0.999 MiB"),
     (20 << 30, "20 GiB"), (1 << 70, "1.05e+06 PiB")],
)  # fmt: skip
def test_sizes(size, text):
    assert w.size(size) == text


def test_moments_and_plurals():
    assert w.clock(1_800_000_000_000) == "08:00:00"
    assert w.moment(1_800_000_000_000) == "2027-01-15 08:00:00 UTC"
    assert w.iso(1_800_000_000_000) == "2027-01-15T08:00:00Z"
    assert w.plural(1, "record") == "1 record"
    assert w.plural(2, "batch", "batches") == "2 batches"
