"""Halving: D8."""

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from router.mapping.bisect import halving_point, with_parts


def test_the_first_half_of_an_odd_batch_is_the_smaller_one():
    assert [halving_point(size) for size in (2, 3, 4, 5, 101)] == [1, 1, 2, 2, 50]


def test_nearer_parts_come_first():
    assert with_parts((8, 9), 3, 5) == (3, 5, 8, 9)


def leaves(batch: list[int], level: int = 0):
    if len(batch) == 1:
        yield batch[0], level
        return
    cut = halving_point(len(batch))
    yield from leaves(batch[:cut], level + 1)
    yield from leaves(batch[cut:], level + 1)


@given(st.integers(1, 3_000))
def test_d8_halves_are_disjoint_in_order_and_end_soon(size):
    found = list(leaves(list(range(size))))
    assert [position for position, _ in found] == list(range(size))
    assert max(level for _, level in found) <= ceil(log2(size))
