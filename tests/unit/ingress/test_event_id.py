"""Event ids are UUIDv7 and only ever grow."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from router.ingress.event_id import EventIds


@given(st.lists(st.integers(0, 2**47), min_size=1, max_size=50))
def test_ids_grow_whatever_the_clock_does(clock):
    ids = EventIds()
    made = [ids.next(ms) for ms in clock]
    assert made == sorted(set(made))


def test_they_are_version_7_and_carry_the_time():
    ms = 1_795_263_261_033
    parsed = uuid.UUID(EventIds().next(ms))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == ms


def test_one_millisecond_may_hold_any_number():
    ids = EventIds()
    made = [ids.next(5) for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert made == sorted(made)
    assert all(uuid.UUID(text).version == 7 for text in made)


def test_two_makers_do_not_agree():
    assert EventIds().next(5) != EventIds().next(5)
