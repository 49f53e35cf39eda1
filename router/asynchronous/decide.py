"""What becomes of an event after an attempt: tried again, when, or over. Pure.

`functions-and-invocation.md` 7.1. Ages and waits are milliseconds; the age is that of the event
at the moment of the question.
"""

from typing import Final

import msgspec

from router.model.backoff import backoff_ms
from router.model.event_invoke import EVENT_AGE_S_MAX, RETRIES_MAX, EventInvoke

SUCCESS: Final = "Success"
RETRIES_EXHAUSTED: Final = "RetriesExhausted"
EVENT_AGE_EXCEEDED: Final = "EventAgeExceeded"
ZERO_RESERVED: Final = "ZeroReservedConcurrency"
"""Conditions, as records name them."""

LAST_TRY_MS_MIN: Final = 1_000
"""An event with less than this left of its age is not kept for one more try."""


class Rules(msgspec.Struct, frozen=True):
    """What the event-invoke config of the qualifier says, its defaults filled in."""

    retries_max: int = RETRIES_MAX
    age_ms_max: int = EVENT_AGE_S_MAX * 1000


class Waits(msgspec.Struct, frozen=True):
    """How long an event waits between attempts; settings, so that tests need not."""

    first_ms: int = 60_000
    """Before the second attempt."""
    second_ms: int = 120_000
    """Before the third."""
    held_up_ms_min: int = 1_000
    """After it could not be run; doubles up to the next one."""
    held_up_ms_max: int = 300_000


class Again(msgspec.Struct, frozen=True):
    """One more attempt, after a wait."""

    wait_ms: int


class Over(msgspec.Struct, frozen=True):
    """No more attempts. `condition` is one of the four above."""

    condition: str


Decision = Again | Over


def rules_of(config: EventInvoke | None) -> Rules:
    """The rules a config makes; none is all defaults."""
    if config is None:
        return Rules()
    retries, age_s = config.retries_max, config.age_s_max
    return Rules(
        RETRIES_MAX if retries is None else retries,
        1000 * (EVENT_AGE_S_MAX if age_s is None else age_s),
    )


def before_attempt(rules: Rules, age_ms: int, reserved: int | None) -> Over | None:
    """Whether the event is over without one more attempt. `reserved`: concurrency, None: none."""
    if reserved == 0:
        return Over(ZERO_RESERVED)
    return Over(EVENT_AGE_EXCEEDED) if age_ms >= rules.age_ms_max else None


def after_error(rules: Rules, waits: Waits, attempts: int, age_ms: int) -> Decision:
    """After the `attempts`-th attempt that ran and failed.

    Looks ahead: an event whose next attempt would come after its maximum age is over now.
    """
    if attempts > rules.retries_max:
        return Over(RETRIES_EXHAUSTED)
    wait_ms = waits.first_ms if attempts <= 1 else waits.second_ms
    return Over(EVENT_AGE_EXCEEDED) if age_ms + wait_ms > rules.age_ms_max else Again(wait_ms)


def after_hold_up(rules: Rules, waits: Waits, held_up: int, age_ms: int, seed: str) -> Decision:
    """After it could not be run for the `held_up`-th time since it last was.

    Uses up no attempt. The last wait is cut so that one more try falls within the age: what was
    never the function's fault is not given up early.
    """
    left_ms = rules.age_ms_max - age_ms
    if left_ms < LAST_TRY_MS_MIN:
        return Over(EVENT_AGE_EXCEEDED)
    wait_ms = backoff_ms(held_up, waits.held_up_ms_min, waits.held_up_ms_max, seed)
    return Again(min(wait_ms, left_ms - LAST_TRY_MS_MIN // 2))
