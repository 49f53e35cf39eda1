"""The ledger against a naive one: never above a limit (L1), no slot lost, nobody forgotten (L4)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dispatch.ledger import Ledger, Share
from router.dispatch.pot import Pot
from router.model.concurrency import ACCOUNT_LIMIT, RESERVED_LIMIT, Allotment

FUNCTIONS = ("f", "g", "h")
VERSIONS = ("$LATEST", "1")


class Wish:
    """One invocation: waiting, running, over."""

    def __init__(self, ledger: Ledger, claimant: str, function: str, version: str) -> None:
        self.claimant = claimant
        self.share = ledger.share_of(function)
        self.version = version
        self.pot: Pot[Any] | None = None
        self.is_given_up = False
        self.granted: list[Wish] | None = None

    def done(self) -> bool:
        return self.pot is not None or self.is_given_up

    def give(self, pot: Pot[Any]) -> None:
        assert not self.done(), "a slot for one that waits no more is lost"
        self.pot = pot
        assert self.granted is not None
        self.granted.append(self)


class World:
    """The ledger, and beside it nothing but lists."""

    def __init__(self, limit: int, minimum: int) -> None:
        self.limit = limit
        self.minimum = minimum
        self.ledger = Ledger(limit, minimum)
        self.running: list[Wish] = []
        self.waiting: list[Wish] = []
        self.allotments: dict[str, Allotment] = {}
        self.ready: dict[tuple[str, str], int] = {}
        for claimant in "abc":
            self.ledger.register(claimant)

    # The rules, as `functions-and-invocation.md` 9 says them

    def on_demand(self, function: str) -> tuple[int, int]:
        """(slots, of them taken) of what the function's invocations on demand share."""
        allotment = self.allotments.get(function)
        if allotment is not None and allotment.reserved is not None:
            slots = max(0, allotment.reserved - allotment.ready)
            names = {function}
        else:
            claimed = sum(one.claimed for one in self.allotments.values())
            slots = max(self.minimum, self.limit - claimed)
            names = {
                name
                for name in FUNCTIONS
                if (one := self.allotments.get(name)) is None or one.reserved is None
            }
        taken = [wish for wish in self.running if not is_ready(wish)]
        return slots, sum(wish.share.function in names for wish in taken)

    def free_ready(self, wish: Wish) -> int:
        """Free provisioned environments of its version."""
        key = (wish.share.function, wish.version)
        taken = sum(
            is_ready(other) and (other.share.function, other.version) == key
            for other in self.running
        )
        return self.ready.get(key, 0) - taken

    def may_run(self, wish: Wish) -> bool:
        """Whether there is a slot it may have at all."""
        slots, taken = self.on_demand(wish.share.function)
        return len(self.running) < self.limit and (self.free_ready(wish) > 0 or taken < slots)

    # What happens

    def begin(self, wish: Wish, pot: Pot[Any]) -> None:
        """It has a slot: was there one, and of the right kind?"""
        assert len(self.running) < self.limit, "L1"
        is_any_ready = self.free_ready(wish) > 0
        slots, taken = self.on_demand(wish.share.function)
        assert is_any_ready if pot.is_ready else taken < slots, "a slot that is not there"
        wish.pot = pot
        self.running.append(wish)

    def ask_now(self, function: str, version: str) -> None:
        """A caller of the API."""
        wish = Wish(self.ledger, "api", function, version)
        pot = self.ledger.take(wish.share, version, "api")
        if pot is None:
            assert not self.may_run(wish), "refused with a slot free"
            slots, taken = self.on_demand(function)
            is_reserved = self.ledger.reason(wish.share) == RESERVED_LIMIT
            assert is_reserved == (self.is_reserved(function) and taken >= slots)
        else:
            self.begin(wish, pot)

    def is_reserved(self, function: str) -> bool:
        allotment = self.allotments.get(function)
        return allotment is not None and allotment.reserved is not None

    def ask(self, claimant: str, function: str, version: str) -> None:
        """A mapping."""
        wish = Wish(self.ledger, claimant, function, version)
        wish.granted = []
        pot = self.ledger.take_fairly(wish.share, version, claimant)
        if pot is not None:
            self.begin(wish, pot)
            return
        self.waiting.append(wish)
        self.doing(lambda: self.ledger.wait(wish))

    def end(self, index: int) -> None:
        """One that runs is over."""
        wish = self.running.pop(index)
        pot = wish.pot
        assert pot is not None
        self.doing(lambda: self.ledger.release(wish.share, pot, wish.claimant))

    def give_up(self, index: int) -> None:
        """One that waits does so no more."""
        wish = self.waiting.pop(index)
        wish.is_given_up = True
        self.doing(lambda: self.ledger.forget(wish))

    def allot(self, allotments: dict[str, Allotment]) -> None:
        self.allotments = allotments
        names = {(name, version) for name, one in allotments.items() for version in one.provisioned}
        self.ready = {key: count for key, count in self.ready.items() if key in names}
        self.doing(lambda: self.ledger.allot(allotments))

    def set_ready(self, function: str, version: str, count: int) -> None:
        allotment = self.allotments.get(function)
        if allotment is None or version not in allotment.provisioned:
            self.ledger.set_ready(function, version, count)
            return
        count = min(count, allotment.provisioned[version])
        self.ready[function, version] = count
        self.doing(lambda: self.ledger.set_ready(function, version, count))

    def doing(self, action: Any) -> None:
        """Do it; whoever was given a slot by it begins, in the order of giving."""
        granted: list[Wish] = []
        for wish in self.waiting:
            wish.granted = granted
        action()
        for wish in granted:
            self.waiting.remove(wish)
            pot = wish.pot
            assert pot is not None
            self.begin(wish, pot)

    def check(self) -> None:
        """What is true at any time."""
        assert self.ledger.running == len(self.running) <= self.limit
        assert all(pot.used >= 0 for share in self.ledger.shares() for pot in pots_of(share))
        for wish in self.waiting:
            if len(self.running) >= self.limit:
                break
            assert self.free_ready(wish) <= 0, "it waits beside a provisioned environment"
            slots, taken = self.on_demand(wish.share.function)
            assert slots - taken <= slots // 2, "it waits beside more than is kept for others"


