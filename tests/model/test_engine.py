"""The engine against lists and a loop: hypothesis says what happens next, and makes it small.

The naive world and its checks are those of `tests/unit/mapping/test_stream_engine_model.py`.
"""

from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from router.mapping import engine as e
from tests.model.examples import MODEL
from tests.unit.mapping.test_stream_engine_model import World


class EngineMachine(RuleBasedStateMachine):
    """Rules for what the naive world may do; it checks D3 to D7 and D10 to D12 at each step."""

    world: World

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.world = World(Random(seed))

    @precondition(lambda self: self.world.open)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.world.open) - 1))
        self.world.answer(self.world.open.pop(index))

    @rule(late_ms=st.sampled_from((0, 0, 1, 20_000)))
    def tick(self, late_ms: int) -> None:
        due_ms = self.world.engine.next_wakeup_ms()
        if due_ms is not None:
            self.world.now_ms = max(self.world.now_ms, due_ms) + late_ms
        self.world.feed(e.Tick())

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def disturb(self) -> None:
        self.world.disturb()

    def teardown(self) -> None:
        """In the end every fault stops, and every record ends (D1)."""
        if hasattr(self, "world"):
            self.world.run_to_the_end()


EngineMachine.TestCase.settings = MODEL
test_the_engine_is_a_few_lists = EngineMachine.TestCase
