"""Whose events are taken next: none holds up another, none floods the memory (L2, L4)."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from router.asynchronous.lines import CYCLE_EVENTS_MAX, WINDOW_FIRST, WINDOW_MAX, Lines


def asked(lines, now_ms=0):
    return {one.function: one.events_max for one in lines.wanted(now_ms)}


def test_nothing_is_asked_for_without_events():
    lines = Lines()
    assert (lines.next_ms(), lines.wanted(0)) == (None, [])


def test_an_event_is_asked_for_when_it_is_due():
    lines = Lines()
    lines.arrived("f", 70)
    lines.arrived("f", 90)
    assert lines.next_ms() == 70
    assert asked(lines, 69) == {}
    assert asked(lines, 70) == {"f": WINDOW_FIRST}
    assert lines.next_ms() is None, "as long as the queue is being asked"
    lines.taken("f", [], 90)
    assert lines.next_ms() == 90
    lines.arrived("f", 80)
    assert lines.next_ms() == 80


def test_an_event_that_arrives_while_the_queue_is_asked_is_not_forgotten():
    lines = Lines()
    lines.arrived("f", 0)
    assert asked(lines)
    lines.arrived("f", 5)
    lines.taken("f", [], None)
    assert lines.next_ms() == 5


def test_a_window_grows_with_the_turns():
    lines = Lines()
    lines.arrived("f", 0)
    for expected in (8, 16, 32, 64, 100, 100):
        assert asked(lines) == {"f": expected}
        lines.taken("f", [1] * expected, 0)
        assert lines.next_ms() is None, "all that may wait do"
        for _ in range(expected):
            lines.began("f")


def test_a_function_that_gets_no_turn_pauses_and_is_tried_with_one_event():
    lines, now_ms = Lines(), 0
    lines.arrived("f", 0)
    asked(lines)
    lines.taken("f", [1], 0)
    for pause_ms in (1_000, 2_000, 4_000):
        lines.held_up("f", now_ms)
        lines.left("f", 1)
        assert now_ms + pause_ms <= lines.next_ms() <= now_ms + pause_ms * 5 // 4
        now_ms = lines.next_ms()
        assert asked(lines, now_ms) == {"f": 1}
        lines.taken("f", [1], 0)
    lines.began("f")
    assert lines.next_ms() == 0, "a turn ends the pause"


def test_many_that_are_held_up_together_pause_once():
    lines = Lines()
    lines.arrived("f", 0)
    asked(lines)
    lines.taken("f", [1] * 8, 0)
    for _ in range(8):
        lines.held_up("f", 0)
    for _ in range(8):
        lines.left("f", 1)
    assert 1_000 <= lines.next_ms() <= 1_250


def test_l4_a_cycle_is_shared_and_all_have_their_turn():
    lines = Lines()
    for number in range(150):
        lines.arrived(f"f{number}", 0)
    seen = set()
    for _ in range(2):
        found = asked(lines)
        assert len(found) == CYCLE_EVENTS_MAX
        assert set(found.values()) == {1}
        seen |= found.keys()
        for function in found:
            lines.taken(function, [1], 0)
    assert len(seen) == 150
    few = Lines()
    for name in "abc":
        few.arrived(name, 0)
    assert asked(few) == {"a": 8, "b": 8, "c": 8}


def test_l2_bytes_are_bounded_and_each_function_may_have_one_event():
    lines = Lines(1_000)
    lines.arrived("f", 0)
    (wanted,) = lines.wanted(0)
    assert wanted.bytes_max == 1_000
    lines.taken("f", [900, 300], 0)
    lines.began("f")
    lines.began("f")
    assert lines.next_ms() is None
    lines.arrived("g", 0)
    (wanted,) = lines.wanted(0)
    assert (wanted.function, wanted.bytes_max) == ("g", 500)
    lines.taken("g", [2_000], 0)
    assert lines.next_ms() is None
    lines.began("g")
    assert lines.next_ms() is None, "it has its share, and more"
    for size_bytes in (300, 900):
        lines.ran("f")
        lines.left("f", size_bytes)
    assert asked(lines).keys() == {"f"}


def test_what_could_not_be_asked_for_is_asked_for_again():
    lines = Lines()
    lines.arrived("f", 0)
    asked(lines)
    lines.not_taken("f", 7)
    assert lines.next_ms() == 7


class LinesMachine(RuleBasedStateMachine):
    """Lines on a naive queue: everything is taken in the end, limits hold at every step."""

    LIMIT_BYTES = 1_000

    def __init__(self):
        super().__init__()
        self.lines = Lines(self.LIMIT_BYTES)
        self.now_ms = 0
        self.queue = {name: [] for name in "fgh"}
        self.waiting = {name: [] for name in "fgh"}
        self.running = {name: [] for name in "fgh"}

    @rule(
        name=st.sampled_from("fgh"),
        size=st.sampled_from([1, 300, 5_000]),
        events=st.integers(1, 40),
    )
    def arrive(self, name, size, events):
        self.queue[name] += [(self.now_ms, size)] * events
        self.lines.arrived(name, self.now_ms)

    @rule(fails=st.booleans())
    def ask(self, fails):
        for wanted in self.lines.wanted(self.now_ms):
            if fails:
                self.lines.not_taken(wanted.function, self.now_ms)
            else:
                self._take(wanted)

    def _take(self, wanted):
        name, came, left_bytes = wanted.function, [], wanted.bytes_max
        rest = sorted(self.queue[name])
        while rest and rest[0][0] <= self.now_ms and len(came) < wanted.events_max:
            if came and rest[0][1] > left_bytes:
                break
            came.append(rest.pop(0)[1])
            left_bytes -= came[-1]
        self.queue[name] = rest
        self.waiting[name] += came
        self.lines.taken(name, came, rest[0][0] if rest else None)

    @rule(name=st.sampled_from("fgh"), events=st.integers(1, 200))
    def begin(self, name, events):
        for _ in range(min(events, len(self.waiting[name]))):
            self.running[name].append(self.waiting[name].pop())
            self.lines.began(name)

    @rule(name=st.sampled_from("fgh"), events=st.integers(1, 200))
    def end(self, name, events):
        for _ in range(min(events, len(self.running[name]))):
            self.lines.ran(name)
            self.lines.left(name, self.running[name].pop())

    @rule(name=st.sampled_from("fgh"), wait_ms=st.integers(0, 5_000))
    def hold_up(self, name, wait_ms):
        if self.waiting[name]:
            size = self.waiting[name].pop()
            self.lines.held_up(name, self.now_ms)
            self.queue[name].append((self.now_ms + wait_ms, size))
            self.lines.arrived(name, self.now_ms + wait_ms)
            self.lines.left(name, size)

    @rule(by_ms=st.integers(1, 40_000))
    def pass_time(self, by_ms):
        self.now_ms += by_ms

    @invariant()
    def limits_hold(self):
        held = [size for name in "fgh" for size in self.waiting[name] + self.running[name]]
        assert (self.lines.held, self.lines.held_bytes) == (len(held), sum(held))
        for name in "fgh":
            assert len(self.waiting[name]) <= WINDOW_MAX
        small = [size for size in held if size < 5_000]
        assert sum(small) <= 2 * self.LIMIT_BYTES + 3 * 300

    def teardown(self):
        """All that is there is taken once everything runs well."""
        for _ in range(3_000):
            for name in "fgh":
                while self.waiting[name]:
                    self.running[name].append(self.waiting[name].pop())
                    self.lines.began(name)
                while self.running[name]:
                    self.lines.ran(name)
                    self.lines.left(name, self.running[name].pop())
            if not any(self.queue.values()):
                break
            self.now_ms = max(self.now_ms, self.lines.next_ms())
            for wanted in self.lines.wanted(self.now_ms):
                self._take(wanted)
        assert not any(self.queue.values()), "something was forgotten"
        assert (self.lines.held, self.lines.held_bytes, self.lines.next_ms()) == (0, 0, None)


LinesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLines = LinesMachine.TestCase
