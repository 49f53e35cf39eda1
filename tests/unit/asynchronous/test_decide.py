"""Attempts, waits and ages of an event (`functions-and-invocation.md` 7.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.asynchronous.decide import (
    Again,
    Over,
    Rules,
    Waits,
    after_error,
    after_hold_up,
    before_attempt,
    rules_of,
)
from router.model.event_invoke import EventInvoke

WAITS = Waits()


def config(**members):
    return EventInvoke(function="f", qualifier="$LATEST", last_modified_ms=0, **members)


def test_defaults_are_two_retries_and_six_hours():
    assert rules_of(None) == rules_of(config()) == Rules(2, 21_600_000)
    assert rules_of(config(retries_max=0, age_s_max=60)) == Rules(0, 60_000)


def test_a_failing_event_is_tried_after_one_and_two_minutes_and_then_over():
    rules = Rules()
    assert after_error(rules, WAITS, 1, 10) == Again(60_000)
    assert after_error(rules, WAITS, 2, 60_020) == Again(120_000)
    assert after_error(rules, WAITS, 3, 180_030) == Over("RetriesExhausted")
    assert after_error(Rules(retries_max=0), WAITS, 1, 10) == Over("RetriesExhausted")


def test_an_age_is_looked_ahead_at_as_recorded():
    minute, longer = Rules(age_ms_max=60_000), Rules(age_ms_max=90_000)
    assert after_error(minute, WAITS, 1, 10) == Over("EventAgeExceeded")
    assert after_error(longer, WAITS, 1, 10) == Again(60_000)
    assert after_error(longer, WAITS, 2, 60_020) == Over("EventAgeExceeded")
    assert after_error(Rules(1, 60_000), WAITS, 2, 10) == Over("RetriesExhausted"), "used up first"


@pytest.mark.parametrize(
    ("age_ms", "reserved", "answer"),
    [
        (0, None, None),
        (59_999, 1, None),
        (60_000, None, Over("EventAgeExceeded")),
        (0, 0, Over("ZeroReservedConcurrency")),
        (60_000, 0, Over("ZeroReservedConcurrency")),
    ],
)
def test_before_an_attempt(age_ms, reserved, answer):
    assert before_attempt(Rules(age_ms_max=60_000), age_ms, reserved) == answer


@given(st.integers(60_000, 21_600_000), st.text(max_size=8))
def test_a_throttled_event_is_tried_until_its_age_and_not_longer(age_ms_max, seed):
    rules, age_ms, tries, waits = Rules(age_ms_max=age_ms_max), 0, 0, []
    while isinstance(decision := after_hold_up(rules, WAITS, tries + 1, age_ms, seed), Again):
        assert before_attempt(rules, age_ms, None) is None
        assert 0 < decision.wait_ms <= 375_000
        waits.append(decision.wait_ms)
        age_ms, tries = age_ms + decision.wait_ms, tries + 1
    assert decision == Over("EventAgeExceeded")
    assert age_ms_max - 1_000 <= age_ms < age_ms_max, "one last try just before its age"
    assert 1_000 <= waits[0] <= 1_250
    assert waits[:-1] == sorted(waits[:-1]) or max(waits) >= 240_000, "they grow up to a ceiling"
