"""What is trouble, and why: one line a person understands, the worst first. Pure.

`BAD`: records do not get on, or are lost. `WARN`: something fails, or soon will. `NOTE`: somebody
should know. The thresholds are the page's own; alert rules have theirs.
"""

from enum import IntEnum
from typing import Final

import msgspec

from router.ops.facts import (
    DestinationFacts,
    FunctionFacts,
    LaneFacts,
    MappingFacts,
    RouterFacts,
    Snapshot,
    WebhookFacts,
)
from router.ops.history import POINTS, History
from router.ops.wording import clock, count, plural, short_span, size, span

OLD_S: Final = 300
"""A record that waits for as long is old."""

STUCK_ATTEMPTS: Final = 3
"""A batch that failed as often holds up its lane for long."""

GROWTH_TICKS: Final = 18
"""Whether a lag grows is looked at over three minutes …"""

GROWTH_SHARE: Final = 0.2
GROWTH_MIN: Final = 100
"""… and told from a fifth more, and so many records."""

FAILING_SHARE: Final = 0.5
FAILING_MIN: Final = 5
"""Of invocations or requests of the last minute: from there on it is bad."""

WAITING_S: Final = 60
"""An on-failure record that waits longer is worth a look."""

FULL_SHARE: Final = 0.95
FREE_BYTES_LOW: Final = 1 << 30

TEN_MINUTES: Final = POINTS


class Level(IntEnum):
    """How bad it is; the worst is the smallest."""

    BAD = 0
    WARN = 1
    NOTE = 2
    WELL = 3
    OFF = 4
    """Switched off by somebody."""


class Reason(msgspec.Struct, frozen=True):
    """Why something is trouble."""

    level: Level
    text: str


def worst(reasons: list[Reason], otherwise: Level = Level.WELL) -> Level:
    """Of several."""
    return min((reason.level for reason in reasons), default=otherwise)


def of_mapping(facts: MappingFacts, past: History, snapshot: Snapshot) -> list[Reason]:
    """A mapping's, the worst first."""
    found = [*_standing(facts, snapshot.wall_ms), *_losses(facts, past)]
    if facts.is_enabled:
        found += _slow(facts, past, snapshot.wall_ms)
    return sorted(found, key=lambda reason: reason.level)


def _standing(facts: MappingFacts, wall_ms: int) -> list[Reason]:
    """It does not get on at all, or not in some lane."""
    if not facts.is_enabled:
        if facts.lag:
            text = f"switched off; {plural(facts.lag, 'record')} {_wait(facts.lag)}"
            return [Reason(Level.NOTE, text)]
        return []
    if facts.is_orphan:
        return [Reason(Level.BAD, f"function {facts.function} does not exist: its records wait")]
    if facts.trouble:
        return [Reason(Level.BAD, facts.trouble)]
    if facts.stuck is not None:
        return [_stuck(facts, facts.stuck)]
    if facts.result.startswith("PROBLEM"):
        ago_s = (wall_ms - facts.last_error_ms) / 1_000
        said = facts.last_error or facts.result.removeprefix("PROBLEM: ")
        when = f" ({short_span(ago_s)} ago)" if facts.last_error_ms else ""
        return [Reason(Level.WARN, f"the last batch failed{when}: {said}")]
    return []


def _stuck(facts: MappingFacts, lane: LaneFacts) -> Reason:
    level = Level.BAD if lane.attempts >= STUCK_ATTEMPTS else Level.WARN
    where = f"lane {lane.place}" if lane.place else "a batch"
    times = "once" if lane.attempts == 1 else f"{lane.attempts} times in a row"
    text = f"{where} failed {times}"
    if lane.rest_ms:
        text += f", next try in {short_span(lane.rest_ms / 1_000 + 0.999)}"
    if facts.stuck_lanes > 1:
        text += f"; {plural(facts.stuck_lanes - 1, 'other lane')} too"
    if facts.last_error:
        text += f": {facts.last_error}"
    return Reason(level, text)


def _losses(facts: MappingFacts, past: History) -> list[Reason]:
    """Records that were given up."""
    key, found = ("mapping", facts.id), []
    if dropped := past.lately(key, "dropped", facts.dropped, TEN_MINUTES):
        text = f"{plural(dropped, 'record')} given up in ten minutes that no destination took"
        found.append(Reason(Level.BAD, text))
    discarded = past.lately(key, "discarded", facts.discarded, TEN_MINUTES) - dropped
    if discarded >= 1:
        text = f"{plural(discarded, 'record')} given up in ten minutes"
        found.append(Reason(Level.WARN, text))
    return found