def is_ready(wish: Wish) -> bool:
    return wish.pot is not None and wish.pot.is_ready


def pots_of(share: Share) -> list[Pot[Any]]:
    return [share.on_demand, *(share.ready or {}).values()]


FUNCTION = st.sampled_from(FUNCTIONS)
VERSION = st.sampled_from(VERSIONS)
SMALL = st.integers(0, 4)
ALLOTMENT = st.builds(
    lambda reserved, ready: Allotment(
        None if reserved is None else max(reserved, ready), {"1": ready} if ready else {}
    ),
    st.none() | SMALL,
    st.integers(0, 2),
)
STEP = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from("abc"), FUNCTION, VERSION),
    st.tuples(st.just("ask"), st.sampled_from("abc"), FUNCTION, VERSION),
    st.tuples(st.just("ask_now"), FUNCTION, VERSION),
    st.tuples(st.just("end"), st.integers(0, 99)),
    st.tuples(st.just("end"), st.integers(0, 99)),
    st.tuples(st.just("give_up"), st.integers(0, 99)),
    st.tuples(st.just("allot"), st.dictionaries(FUNCTION, ALLOTMENT, max_size=3)),
    st.tuples(st.just("set_ready"), FUNCTION, st.just("1"), st.integers(0, 3)),
)


@settings(max_examples=200)
@given(
    limit=st.integers(1, 8),
    minimum=st.integers(0, 1),
    steps=st.lists(STEP, max_size=60),
)
def test_l1_l4_against_a_naive_ledger(limit: int, minimum: int, steps: list[Any]) -> None:
    world = World(limit, minimum)
    for name, *what in steps:
        if name in {"end", "give_up"}:
            those = world.running if name == "end" else world.waiting
            if those:
                getattr(world, name)(what[0] % len(those))
        else:
            getattr(world, name)(*what)
        world.check()
    world.allot({})
    while world.running:  # no slot is lost, and everybody has a turn
        world.end(0)
        world.check()
    assert not world.waiting
    assert world.ledger.running == world.ledger.common.used == 0


