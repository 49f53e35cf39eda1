"""From facts to what is shown: rates, reasons, and trouble first. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from router.ops import trouble
from router.ops.facts import (
    DestinationFacts,
    FunctionFacts,
    MappingFacts,
    Snapshot,
    WebhookFacts,
)
from router.ops.history import Columns, History, quantile
from router.ops.trouble import Level, Reason

SLICE: Final = 64
"""Rows made before others have their turn: a millisecond's work."""

COLUMNS: Final = {
    "mapping": Columns(("handled", "failed", "discarded", "dropped", "not_run"), ("lag",)),
    "function": Columns(("ok", "failed", "throttles", "dropped"), ("busy",)),
    "webhook": Columns(("accepted", "refused", "expired"), ()),
    "router": Columns(("accepted", "handled", "failed"), ("lag", "running")),
}
"""What is remembered of each kind."""

ROUTER: Final = ("router", "")

F = TypeVar("F", MappingFacts, FunctionFacts, WebhookFacts, DestinationFacts)


class Row(msgspec.Struct, Generic[F], frozen=True, kw_only=True, gc=False):
    """One thing with what is to be said of it."""

    facts: F
    reasons: tuple[Reason, ...]
    level: Level
    per_s: float = 0.0
    """Records handled, invocations, requests taken."""
    failed: float = 0.0
    """Of the last minute."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    """Of the last minute."""
    rank: tuple[int, float, str]
    """The order of rows."""

    @property
    def why(self) -> str:
        """In one line; empty when all is well."""
        return self.reasons[0].text if self.reasons else ""


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of one moment, each kind with trouble first."""

    snapshot: Snapshot
    reasons: tuple[Reason, ...]
    """The router's own."""
    mappings: Sequence[Row[MappingFacts]]
    functions: Sequence[Row[FunctionFacts]]
    webhooks: Sequence[Row[WebhookFacts]]
    destinations: Sequence[Row[DestinationFacts]]
    total: "Total"


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All together."""

    accepted: float
    accepted_per_s: float
    handled: float
    handled_per_s: float
    failed: float
    failed_minute: float
    lag: int
    oldest_ms: int | None
    unknown_lags: int
    """Mappings whose lag nobody knows."""


def board(snapshot: Snapshot, past: History) -> Iterator["Board | None"]:
    """Make all rows, in slices: None after each but the last, which is the board."""
    mappings: list[Row[MappingFacts]] = []
    functions: list[Row[FunctionFacts]] = []
    for at, mapping in enumerate(snapshot.mappings):
        mappings.append(_mapping(mapping, past, snapshot))
        if at % SLICE == SLICE - 1:
            yield None
    for at, function in enumerate(snapshot.functions):
        functions.append(_function(function, past, snapshot))
        if at % SLICE == SLICE - 1:
            yield None
    webhooks: list[Row[WebhookFacts]] = []
    for at, webhook in enumerate(snapshot.webhooks):
        webhooks.append(_webhook(webhook, past, snapshot))
        if at % SLICE == SLICE - 1:
            yield None
    destinations = [_destination(it, snapshot.wall_ms) for it in snapshot.destinations]
    yield None
    mappings.sort(key=_rank)
    yield None
    functions.sort(key=_rank)
    webhooks.sort(key=_rank)
    destinations.sort(key=_rank)
    yield None
    yield Board(
        snapshot=snapshot,
        reasons=tuple(trouble.of_router(snapshot.router)),
        mappings=mappings,
        functions=functions,
        webhooks=webhooks,
        destinations=destinations,
        total=_total(snapshot, past),
    )


def _rank(row: Row[F]) -> tuple[int, float, str]:
    return row.rank


def _mapping(facts: MappingFacts, past: History, snapshot: Snapshot) -> Row[MappingFacts]:
    key = ("mapping", facts.id)
    reasons = trouble.of_mapping(facts, past, snapshot)
    level = trouble.worst(reasons, Level.WELL if facts.is_enabled else Level.OFF)
    failed = past.lately(key, "failed", facts.failed)
    age_ms = 0 if facts.oldest_ms is None else snapshot.wall_ms - facts.oldest_ms
    return Row(
        facts=facts,
        reasons=tuple(reasons),
        level=level,
        per_s=past.rate(key, "handled", facts.invoked - facts.failed, snapshot.now_ms),
        failed=failed,
        rank=(level, -age_ms if level < Level.WELL else 0.0, facts.name.casefold()),
    )


def _function(facts: FunctionFacts, past: History, snapshot: Snapshot) -> Row[FunctionFacts]:
    key = ("function", facts.name)
    reasons = trouble.of_function(facts, past)
    level = trouble.worst(reasons)
    shape, bounds = past.shape(key, facts.durations), snapshot.bounds_s
    p50, p99 = quantile(shape, bounds, 0.5), quantile(shape, bounds, 0.99)
    failed = past.lately(key, "failed", facts.failed)
    per_s = past.rate(key, "ok", facts.ok, snapshot.now_ms)
    per_s += past.rate(key, "failed", facts.failed, snapshot.now_ms)
    return Row(
        facts=facts,
        reasons=tuple(reasons),
        level=level,
        per_s=per_s,
        failed=failed,
        p50_ms=None if p50 is None else p50 * 1_000,
        p99_ms=None if p99 is None else p99 * 1_000,
        rank=(level, -failed if level < Level.WELL else 0.0, facts.name.casefold()),
    )


def _webhook(facts: WebhookFacts, past: History, snapshot: Snapshot) -> Row[WebhookFacts]:
    key = ("webhook", facts.name)
    reasons = trouble.of_webhook(facts, past)
    level = trouble.worst(reasons)
    shape = past.shape(key, facts.durations)
    p99 = quantile(shape, snapshot.bounds_s, 0.99)
    failed = past.lately(key, "refused", facts.refusals)
    return Row(
        facts=facts,
        reasons=tuple(reasons),
        level=level,
        per_s=past.rate(key, "accepted", facts.accepted + facts.duplicates, snapshot.now_ms),
        failed=failed,
        p99_ms=None if p99 is None else p99 * 1_000,
        rank=(level, -failed if level < Level.WELL else 0.0, facts.name.casefold()),
    )


def _destination(facts: DestinationFacts, wall_ms: int) -> Row[DestinationFacts]:
    reasons = trouble.of_destination(facts, wall_ms)
    level = trouble.worst(reasons)
    return Row(
        facts=facts,
        reasons=tuple(reasons),
        level=level,
        rank=(level, float(-facts.waiting - (facts.kept or 0)), facts.address.casefold()),
    )


def _total(snapshot: Snapshot, past: History) -> Total:
    sums = sums_of(snapshot)
    (accepted, handled, failed), (lag, _running) = sums
    now_ms = snapshot.now_ms
    oldest = [it.oldest_ms for it in snapshot.mappings if it.oldest_ms is not None]
    return Total(
        accepted=accepted,
        accepted_per_s=past.rate(ROUTER, "accepted", accepted, now_ms),
        handled=handled,
        handled_per_s=past.rate(ROUTER, "handled", handled, now_ms),
        failed=failed,
        failed_minute=past.lately(ROUTER, "failed", failed),
        lag=int(lag),
        oldest_ms=min(oldest, default=None),
        unknown_lags=sum(1 for it in snapshot.mappings if it.lag is None and it.is_enabled),
    )


Sample = tuple[tuple[float, ...], tuple[float, ...]]
"""Totals and levels, as `COLUMNS` names them."""


def sums_of(snapshot: Snapshot) -> Sample:
    """The router's own sample."""
    accepted = sum(it.accepted + it.duplicates for it in snapshot.webhooks)
    handled = failed = 0.0
    lag = 0
    for it in snapshot.mappings:
        handled += it.invoked - it.failed
        failed += it.failed
        lag += it.lag or 0
    return (accepted, handled, failed), (float(lag), float(snapshot.router.running))