def _slow(facts: MappingFacts, past: History, wall_ms: int) -> list[Reason]:
    """It gets on, but not well."""
    key, found = ("mapping", facts.id), []
    lag = facts.lag or 0
    grown = past.growth(key, "lag", lag, GROWTH_TICKS)
    if grown is not None and grown >= max(GROWTH_MIN, GROWTH_SHARE * (lag - grown)):
        text = f"falls behind: {plural(grown, 'record')} more than three minutes ago"
        found.append(Reason(Level.WARN, text))
    if facts.oldest_ms is not None:
        age_s = (wall_ms - facts.oldest_ms) / 1_000
        if age_s >= OLD_S:
            found.append(Reason(Level.WARN, f"its oldest record has waited {span(age_s)}"))
    if waited := past.lately(key, "not_run", facts.not_run):
        text = f"{plural(waited, 'batch', 'batches')} found no free concurrency in a minute"
        found.append(Reason(Level.WARN, text))
    return found


def of_function(facts: FunctionFacts, past: History) -> list[Reason]:
    """A function's."""
    key, found = ("function", facts.name), []
    ran = past.lately(key, "ok", facts.ok)
    failed = past.lately(key, "failed", facts.failed)
    if facts.problem.startswith("not started"):
        found.append(Reason(Level.BAD, facts.problem))
    elif failed:
        is_most = failed >= FAILING_MIN and failed >= FAILING_SHARE * (failed + ran)
        level = Level.BAD if is_most else Level.WARN
        why = f": {facts.problem}" if facts.problem else ""
        of = f"{count(failed)} of {count(failed + ran)} invocations failed in a minute"
        found.append(Reason(level, of + why))
    elif facts.problem:
        found.append(Reason(Level.NOTE, f"its last invocation failed: {facts.problem}"))
    if throttled := past.lately(key, "throttles", facts.throttles):
        text = f"{plural(throttled, 'invocation')} found no free concurrency in a minute"
        found.append(Reason(Level.WARN, text))
    if dropped := past.lately(key, "dropped", facts.dropped, TEN_MINUTES):
        text = f"{plural(dropped, 'asynchronous event')} given up in ten minutes"
        found.append(Reason(Level.WARN, text))
    if facts.reserved == 0:
        found.append(Reason(Level.NOTE, "switched off: it has a reserved concurrency of 0"))
    return sorted(found, key=lambda reason: reason.level)


def of_webhook(facts: WebhookFacts, past: History) -> list[Reason]:
    """A webhook's."""
    if facts.problem:
        return [Reason(Level.BAD, f"refuses everything: {facts.problem}")]
    key, found = ("webhook", facts.name), []
    if expired := past.lately(key, "expired", facts.expired, TEN_MINUTES):
        text = f"{plural(expired, 'record')} aged out in ten minutes before they were handled"
        found.append(Reason(Level.BAD, text))
    refused = past.lately(key, "refused", facts.refusals)
    if not refused:
        return found
    taken = past.lately(key, "accepted", facts.accepted + facts.duplicates)
    is_most = refused >= FAILING_MIN and refused >= FAILING_SHARE * (refused + taken)
    most = max(facts.refused, key=lambda reason: facts.refused[reason])
    text = (
        f"{count(refused)} of {count(refused + taken)} requests refused in a minute,"
        f" mostly: {most.replace('_', ' ')}"
    )
    return [*found, Reason(Level.BAD if is_most else Level.WARN, text)]


def of_destination(facts: DestinationFacts, wall_ms: int) -> list[Reason]:
    """A destination's."""
    found = []
    age_s = 0.0 if facts.oldest_ms is None else (wall_ms - facts.oldest_ms) / 1_000
    if facts.trouble:
        since = f"; nothing delivered since {clock(facts.since_ms)}" if facts.since_ms else ""
        text = f"{facts.trouble}{since}, {plural(facts.waiting, 'record')} {_wait(facts.waiting)}"
        found.append(Reason(Level.BAD, text))
    elif facts.waiting and age_s > WAITING_S:
        found.append(Reason(Level.WARN, f"its oldest record has waited {span(age_s)}"))
    if facts.kept and not facts.is_read:
        verb = "lies" if facts.kept == 1 else "lie"
        text = f"{plural(facts.kept, 'message')} {verb} here for somebody to look at"
        found.append(Reason(Level.NOTE, text))
    return found


def of_router(facts: RouterFacts) -> list[Reason]:
    """The router's own."""
    found = [
        Reason(Level.BAD if it.is_bad else Level.WARN, f"{it.what}: {it.text}")
        for it in facts.notices
    ]
    if facts.held_bytes_max and facts.held_bytes >= FULL_SHARE * facts.held_bytes_max:
        text = f"mappings hold {size(facts.held_bytes)}, all they may: they read more slowly"
        found.append(Reason(Level.WARN, text))
    if facts.limit and facts.running >= facts.limit:
        text = f"all {plural(facts.limit, 'slot')} for invocations are taken"
        found.append(Reason(Level.WARN, text))
    if 0 < facts.free_bytes < FREE_BYTES_LOW:
        found.append(Reason(Level.WARN, f"{size(facts.free_bytes)} left on the store's disk"))
    return sorted(found, key=lambda reason: reason.level)


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"