def wish_for(world: World, claimant: str, function: str) -> Wish:
    world.ask(claimant, function, "$LATEST")
    return (world.running + world.waiting)[-1]


def test_a_reservation_is_there_whatever_others_run() -> None:
    world = World(4, 0)
    world.allot({"f": Allotment(1)})
    for _ in range(9):
        world.ask("a", "g", "$LATEST")
    assert len(world.running) == 2, "one slot is f's, one is kept for a mapping that runs nothing"
    world.ask("b", "f", "$LATEST")
    assert world.running[-1].share.function == "f"
    world.ask_now("g", "$LATEST")
    assert len(world.running) == 4
    world.ask_now("g", "$LATEST")
    assert len(world.running) == 4


def test_l4_who_waits_for_a_reservation_holds_nobody_up() -> None:
    world = World(8, 0)
    world.allot({"f": Allotment(1)})
    for _ in range(5):
        world.ask("a", "f", "$LATEST")
    assert len(world.waiting) == 4
    world.ask("b", "g", "$LATEST")
    assert world.running[-1].share.function == "g"


def test_reserved_zero_runs_nothing() -> None:
    world = World(8, 0)
    world.allot({"f": Allotment(0)})
    world.ask("a", "f", "$LATEST")
    world.ask_now("f", "$LATEST")
    assert not world.running
    assert world.ledger.reason(world.ledger.share_of("f")) == RESERVED_LIMIT
    world.allot({})
    assert len(world.running) == 1, "what waited runs as soon as it may"


def test_all_of_a_reservation_provisioned_leaves_nothing_on_demand() -> None:
    world = World(8, 0)
    world.allot({"f": Allotment(2, {"1": 2})})
    world.set_ready("f", "1", 2)
    world.ask_now("f", "$LATEST")
    assert not world.running
    for _ in range(3):
        world.ask_now("f", "1")
    assert [wish.pot and wish.pot.is_ready for wish in world.running] == [True, True]


def test_provisioned_capacity_comes_out_of_what_others_have() -> None:
    world = World(3, 0)
    world.allot({"f": Allotment(None, {"1": 2})})
    world.ask_now("g", "$LATEST")
    world.ask_now("g", "$LATEST")
    assert len(world.running) == 1
    assert world.ledger.reason(world.ledger.share_of("g")) == ACCOUNT_LIMIT


def test_what_runs_counts_for_the_reservation_that_was_made_since() -> None:
    world = World(8, 0)
    for _ in range(3):
        world.ask_now("f", "$LATEST")
    world.allot({"f": Allotment(3)})
    world.ask_now("f", "$LATEST")
    assert len(world.running) == 3
    assert world.ledger.common.used == 0


def test_more_reserved_than_there_is_goes_round() -> None:
    world = World(2, 1)
    world.allot({"f": Allotment(2), "g": Allotment(2)})
    for _ in range(3):
        for claimant, function in (("a", "f"), ("b", "g"), ("c", "h")):
            world.ask(claimant, function, "$LATEST")
    served = []
    while world.running:
        served.append(world.running[0].share.function)
        world.end(0)
        world.check()
    assert sorted(served) == sorted("fgh" * 3)
    assert set(served[:4]) == {"f", "g", "h"}, "nobody waits for all the others' turns"


def test_a_claimant_that_leaves_is_not_remembered() -> None:
    world = World(4, 0)
    world.allot({"f": Allotment(2)})
    wish_for(world, "a", "f")
    world.ledger.unregister("a")
    world.end(0)
    home = world.ledger.share_of("f").on_demand
    assert msgspec.to_builtins(sorted(home._running)) == []


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ledger(0)
