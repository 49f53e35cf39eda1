"""T1: a clock that is set deletes nothing that was promised."""

import time

from hypothesis import given
from hypothesis import strategies as st

from router.app.jumps import JUMP_MS_MIN, REMEMBERED_MAX, Jumps, SteadyClock

HOUR = 3_600_000
DAY = 24 * HOUR


class Clocks:
    def __init__(self):
        self.elapsed = 0
        self.set_by = 1_000 * DAY
        self.jumps = Jumps(lambda: self.set_by + self.elapsed, lambda: self.elapsed)

    def wall(self):
        return self.set_by + self.elapsed

    def run(self, ms):
        self.elapsed += ms
        return self.jumps.look()

    def set(self, ms):
        self.set_by += ms
        return self.jumps.look()


def test_without_a_jump_it_is_the_wall_clock():
    clocks = Clocks()
    for _ in range(100):
        assert clocks.run(30_000) == 0
        assert clocks.set(100) == 0  # slewed
    assert clocks.jumps.before_ms(DAY) == clocks.wall() - DAY


def test_a_day_forward_deletes_nothing_a_day_early():
    clocks = Clocks()
    before = clocks.wall()
    clocks.run(HOUR)
    assert clocks.set(DAY) == DAY
    after = clocks.wall()
    assert clocks.jumps.before_ms(DAY) <= before
    clocks.run(23 * HOUR - 1)
    assert clocks.jumps.before_ms(DAY) <= before
    clocks.run(2)
    assert before < clocks.jumps.before_ms(DAY) < after
    clocks.run(HOUR - 1)
    assert clocks.jumps.before_ms(DAY) <= after
    clocks.run(1)
    assert after < clocks.jumps.before_ms(DAY)


def test_forward_and_back_is_as_if_nothing_had_been():
    clocks = Clocks()
    clocks.run(HOUR)
    clocks.set(DAY)
    clocks.run(HOUR)
    clocks.set(-DAY)
    assert clocks.jumps.before_ms(DAY) == clocks.wall() - DAY


def test_only_so_many_jumps_are_remembered():
    clocks = Clocks()
    first = clocks.wall()
    for _ in range(3 * REMEMBERED_MAX):
        clocks.set(JUMP_MS_MIN)
    assert len(clocks.jumps._jumps) <= REMEMBERED_MAX
    assert clocks.jumps.before_ms(1_000) <= first


@given(
    st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(-2 * DAY, 2 * DAY)), max_size=12),
    st.integers(1, 5 * DAY),
)
def test_nothing_goes_before_its_time(steps, age):
    """Whatever the clock does: what is below the bound has been there for that long."""
    clocks = Clocks()
    stamps = []
    for run, jump in steps:
        stamps.append((clocks.wall(), clocks.elapsed))
        clocks.run(run)
        stamps.append((clocks.wall(), clocks.elapsed))
        clocks.set(jump)
        bound = clocks.jumps.before_ms(age)
        for stamp, at in stamps:
            # Steps too small to be jumps are believed.
            slack = JUMP_MS_MIN * len(steps)
            assert stamp >= bound or clocks.elapsed - at >= age - slack


def test_due_times_go_by_a_clock_that_jumps_only_when_somebody_looks():
    clocks = Clocks()
    began = clocks.jumps.wall_ms()
    assert began == clocks.wall()
    clocks.set_by += DAY
    clocks.elapsed += 700
    assert clocks.jumps.wall_ms() == began + 700
    assert clocks.jumps.look() == DAY
    assert clocks.jumps.wall_ms() == clocks.wall() == began + DAY + 700
    clocks.set_by -= 3 * DAY
    assert clocks.jumps.wall_ms() == began + DAY + 700
    clocks.jumps.look()
    assert clocks.jumps.wall_ms() == clocks.wall()
    clocks.set_by += 20  # a correction
    clocks.jumps.look()
    assert clocks.jumps.wall_ms() == clocks.wall()


def test_a_routers_clock_is_the_machines_between_jumps():
    clock = SteadyClock()
    assert abs(clock.wall_ms() - time.time() * 1000) < 1_000
    assert abs(clock.now_ms() - time.monotonic() * 1000) < 1_000
    assert clock.jumps.look() == 0