def tick(snapshot: Snapshot, past: History) -> Iterator[None]:
    """Have everything remembered, in slices."""
    past.begin(snapshot.now_ms)
    for done, (kind, key, sample, shape) in enumerate(_samples(snapshot)):
        past.add((kind, key), *sample, shape)
        if done % SLICE == SLICE - 1:
            yield
    past.end()


def _samples(snapshot: Snapshot) -> Iterator[tuple[str, str, Sample, Sequence[int]]]:
    yield (*ROUTER, sums_of(snapshot), ())
    for it in snapshot.mappings:
        handled = it.invoked - it.failed
        totals = (handled, it.failed, it.discarded, it.dropped, it.not_run)
        yield "mapping", it.id, (totals, (float(it.lag or 0),)), ()
    for one in snapshot.functions:
        ran = (one.ok, one.failed, one.throttles, one.dropped)
        yield "function", one.name, (ran, (float(one.busy),)), one.durations
    for hook in snapshot.webhooks:
        taken = (hook.accepted + hook.duplicates, hook.refusals, hook.expired)
        yield "webhook", hook.name, (taken, ()), hook.durations


class Page(msgspec.Struct, Generic[F], frozen=True):
    """Some rows of a table."""

    rows: Sequence[Row[F]]
    total: int
    """That match."""
    first: int
    """The number of the first one, from 0."""
    of: int
    """All there are."""


def page(
    rows: Sequence[Row[F]], text_of: Callable[[F], str], query: str, number: int, size: int
) -> Page[F]:
    """The rows that have every word of a query in their text: of them page `number`, from 1."""
    words = query.casefold().split()
    found = (
        [row for row in rows if all(word in text_of(row.facts).casefold() for word in words)]
        if words
        else rows
    )
    first = max(0, min(number - 1, (len(found) - 1) // size)) * size
    return Page(found[first : first + size], len(found), first, len(rows))


def attention(board: Board, most: int) -> list[tuple[str, str, str, Reason]]:
    """What to look at first: kind, id, name and why; the worst of all kinds, `most` of each."""
    found: list[tuple[str, str, str, Reason]] = [
        ("router", "", "router", reason) for reason in board.reasons
    ]
    found += [
        ("mapping", row.facts.id, row.facts.name, row.reasons[0])
        for row in _first(board.mappings, most)
    ]
    found += [
        ("function", row.facts.name, row.facts.name, row.reasons[0])
        for row in _first(board.functions, most)
    ]
    found += [
        ("webhook", row.facts.name, row.facts.name, row.reasons[0])
        for row in _first(board.webhooks, most)
    ]
    found += [
        ("destination", row.facts.address, row.facts.address, row.reasons[0])
        for row in _first(board.destinations, most)
    ]
    return sorted(found, key=lambda it: it[3].level)


def troubled(rows: Sequence[Row[F]], until: Level = Level.WARN) -> int:
    """How many are in trouble; they come first."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle].level <= until:
            low = middle + 1
        else:
            high = middle
    return low


def _first(rows: Sequence[Row[F]], most: int) -> list[Row[F]]:
    return [row for row in rows[:most] if row.level <= Level.WARN]
