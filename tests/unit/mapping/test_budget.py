"""L2: what all mappings hold is bounded, and each of them moves on."""

import random

import pytest

from router.mapping.budget import Aside, Budget
from router.model import limits

MIB = limits.MIB


def budget_of(bytes_max: int, mappings: int = 0) -> Budget:
    budget = Budget(bytes_max)
    budget.mappings = mappings
    return budget


def room_of(budget: Budget) -> int:
    """What a mapping holds at most."""
    room = budget.room_bytes
    return limits.BUFFER_BYTES_MAX if room is None else min(room, limits.BUFFER_BYTES_MAX)


@pytest.mark.parametrize(
    ("bytes_max", "mappings", "held_bytes", "room_bytes"),
    [
        (2_048 * MIB, 500, 0, None),
        (2_048 * MIB, 500, 512 * MIB, None),
        (2_048 * MIB, 500, 512 * MIB + 4, 64 * MIB),
        (2_048 * MIB, 500, 1_008 * MIB, 4 * MIB),
        (2_048 * MIB, 500, 1_024 * MIB, MIB),
        (2_048 * MIB, 500, 9_999 * MIB, MIB),
        (2_048 * MIB, 4, 9_999 * MIB, None),
        (2_048, 500, 0, 256),
        (2_048, 500, 2_048, 1),
        (2_048, 1, 2_048, 512),
        (2_048, 9_999, 2_048, 1),
    ],
)
def test_l2_a_mappings_room_is_its_part_or_half_of_what_is_left(
    bytes_max, mappings, held_bytes, room_bytes
):
    """A record counts twice: as it was read, and in its event."""
    budget = budget_of(bytes_max, mappings)
    budget.held_bytes = held_bytes
    assert budget.room_bytes == room_bytes


def test_what_is_set_aside_is_not_free_until_it_is_given_back():
    budget = budget_of(2_000, 100)
    aside = Aside(budget)
    assert (aside.take(200), budget.free_bytes) == (200, 1_600)
    assert (aside.take(400), budget.free_bytes) == (150, 1_300)
    aside.give_back()
    assert budget.free_bytes == 2_000
    aside.give_back()
    assert (budget.free_bytes, aside.take(10)) == (2_000, 10)


def test_l2_a_read_may_always_bring_a_record_however_much_is_held():
    budget = budget_of(100, 2)
    budget.held_bytes = 10_000
    assert Aside(budget).take(MIB) == 1


def test_l2_reads_that_begin_at_once_stay_within_the_bound():
    """A start: five hundred mappings of four shards, all behind, none holds anything yet."""
    budget = budget_of(1_024 * MIB, 500)
    taken = [Aside(budget).take(limits.FETCH_BYTES_MAX) for _ in range(2_000)]
    assert taken[0] == limits.FETCH_BYTES_MAX
    assert budget.aside_bytes == 2 * sum(taken) <= budget.bytes_max + 2 * 2_000


@pytest.mark.parametrize("mappings", [1, 2, 30, 500])
def test_l2_greedy_mappings_stay_within_the_bound_and_have_like_parts(mappings):
    """Each holds as much as it may, and lets go in its own time."""
    budget = budget_of(1_024 * MIB, mappings)
    held = [0] * mappings
    rng = random.Random(7)
    for _ in range(40 * mappings):
        mapping = rng.randrange(mappings)
        wanted = room_of(budget)
        budget.held_bytes += 2 * (wanted - held[mapping])
        held[mapping] = wanted
        assert budget.held_bytes <= budget.bytes_max
    fair = min(limits.BUFFER_BYTES_MAX, budget.bytes_max // 4 // mappings)
    assert all(fair / 2 <= part <= fair * 2 for part in held)


@pytest.mark.parametrize("stuck", [1, 50, 499])
def test_l4_who_never_lets_go_leaves_the_others_their_part(stuck):
    """Stuck mappings take what they may, one after the other and again and again."""
    budget = budget_of(1_024 * MIB, 500)
    held = [0] * stuck
    for _ in range(20):
        for mapping, part in enumerate(held):
            wanted = max(part, room_of(budget))
            budget.held_bytes += 2 * (wanted - part)
            held[mapping] = wanted
    assert budget.held_bytes <= budget.bytes_max - (500 - stuck) * MIB
    assert room_of(budget) >= MIB // 2
