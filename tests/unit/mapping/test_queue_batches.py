"""Batches of a queue are of one chain each (`functions-and-invocation.md` 7.6)."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.queue_batches import Gathered
from tests.unit.mapping.queue_play import message, spec_of


def of(chain, name, **more):
    return msgspec.structs.replace(message(name, **more), chain=chain)


def gathered(*messages):
    found = Gathered()
    for one in messages:
        found.add(one)
    return found


def taken(found, spec):
    """Names of the messages of every batch, in order."""
    batches = []
    while found:
        batches.append([one.event_id for one in found.take(spec)])
    return batches


def test_messages_of_other_chains_go_apart():
    found = gathered(of("", "1"), of("x", "2"), of("", "3"), of("y", "4"), of("x", "5"))
    assert taken(found, spec_of()) == [["1", "3"], ["2", "5"], ["4"]]
    assert found.size_bytes == 0
    assert taken(gathered(of("x", "1"), of("x", "2")), spec_of()) == [["1", "2"]]


def test_a_batch_of_one_chain_is_as_large_as_any():
    found = gathered(*(of("x" if number % 2 else "", str(number)) for number in range(8)))
    batches = taken(found, spec_of(batch_size=3))
    assert batches == [["0", "2", "4"], ["1", "3", "5"], ["6"], ["7"]]
    large = [of("x", str(number), size_bytes=2_900_000) for number in range(3)]
    assert taken(gathered(*large), spec_of()) == [["0", "1"], ["2"]]


def test_the_order_of_a_group_outweighs_its_chains():
    """P24: what is behind a message of another chain stays behind it."""
    found = gathered(of("x", "A1"), of("", "B1"), of("x", "B2"), of("", "A2"), of("x", "A3"))
    assert taken(found, spec_of(fifo=True)) == [["A1"], ["B1", "A2"], ["B2", "A3"]]


SENT = st.lists(st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from("ABC")), max_size=30)


@given(sent=SENT, size=st.integers(1, 5), fifo=st.booleans())
def test_nothing_is_lost_mixed_or_overtaken(sent, size, fifo):
    """D1, P24: each once, chains apart, groups in order, batches within their size."""
    messages, numbers = [], Counter()
    for chain, group in sent:
        numbers[group] += 1
        name = f"{group}{numbers[group]}" if fifo else str(len(messages))
        messages.append(of(chain, name))
    chains = {one.event_id: one.chain for one in messages}
    batches = taken(gathered(*messages), spec_of(fifo=fifo, batch_size=size))
    names = [name for batch in batches for name in batch]
    assert sorted(names) == sorted(chains)
    assert all(0 < len(batch) <= size for batch in batches)
    assert all(len({chains[name] for name in batch}) == 1 for batch in batches)
    if fifo:
        for group in "ABC":
            order = [int(name[1:]) for name in names if name[0] == group]
            assert order == sorted(order)
