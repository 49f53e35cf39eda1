"""D1-D12, L1, L2, L3, S1: simulated runs of streams, queues and topics hold every promise.

`make sim` runs more of them, and longer ones.
"""

import random

import pytest

from tests.simulation.kinds import KINDS, is_on, kind_of, without
from tests.simulation.report import count_seen, failure_text, minimise, sometimes_table
from tests.simulation.run import Result, simulate_seed
from tests.simulation.seeds import CHECK_MINUTES, CHECK_SEEDS, honest, regressions

RARE_STREAM = {
    "delivery_given_up",
    "crash at: discard asked",
    "merged_child_waited",
    "deleted_in_batch",
    "windows_off_while_open",
    "width_changed_while_open",
    "window_call_failed",
    "window_ended_early",
}
RARE = {
    "stream": RARE_STREAM,
    "queue": {
        "batch_hit_6_mib",
        "crash_with_open_invocation",
        "dead_exactly_poison",
        "delete_failed",
        "duplicate_after_crash",
        "filtered",
        "handled_and_dead",
        "paused_and_resumed",
        "receipt_expired",
        "received_twice",
        "received_while_it_runs",
        "settings_changed_in_flight",
        "throttled",
    },
    "topic": {
        "commit_failed",
        "commit_refused",
        "cover_found",
        "crash_with_open_invocation",
        "discarded_again_elsewhere",
        "duplicate",
        "head_taken_over",
        "revoked_with_open_invocation",
        "rolled",
        "throttled",
        "zombie_finished_something",
    },
}
"""Not to be expected in so few short runs; `make sim` fails when it never sees them."""


def fail_with_replay(result: Result) -> None:
    if result.error is not None:
        pytest.fail(failure_text(*minimise(result)), pytrace=False)


@pytest.mark.parametrize("seed", CHECK_SEEDS)
def test_a_seed_holds_every_promise(seed: int) -> None:
    fail_with_replay(honest(seed))


@pytest.mark.parametrize(("seed", "minutes", "kind"), regressions())
def test_a_seed_that_once_showed_something_holds(seed: int, minutes: int, kind: str) -> None:
    fail_with_replay(honest(seed, minutes, kind))


def test_the_seeds_meet_everything_they_should() -> None:
    results = [honest(seed) for seed in CHECK_SEEDS]
    for kind, counts in count_seen(results).items():
        never = {name for name, count in counts.items() if not count}
        missing = never - RARE[kind]
        assert not missing, f"never seen: {kind}: {missing}\n{sometimes_table(results)}"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unknown_is_counted_as_seen(kind: str) -> None:
    seen = {it for seed in CHECK_SEEDS if kind_of(seed).name == kind for it in honest(seed).seen}
    assert seen <= set(KINDS[kind].sometimes)


def test_d12_runs_without_faults_hand_nothing_over_twice() -> None:
    quiet = [honest(seed) for seed in CHECK_SEEDS if honest(seed).options.is_fault_free]
    assert sum(result.records for result in quiet) > 1_000
    assert [result.duplicates for result in quiet] == [0] * len(quiet)


def test_a_seed_replays_exactly() -> None:
    seed = max(CHECK_SEEDS, key=lambda seed: len(honest(seed).seen))
    again = simulate_seed(seed, CHECK_MINUTES)
    first = honest(seed)
    assert (again.steps, again.last_steps) == (first.steps, first.last_steps)
    assert (again.duplicates, again.seen) == (first.duplicates, first.seen)


@pytest.mark.parametrize("kind", KINDS)
def test_every_trouble_is_drawn_and_can_be_switched_off(kind: str) -> None:
    of = KINDS[kind]
    drawn = [of.draw(seed, random.Random(seed), CHECK_MINUTES) for seed in CHECK_SEEDS]
    assert {it for it in of.switches if not any(is_on(one, it) for one in drawn)} == set()
    busiest = max(drawn, key=lambda options: sum(is_on(options, it) for it in of.switches))
    for switch in of.switches:
        assert not is_on(without(busiest, switch), switch)


def test_any_stretch_of_seeds_has_all_kinds() -> None:
    assert {kind_of(seed).name for seed in range(1 << 20, (1 << 20) + 5)} == set(KINDS)
