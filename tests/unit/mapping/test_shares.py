"""Batches for aliases that share: a key has one version, and nothing is lost in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.mapping.retry import Cut, Finish, GiveUp, Halve, Select, Wait, judge
from router.mapping.shares import Part, all_one, draw_of, is_over, merge, split
from router.model.function import FunctionVersion
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.record import Record


def version(number):
    return FunctionVersion(
        name="f", arn="arn:f", version=number, runtime="", handler="", code_path="", code_hash=""
    )


ONE, TWO = version("1"), version("2")


def spec(**settings):
    return MappingSpec(uuid="u", name="m", function_arn="arn:f", source_arn="arn:s", **settings)


def record(position, key):
    return Record(position=position, key=key, arrival_ms=0, size_bytes=1, data=b"")


def choose(key):
    return TWO if key.startswith("b") else ONE


FIRST, SECOND = Part(ONE, (0, 2)), Part(TWO, (1, 3))
FAILED = Failed("Error")


def test_a_batch_falls_into_the_parts_of_its_versions():
    records = [record(n, key) for n, key in enumerate(("b1", "a", "b2", "", "b1"))]
    assert split(records, "shard", choose) == [Part(TWO, (0, 2, 4)), Part(ONE, (1, 3))]
    assert split(records[:1], "shard", choose) == [Part(TWO, (0,))]
    assert split((), "shard", choose) == []
    assert all_one() is None


def test_records_without_a_key_have_the_version_of_their_shard():
    asked = []
    split([record(0, ""), record(1, "k")], "shard", lambda key: asked.append(key) or ONE)
    assert asked == ["shard", "k"]


def test_a_key_is_drawn_the_same_way_for_ever_and_apart_in_each_mapping():
    """The number must never change: a key would change its version with an update of ours."""
    assert draw_of("u", "key") == pytest.approx(0.5046131, abs=1e-6)
    draws = [draw_of("u", f"key-{n}") for n in range(10_000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert abs(sum(draw < 0.1 for draw in draws) - 1_000) < 90  # three standard deviations
    assert draw_of("v", "key") != draw_of("u", "key")
    assert 0 <= draw_of("u", "\ud800") < 1


@pytest.mark.parametrize(
    ("outcome", "attempt", "settings", "over"),
    [
        (Succeeded(), 1, {}, False),
        (PartlySucceeded((1,)), 1, {}, False),
        (NotRun("throttled"), 1, {}, True),
        (FAILED, 1, {}, True),
        (PartlySucceeded((0,)), 1, {}, True),
        (FAILED, 1, {"retries_max": 2}, True),
        (FAILED, 3, {"retries_max": 2}, False),  # given up next: all of it must have been run
        (FAILED, 1, {"retries_reported_only": True}, False),
        (NotRun("throttled"), 1, {"retries_reported_only": True}, True),
    ],
)
def test_other_parts_are_not_run_in_vain(outcome, attempt, settings, over):
    assert is_over(outcome, attempt, spec(**settings)) is over


@pytest.mark.parametrize(
    ("outcomes", "settings", "merged"),
    [
        ((Succeeded(), Succeeded()), {}, Succeeded()),
        ((Succeeded(), FAILED), {}, PartlySucceeded((1, 3))),
        ((Succeeded(), NotRun("throttled")), {}, PartlySucceeded((1, 3))),
        ((Succeeded(), PartlySucceeded((1,))), {}, PartlySucceeded((3,))),
        ((PartlySucceeded((1,)), Succeeded()), {}, PartlySucceeded((2,))),
        ((FAILED,), {}, FAILED),
        ((FAILED, Succeeded()), {}, FAILED),
        ((FAILED, NotRun("throttled")), {}, NotRun("throttled")),
        ((NotRun("throttled"),), {}, NotRun("throttled")),
        ((PartlySucceeded((0,)), Succeeded()), {}, PartlySucceeded((0,))),
        ((FAILED, Succeeded()), {"retries_reported_only": True}, PartlySucceeded((0, 2))),
        ((FAILED, FAILED), {"retries_reported_only": True}, FAILED),
    ],
)
def test_parts_come_to_one_outcome(outcomes, settings, merged):
    parts = list(zip((FIRST, SECOND), outcomes, strict=False))
    assert merge(parts, 4, spec(**settings)) == merged


OUTCOMES = st.sampled_from(["ok", "failed", "throttled", "reported"])


@given(
    keys=st.lists(st.sampled_from(["a", "b", "a2", "b2"]), min_size=1, max_size=6),
    retries_max=st.integers(0, 3),
    only_reported=st.booleans(),
    bisects=st.booleans(),
    luck=st.lists(OUTCOMES, max_size=40),
    data=st.data(),
)
def test_every_record_is_run_before_it_is_given_up_and_none_is_lost(
    keys, retries_max, only_reported, bisects, luck, data
):
    """D1: a record is finished by a success of its own, or given up after its own version ran."""
    settings = spec(
        retries_max=retries_max, retries_reported_only=only_reported, is_bisecting=bisects
    )
    luck = iter(luck)
    queue = [tuple(record(n, key) for n, key in enumerate(keys))]
    succeeded, ended, attempts, tried = set(), set(), 0, set()
    for _ in range(200):
        if not queue:
            break
        batch = queue.pop(0)
        ran = []
        for part in split(batch, "s", choose):
            match next(luck, "ok"):
                case "ok":
                    outcome = Succeeded()
                case "failed":
                    outcome = FAILED
                case "throttled":
                    outcome = NotRun("throttled")
                case _:
                    picks = st.sets(st.integers(0, len(part.indexes) - 1), min_size=1)
                    outcome = PartlySucceeded(tuple(sorted(data.draw(picks))))
            if not isinstance(outcome, NotRun):
                tried |= {batch[index].position for index in part.indexes}
            bad = {Succeeded: (), PartlySucceeded: getattr(outcome, "failed", ())}.get(
                type(outcome), range(len(part.indexes))
            )
            good = set(range(len(part.indexes))) - set(bad)
            succeeded |= {batch[part.indexes[index]].position for index in good}
            ran.append((part, outcome))
            if is_over(outcome, attempts + 1, settings):
                break
        verdict = judge(merge(ran, len(batch), settings), len(batch), attempts, settings)
        match verdict:
            case Finish():
                ended |= {one.position for one in batch}
                assert {one.position for one in batch} <= succeeded
                attempts = 0
            case Cut(at):
                assert {one.position for one in batch[:at]} <= succeeded
                ended |= {one.position for one in batch[:at]}
                queue.insert(0, batch[at:])
                attempts = 0
            case Select(failed):
                rest = tuple(batch[index] for index in failed)
                done = {one.position for one in batch} - {one.position for one in rest}
                assert done <= succeeded
                ended |= done
                queue.insert(0, rest)
                attempts = 0
            case Halve():
                queue[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
                attempts = 0
            case GiveUp():
                assert {one.position for one in batch} <= tried
                ended |= {one.position for one in batch}
                attempts = 0
            case Wait():
                queue.insert(0, batch)
            case _:
                queue.insert(0, batch)
                attempts += 1
    assert ended == set(range(len(keys)))
