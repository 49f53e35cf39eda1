"""Who is woken when."""

from hypothesis import given
from hypothesis import strategies as st

from router.mapping.timers import Timer, Timers


def test_the_earliest_is_next_and_due_ones_come_in_order():
    timers: Timers[str] = Timers()
    first, second, third = (Timer(name) for name in "abc")
    assert timers.next_ms() is None
    timers.set(first, 30)
    timers.set(second, 10)
    timers.set(third, 20)
    assert timers.next_ms() == 10
    assert timers.pop_due(9) == []
    assert timers.pop_due(20) == ["b", "c"]
    assert timers.next_ms() == 30
    assert timers.pop_due(99) == ["a"]
    assert timers.next_ms() is None


def test_a_timer_set_again_counts_once_at_its_new_time():
    timers: Timers[str] = Timers()
    timer = Timer("a")
    timers.set(timer, 10)
    timers.set(timer, 30)
    assert timers.next_ms() == 30
    timers.set(timer, 20)
    assert timers.pop_due(29) == ["a"]
    assert timers.pop_due(99) == []


def test_a_timer_that_is_unset_is_silent():
    timers: Timers[str] = Timers()
    timer = Timer("a")
    timers.set(timer, 10)
    timers.set(timer, None)
    assert timers.next_ms() is None
    assert timers.pop_due(99) == []


def test_a_window_that_starts_over_and_over_leaves_no_trail():
    timers: Timers[str] = Timers()
    timer = Timer("a")
    for now_ms in range(1_000):
        timers.set(timer, now_ms + 300_000)
        timers.set(timer, None)
        timers.next_ms()
    assert len(timers._heap) <= 1


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 30), st.booleans())))
def test_it_is_a_list_of_wishes(steps):
    timers: Timers[int] = Timers()
    owned = [Timer(number) for number in range(5)]
    wishes: dict[int, int] = {}
    for number, due_ms, is_pop in steps:
        if is_pop and due_ms is not None:
            due = {owner for owner, at_ms in wishes.items() if at_ms <= due_ms}
            assert set(timers.pop_due(due_ms)) == due
            wishes = {owner: at_ms for owner, at_ms in wishes.items() if owner not in due}
        else:
            timers.set(owned[number], due_ms)
            wishes.pop(number, None)
            if due_ms is not None:
                wishes[number] = due_ms
        assert timers.next_ms() == min(wishes.values(), default=None)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 6), st.integers(0, 9))),
)
def test_who_looks_and_how_often_changes_no_order(steps):
    """Those due at one time too: a trace is decided again by an engine that nobody asks."""
    seen: list[list[int]] = []
    for is_asked in (False, True):
        timers: Timers[int] = Timers()
        owned = [Timer(number) for number in range(5)]
        seen.append([])
        for number, due_ms, what in steps:
            if what == 0 and due_ms is not None:
                seen[-1] += timers.pop_due(due_ms)
            else:
                timers.set(owned[number], due_ms)
            if is_asked:
                timers.next_ms()
        seen[-1] += timers.pop_due(99)
    assert seen[0] == seen[1]
