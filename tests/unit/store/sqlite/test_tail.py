"""The memory of what was just committed: right, and bounded."""

import pytest

from router.model.record import Record
from router.store.sqlite.tail import RECORD_OVERHEAD_BYTES, Tails

A, B = ("stream", "a"), ("stream", "b")
MANY = 1 << 40
EACH = RECORD_OVERHEAD_BYTES + 100


def records(first, last):
    return [Record(position, "k", 0, 10, bytes(100)) for position in range(first, last + 1)]


def positions(found):
    return None if found is None else ([r.position for r in found.records], found.read_to)


def test_an_unknown_shard_and_an_older_position_are_left_to_the_disk():
    tails = Tails()
    assert tails.read(A, 0, 10, MANY) is None
    tails.push(A, records(5, 7))
    assert tails.read(A, 3, 10, MANY) is None
    assert positions(tails.read(A, 4, 10, MANY)) == ([5, 6, 7], 7)
    assert positions(tails.read(A, 5, 1, MANY)) == ([6], 6)
    assert positions(tails.read(A, 7, 10, MANY)) == ([], 7)
    assert positions(tails.read(A, 9, 10, MANY)) == ([], 9)


def test_a_learnt_end_answers_who_asks_for_more_and_takes_what_comes():
    tails = Tails()
    tails.learn(A, 4, is_closed=False)
    assert positions(tails.read(A, 4, 10, MANY)) == ([], 4)
    assert tails.read(A, 3, 10, MANY) is None
    tails.push(A, records(5, 6))
    tails.learn(A, 4, is_closed=False)  # an older answer from the disk, come late
    assert positions(tails.read(A, 4, 10, MANY)) == ([5, 6], 6)


def test_p28_a_closed_shard_says_where_it_ends_for_ever():
    tails = Tails()
    tails.push(A, records(1, 3))
    assert not tails.read(A, 3, 10, MANY).is_end
    tails.close(A, 3)
    assert not tails.read(A, 0, 2, MANY).is_end
    assert tails.read(A, 2, 2, MANY).is_end
    assert tails.read(A, 3, 10, MANY).is_end
    tails.close(B, 9)
    tails.learn(B, 8, is_closed=False)  # read from the disk before it was closed, come late
    assert (tails.read(B, 9, 10, MANY).is_end, tails.read(B, 8, 10, MANY)) == (True, None)
    tails.forget_before("stream", "b")
    assert tails.read(A, 3, 10, MANY) is None
    assert tails.size_bytes == 0


def test_a_gap_starts_the_tail_anew():
    tails = Tails()
    tails.push(A, records(1, 3))
    tails.push(A, records(7, 8))
    assert tails.read(A, 3, 10, MANY) is None
    assert positions(tails.read(A, 6, 10, MANY)) == ([7, 8], 8)
    assert tails.size_bytes == 2 * EACH


def test_a_shard_is_bounded_and_keeps_its_newest():
    tails = Tails(bytes_max=MANY, shard_bytes_max=10 * EACH)
    for position in range(1, 101):
        tails.push(A, records(position, position))
        assert tails.size_bytes <= 10 * EACH
    assert positions(tails.read(A, 98, 10, MANY)) == ([99, 100], 100)
    assert tails.read(A, 80, 10, MANY) is None


def test_all_together_are_bounded_and_the_longest_gives_way():
    tails = Tails(bytes_max=20 * EACH, shard_bytes_max=MANY)
    tails.push(B, records(1, 3))
    for position in range(1, 101):
        tails.push(A, records(position, position))
        assert tails.size_bytes <= 20 * EACH
    assert positions(tails.read(B, 0, 10, MANY)) == ([1, 2, 3], 3)


def test_a_record_larger_than_the_bound_is_not_kept():
    tails = Tails(bytes_max=EACH, shard_bytes_max=EACH)
    tails.push(A, [Record(1, "k", 0, 10, bytes(10_000))])
    assert tails.size_bytes == 0
    assert tails.read(A, 0, 10, MANY) is None
    assert positions(tails.read(A, 1, 10, MANY)) == ([], 1)


@pytest.mark.parametrize(("up_to", "left"), [(0, 3), (4, 3), (5, 2), (7, 0), (9, 0)])
def test_what_was_trimmed_goes(up_to, left):
    tails = Tails()
    tails.push(A, records(5, 7))
    tails.trim(A, up_to)
    tails.trim(B, up_to)
    assert tails.size_bytes == left * EACH
    assert len(tails.read(A, 7 - left, 10, MANY).records) == left


def test_a_dropped_stream_is_forgotten():
    tails = Tails()
    tails.push(A, records(1, 2))
    tails.push(("other", "a"), records(1, 1))
    tails.forget("stream")
    assert tails.read(A, 0, 10, MANY) is None
    assert tails.size_bytes == EACH
