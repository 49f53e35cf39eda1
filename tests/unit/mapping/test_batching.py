"""Size, bytes and window of a batch: `event-source-mappings.md` 2."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.batching import (
    ENVELOPE_BYTES,
    is_full,
    is_oversized,
    take_batch,
    window_start_ms,
)
from router.model import limits
from tests.unit.mapping.play import record, spec_of

CAP = 6_291_456


def positions(batch) -> list[int]:
    return [found.position for found in batch]


def test_the_cap_is_six_mib_and_the_envelope_counts():
    spec = spec_of()
    assert spec.event_bytes_max == limits.EVENT_BYTES_MAX == CAP
    assert ENVELOPE_BYTES == 14
    assert not is_oversized(record(1, size_bytes=CAP - 14), spec)
    assert is_oversized(record(1, size_bytes=CAP - 13), spec)


@pytest.mark.parametrize(
    ("records", "size_bytes", "expected"),
    [(1, 10, False), (9, 10, False), (10, 10, True), (1, CAP - 15, False), (1, CAP - 14, True)],
)
def test_full_is_size_or_bytes(records, size_bytes, expected):
    assert is_full(records, size_bytes, spec_of(batch_size=10)) is expected


def test_p27_exactly_the_cap_fits_and_one_byte_more_does_not():
    queue = deque([record(1, size_bytes=CAP - 114), record(2), record(3, size_bytes=1)])
    assert positions(take_batch(queue, spec_of(), None)) == [1, 2]
    assert positions(queue) == [3]


def test_an_oversized_record_is_taken_alone():
    queue = deque([record(1, size_bytes=CAP), record(2, size_bytes=1)])
    assert positions(take_batch(queue, spec_of(), None)) == [1]


def test_nothing_past_the_end_of_a_part():
    queue = deque([record(1), record(3), record(4)])
    assert positions(take_batch(queue, spec_of(), 3)) == [1, 3]


@pytest.mark.parametrize(
    ("previous_ms", "now_ms", "expected"),
    [(None, 7, 7), (0, 4_999, 0), (0, 5_000, 5_000), (0, 9_000, 9_000)],
)
def test_a_window_goes_on_or_starts_again(previous_ms, now_ms, expected):
    assert window_start_ms(previous_ms, now_ms, 5_000) == expected


@given(
    st.lists(st.integers(1, 400), min_size=1),
    st.integers(1, 10),
    st.integers(ENVELOPE_BYTES + 1, 600),
)
def test_d11_batches_keep_their_limits_and_lose_nothing(sizes, batch_size, cap):
    spec = spec_of(batch_size=batch_size, event_bytes_max=cap)
    records = [record(index + 1, size_bytes=size) for index, size in enumerate(sizes)]
    queue = deque(records)
    taken = []
    while queue:
        batch = take_batch(queue, spec, None)
        assert 1 <= len(batch) <= batch_size
        total = ENVELOPE_BYTES + sum(found.size_bytes for found in batch)
        assert total <= cap or (len(batch) == 1 and is_oversized(batch[0], spec))
        if queue and len(batch) < batch_size:
            assert total + queue[0].size_bytes > cap, "no batch ends early"
        taken += batch
    assert taken == records
