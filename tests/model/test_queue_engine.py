"""The queue engine in a world with a naive queue, and engines with one thing wrong each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.examples import MODEL
from tests.model.queue_world import World
from tests.simulation.mutants import edited
from tests.simulation.queues.edits import MODEL_EDITS


@given(st.integers(0, 1 << 40))
@MODEL
def test_d1_d2_d5_d6_d11_p24_the_engine_in_a_world_with_a_naive_queue(seed):
    World(seed).run()


SEEDS = {
    "a group whose message failed goes on": 1,
    "a group in two batches": 1,
    "a group overtakes one that waits": 7,
    "a failed message is deleted": 0,
    "a reported message is deleted": 0,
    "one batch more than allowed": 2,
    "batches out of order": 7,
    "a group stays busy for ever": 1,
    "what filters left out stays": 0,
    "after a drain nothing is received": 0,
    "a group goes on before what is handled is gone": 1,
    "a message that stayed is overtaken": 138,
    "bytes are not given back": 0,
}
"""The mutants of the simulation's list, and the seed whose world notices each."""

EDITS = {edit.name: edit for edit in MODEL_EDITS}


def test_each_of_the_list_is_tried():
    assert SEEDS.keys() == EDITS.keys()


@pytest.mark.parametrize("name", SEEDS)
def test_an_engine_with_one_thing_wrong_is_noticed(name):
    seed = SEEDS[name]
    World(seed).run()
    with pytest.raises(Exception):  # noqa: B017  whatever it is noticed by
        World(seed, edited(EDITS[name]).queue_engine).run()
