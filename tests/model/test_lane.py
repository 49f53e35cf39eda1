"""A lane against a list: whatever is cut, halved, given up or finished, the records stay a list.

The model is the records that are not finished, in order, with the ends of the parts they were
cut into (D5, D8).
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.mapping.bisect import halving_point
from router.mapping.lanes import Doom, Lane, Phase
from router.model.progress import LaneProgress
from router.model.record import Record
from tests.model.examples import MODEL
from tests.unit.mapping.play import spec_of


class LaneMachine(RuleBasedStateMachine):
    """One lane; `self.left` is the naive list of what it must still hold."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = spec_of(batch_size=8)
        self.lane = Lane("0", LaneProgress(0, 0))
        self.last = 0
        self.done = 0
        self.left: list[int] = []
        self.ends: list[int] = []
        """Where the parts that wait behind the batch must end."""
        self.batch: list[int] = []

    @rule(gaps=st.lists(st.integers(1, 3), min_size=1, max_size=12))
    def read(self, gaps: list[int]) -> None:
        for gap in gaps:
            self.last += gap
            self.lane.take_in(Record(self.last, "k", 0, 10, b""), 0, 0)
            self.left.append(self.last)

    @precondition(lambda self: not self.batch and self.lane.queue)
    @rule()
    def begin(self) -> None:
        if self.ends:
            end = self.ends[0]
            expected = [p for p in self.left if p <= end][: self.spec.batch_size]
            assert self.lane.take_part(self.spec, self.last)
            if expected[-1] == end:
                self.ends.pop(0)
        else:
            expected = self.left[: self.spec.batch_size]
            assert not self.lane.take_part(self.spec, self.last)
            self.lane.take_batch(self.spec)
        self.batch = expected
        assert self.lane.phase is Phase.READY

    @precondition(lambda self: len(self.batch) > 1)
    @rule()
    def halve(self) -> None:
        cut = halving_point(len(self.batch))
        assert 0 < cut <= len(self.batch) - cut
        self.lane.split(cut)
        self.ends = [self.batch[cut - 1], self.batch[-1], *self._behind()]
        self._gather()

    @precondition(lambda self: len(self.batch) > 1)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.batch) - 1))
        last = self.batch[-1]
        self._finish(count)
        self.lane.split()
        self.ends = [last, *self._behind(last)]
        self._gather()

    @precondition(lambda self: self.batch)
    @rule()
    def finish_all(self) -> None:
        self._finish(len(self.batch))
        self._gather()

    @precondition(lambda self: self.batch)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.batch)))
        gone = self.lane.batch[:count]
        self.lane.doom(Doom(gone, "RetryAttemptsExhausted", 1))
        assert self.lane.first_unfinished == self.batch[0]
        assert self.lane.stored() == gone
        self.done = self.batch[count - 1]
        self.left = self.left[count:]
        self.batch = self.batch[count:]
        if not self.batch:
            self._gather()

    @precondition(lambda self: len(self.batch) > 1)
    @rule(data=st.data())
    def keep_front(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.batch) - 1))
        last = self.batch[-1]
        self.lane.keep(count)
        self.ends = [last, *self._behind(last)]
        self.batch = self.batch[:count]

    def _finish(self, count: int) -> None:
        self.lane.finish(count)
        self.done = self.batch[count - 1]
        self.left = self.left[count:]
        self.batch = self.batch[count:]

    def _behind(self, beyond: int | None = None) -> list[int]:
        last = self.batch[-1] if beyond is None else beyond
        return [end for end in self.ends if end > last]

    def _gather(self) -> None:
        self.lane.phase = Phase.GATHERING
        self.batch = []

    @invariant()
    def nothing_is_lost_repeated_or_swapped(self) -> None:
        held = [r.position for r in (*self.lane.batch, *self.lane.queue)]
        assert held == self.left
        assert [r.position for r in self.lane.batch] == self.batch
        assert self.lane.queue_bytes == sum(r.size_bytes for r in self.lane.queue)

    @invariant()
    def the_position_is_below_what_is_left(self) -> None:
        assert self.lane.position == self.done
        assert self.lane.first_unfinished == (self.left[0] if self.left else None)

    @invariant()
    def a_restart_forms_the_same_parts(self) -> None:
        again = Lane("0", self.lane.progress)
        inner = [self.batch[-1]] if self.batch and (self.ends or self.lane.attempts) else []
        assert list(again.ends) == [*inner, *self.ends]


LaneMachine.TestCase.settings = MODEL
test_a_lane_is_a_list = LaneMachine.TestCase
