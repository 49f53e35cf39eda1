"""The queue engine in a world with a naive queue, and engines with one thing wrong each."""

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import router.mapping
from tests.model.examples import MODEL
from tests.model.queue_world import World


@given(st.integers(0, 1 << 40))
@MODEL
def test_d1_d2_d5_d6_d11_p24_the_engine_in_a_world_with_a_naive_queue(seed):
    World(seed).run()


MUTANTS = {
    "a group whose message failed goes on": (
        "queue_engine", "self._drop_groups(groups_of(failed))", "pass", 1,
    ),
    "a group in two batches": ("queue_engine", "if batch.groups & blocked:", "if False:", 1),
    "a group overtakes one that waits": (
        "queue_engine",
        "blocked |= batch.groups\n                is_waiting = True\n                continue",
        "is_waiting = True\n                continue",
        7,
    ),
    "a failed message is deleted": (
        "queue_engine",
        "self._conclude((), batch.messages)",
        "self._conclude(batch.messages[:1], batch.messages[1:])",
        0,
    ),
    "a reported message is deleted": (
        "queue_engine", "failed = set(indexes)", "failed = set(indexes[1:])", 0,
    ),
    "one batch more than allowed": (
        "queue_engine",
        "len(self._open) >= self._pace.batches_max",
        "len(self._open) > self._pace.batches_max",
        2,
    ),
    "batches out of order": (
        "queue_engine", "self._ready.sort(key=lambda one: one.number)", "pass", 7,
    ),
    "a group stays busy for ever": (
        "queue_engine", "self._busy -= batch.groups", "pass", 1,
    ),
    "what filters left out stays": (
        "queue_engine", "self._deletes.add(event.left_out)", "pass", 0,
    ),
    "after a drain nothing is received": (
        "queue_engine", "                self._is_draining = False", "                pass", 0,
    ),
    "a group goes on before what is handled is gone": (
        "queue_engine", "self._busy.union(self._deletes.groups)", "set(self._busy)", 1,
    ),
    "a message that stayed is overtaken": (
        "queue_engine", "self._drop_groups({receipt.group for", "set({receipt.group for", 4,
    ),
    "bytes are not given back": (
        "queue_engine", "self._held.discard(message.event_id)\n        self._release(message)",
        "self._held.discard(message.event_id)", 0,
    ),
}  # fmt: skip
"""Name → module, what is in it, what is there instead, the seed whose world notices it."""


def mutant(module: str, old: str, new: str):
    """The engine with one place of its source changed."""
    folder = Path(router.mapping.__path__[0])
    kept = {name: sys.modules[f"router.mapping.{name}"] for name in MODULES}
    try:
        for name in MODULES:
            path = folder / f"{name}.py"
            source = path.read_text(encoding="utf-8")
            if name == module:
                assert source.count(old) == 1, f"{old!r} is not once in {path.name}"
                source = source.replace(old, new)
            spec = importlib.util.spec_from_loader(f"router.mapping.{name}", loader=None)
            changed = importlib.util.module_from_spec(spec)
            sys.modules[f"router.mapping.{name}"] = changed
            setattr(router.mapping, name, changed)
            exec(compile(source, str(path), "exec"), changed.__dict__)
        return sys.modules["router.mapping.queue_engine"].QueueEngine
    finally:
        for name, one in kept.items():
            sys.modules[f"router.mapping.{name}"] = one
            setattr(router.mapping, name, one)


MODULES = ("queue_batches", "queue_deletes", "queue_pace", "queue_engine")


@pytest.mark.parametrize("name", MUTANTS)
def test_an_engine_with_one_thing_wrong_is_noticed(name):
    module, old, new, seed = MUTANTS[name]
    World(seed).run()
    with pytest.raises(Exception):  # noqa: B017  whatever it is noticed by
        World(seed, mutant(module, old, new)).run()
