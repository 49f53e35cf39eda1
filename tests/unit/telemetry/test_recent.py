"""The last attempts of each thing, bounded for each and for all."""

from router.telemetry.recent import EACH_MAX, Attempt, Rings


def attempt(number):
    return Attempt(number, "ok", 1.0, f"r{number}")


def times(attempts):
    return [it.wall_ms for it in attempts]


def test_the_last_come_first_and_each_has_so_many():
    rings = Rings()
    for number in range(EACH_MAX + 5):
        rings.of("a").note(attempt(number))
    assert times(rings.known("a")) == list(range(EACH_MAX + 4, 4, -1))
    assert rings.known("b") == ()


def test_beyond_the_bound_who_began_first_begins_anew():
    rings = Rings(all_max=4)
    for number, key in enumerate("aabbc"):
        rings.of(key).note(attempt(number))
    assert [times(rings.known(key)) for key in "abc"] == [[], [3, 2], [4]]
    rings.of("a").note(attempt(5))
    rings.of("a").note(attempt(6))
    assert [times(rings.known(key)) for key in "abc"] == [[6, 5], [], [4]]


def test_what_is_gone_is_forgotten_and_counts_no_more():
    rings = Rings(all_max=2)
    ring = rings.of("a")
    ring.note(attempt(1))
    rings.forget("a")
    rings.forget("never")
    assert rings.known("a") == ()
    for key in "bc":
        rings.of(key).note(attempt(2))
    assert [times(rings.known(key)) for key in "bc"] == [[2], [2]]
    ring.note(attempt(3))  # somebody still holds it
    assert times(rings.known("b")) == []
