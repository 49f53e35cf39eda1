"""The page of one function: its trouble, its last ten minutes and invocations, its settings."""

from typing import Final

from router.ops.facts import FunctionDetail, FunctionFacts
from router.ops.history import History
from router.ops.html import Child, Html, tag
from router.ops.pages.common import (
    TONES,
    cell,
    chart,
    ended,
    heading,
    number,
    outcome,
    reasons,
    row,
    sign,
    table,
    tile,
    took,
)
from router.ops.pages.detail import recent, settings
from router.ops.pages.front import environments
from router.ops.pages.parts import Parts
from router.ops.paths import link
from router.ops.rows import Row
from router.ops.trouble import Level
from router.ops.wording import count, duration, plural, rate
from router.telemetry.recent import Attempt

STATES: Final = {
    Level.BAD: "in trouble",
    Level.WARN: "failing",
    Level.NOTE: "well",
    Level.WELL: "well",
    Level.OFF: "off",
}


def sections(
    it: Row[FunctionFacts], detail: FunctionDetail, past: History, wall_ms: int, parts: Parts
) -> list[Child]:
    """All of it."""
    return [
        _head(it, detail, parts),
        _numbers(it, past, parts),
        _recent(detail, wall_ms, parts),
        _versions(detail, parts),
        settings(parts, detail.settings),
    ]


def _head(it: Row[FunctionFacts], detail: FunctionDetail, parts: Parts) -> Html:
    facts = it.facts
    state = parts.block(
        "span", "state", sign(it.level), STATES[it.level], class_=f"pill {TONES[it.level]}"
    )
    users: list[Child] = []
    for id_, name in detail.mappings:
        users += [", " if users else "invoked by ", tag("a", name, href=link("mapping", id_))]
    return tag(
        "section",
        tag("p", tag("a", "← all functions", href="/#functions"), class_="back"),
        tag("h1", tag("span", facts.name, class_="name"), " ", state),
        tag("p", facts.runtime, tag("span", " · ", users) if users else None, class_="route"),
        reasons(parts, it.reasons),
        class_="thing",
    )


def _numbers(it: Row[FunctionFacts], past: History, parts: Parts) -> Html:
    facts, key = it.facts, ("function", it.facts.name)
    failed_per_s = past.rate(key, "failed", facts.failed, past.last_ms + 10_000)
    charts = [
        chart(
            parts, "ok", "Invocations", rate(it.per_s),
            [*past.points(key, "ok"), it.per_s], "", "/s",
        ),
        chart(
            parts, "failed", "Failed", f"{count(it.failed)} in a minute",
            [*past.points(key, "failed"), failed_per_s], "bad", "/s",
        ),
        chart(
            parts, "busy", "Busy environments", count(facts.busy),
            [*past.points(key, "busy"), facts.busy], "", "",
        ),
    ]  # fmt: skip
    failed = [(facts.errors, "error"), (facts.timeouts, "timeout"), (facts.crashes, "crash")]
    said = ", ".join(plural(number, name) for number, name in failed if number)
    drawn = environments(facts)
    tiles = [
        tile(parts, "envs", "Environments", count(facts.busy + facts.idle), drawn, None),
        tile(parts, "p50", "p50", duration(it.p50_ms), "of the last minute", None),
        tile(parts, "p99", "p99", duration(it.p99_ms), "of the last minute", None),
        tile(parts, "cold", "Cold starts", count(facts.cold_starts), "since the start", None),
        tile(parts, "errors", "Failed", count(facts.failed), said or "since the start", None),
        tile(
            parts, "throttles", "Throttled", count(facts.throttles),
            f"reserved: {facts.reserved}" if facts.reserved is not None else "no reservation", None,
        ),
        tile(parts, "waiting", "Asynchronous", count(facts.waiting), "events wait or run", None),
    ]  # fmt: skip
    return tag(
        "section",
        heading("Now"),
        tag("ul", tiles, class_="tiles"),
        heading("The last ten minutes"),
        tag("div", charts, class_="charts"),
    )


def _recent(detail: FunctionDetail, wall_ms: int, parts: Parts) -> Html:
    rows = [(f"a-{it.request_id}", _attempt(it, wall_ms)) for it in detail.recent]
    titles = ("Ended", "Outcome", "Took", "Cold start", "Memory", "Version", "Request")
    return recent(parts, "invocations", titles, rows)


def _attempt(it: Attempt, wall_ms: int) -> Html:
    cells = [
        cell(
            "Outcome", outcome(it), tag("span", it.error, class_="why bad") if it.error else None
        ),
        number("Took", took(it)),
        number("Cold start", duration(it.init_ms)),
        number("Memory", f"{it.memory_mb} MB" if it.memory_mb else "–"),
        cell("Version", it.version),
        cell("Request", tag("code", it.request_id), class_="id"),
    ]  # fmt: skip
    return row(f"a-{it.request_id}", ended(it, wall_ms), cells)


def _versions(detail: FunctionDetail, parts: Parts) -> Child:
    if not detail.versions:
        return None
    rows = []
    for name, what, about in detail.versions:
        id_ = f"v-{name}"
        cells = [cell("Is", what), cell("Description", about or "–")]
        rows.append((id_, row(id_, name, cells)))
    shown = table(parts, "version-rows", "Versions", ("Name", "Is", "Description"), rows)
    return tag("section", heading("Versions and aliases"), shown)
