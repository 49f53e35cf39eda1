"""The page of one mapping: its trouble, its last ten minutes, its last batches, its settings."""

from router.ops import pictures
from router.ops.facts import LaneFacts, MappingDetail, MappingFacts
from router.ops.history import History
from router.ops.html import Child, Html, tag
from router.ops.pages.common import (
    TONES,
    age,
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
from router.ops.pages.front import short
from router.ops.pages.parts import Parts
from router.ops.paths import link
from router.ops.rows import Row
from router.ops.wording import count, plural, rate, short_span
from router.telemetry.recent import Attempt


def sections(
    it: Row[MappingFacts], detail: MappingDetail, past: History, wall_ms: int, parts: Parts
) -> list[Child]:
    """All of it."""
    return [
        _head(it, parts),
        _numbers(it, past, wall_ms, parts),
        _recent(detail, wall_ms, parts),
        _lanes(detail, wall_ms, parts),
        _shards(detail, parts),
        settings(parts, detail.settings),
    ]


def _head(it: Row[MappingFacts], parts: Parts) -> Html:
    facts = it.facts
    function = facts.function.partition(":")[0]
    path = [
        tag("span", facts.kind),
        " ",
        tag("strong", short(facts.source), title=facts.source),
        " → ",
        tag("a", facts.function, href=link("function", function)),
    ]
    state = parts.block(
        "span", "state", sign(it.level), facts.state, class_=f"pill {TONES[it.level]}"
    )
    return tag(
        "section",
        tag("p", tag("a", "← all mappings", href="/#mappings"), class_="back"),
        tag("h1", tag("span", facts.name, class_="name"), " ", state),
        tag("p", path, class_="route"),
        tag("p", tag("code", facts.id), class_="id"),
        reasons(parts, it.reasons),
        class_="thing",
    )


def _numbers(it: Row[MappingFacts], past: History, wall_ms: int, parts: Parts) -> Html:
    facts, key = it.facts, ("mapping", it.facts.id)
    per_s = rate(it.per_s)
    failed_per_s = past.rate(key, "failed", facts.failed, past.last_ms + 10_000)
    charts = [
        chart(
            parts, "handled", "Handled", per_s,
            [*past.points(key, "handled"), it.per_s], "", "/s",
        ),
        chart(
            parts, "failed", "Failed", f"{count(it.failed)} in a minute",
            [*past.points(key, "failed"), failed_per_s], "bad", "/s",
        ),
        chart(
            parts, "lag", "Lag", plural(facts.lag or 0, "record") if facts.lag is not None else "–",
            [*past.points(key, "lag"), facts.lag or 0], "warn", "",
        ),
    ]  # fmt: skip
    said = facts.last_error or "nothing since the router started"
    when = f"{short_span((wall_ms - facts.last_error_ms) / 1_000)} ago" if facts.last_error else ""
    tiles = [
        tile(parts, "oldest", "Oldest record", age(facts.oldest_ms, wall_ms), "not finished", None),
        tile(parts, "flight", "In flight", count(facts.in_flight), "invocations", None),
        tile(parts, "held", "Read ahead", count(facts.held), "records", None),
        tile(
            parts, "given-up", "Given up", count(facts.discarded),
            f"{count(facts.dropped)} of them lost: no destination took them"
            if facts.dropped else "records since the start", None,
        ),
        tile(parts, "result", "Last result", tag("span", facts.result, class_="words"), None, None),
        tile(parts, "error", "Last error", tag("span", said, class_="words"), when, None),
    ]  # fmt: skip
    return tag(
        "section",
        heading("Now"),
        tag("ul", tiles, class_="tiles"),
        heading("The last ten minutes"),
        tag("div", charts, class_="charts"),
    )


def _recent(detail: MappingDetail, wall_ms: int, parts: Parts) -> Html:
    rows = [(f"a-{it.request_id}", _attempt(it, wall_ms)) for it in detail.recent]
    titles = ("Ended", "Outcome", "Records", "Took", "Attempt", "Lane", "Request")
    return recent(parts, "batches", titles, rows)


def _attempt(it: Attempt, wall_ms: int) -> Html:
    cells = [
        cell(
            "Outcome", outcome(it), tag("span", it.error, class_="why bad") if it.error else None
        ),
        number("Records", count(it.records)),
        number("Took", took(it)),
        number("Attempt", count(it.attempt), tone="warn" if it.attempt > 1 else ""),
        cell("Lane", it.place or "–"),
        cell("Request", tag("code", it.request_id), class_="id"),
    ]  # fmt: skip
    return row(f"a-{it.request_id}", ended(it, wall_ms), cells)


def _lanes(detail: MappingDetail, wall_ms: int, parts: Parts) -> Html:
    rows = [(f"l-{it.place}-{at}", _lane(it, at, wall_ms)) for at, it in enumerate(detail.lanes)]
    titles = ("Lane", "State", "Records", "Failed attempts", "Next try", "Oldest")
    caption = "Lanes with something unfinished, the oldest record first"
    shown = table(
        parts, "lane-rows", caption, titles, rows,
        numeric=(2, 3, 4, 5),
    )  # fmt: skip
    words = "no lane has anything unfinished"
    if detail.lanes_count:
        words = f"{plural(detail.lanes_count, 'lane')} with something unfinished"
    if detail.lanes_count > len(detail.lanes):
        words += f", the {count(len(detail.lanes))} oldest shown"
    note = parts.block("small", "lanes-count", words)
    return tag("section", tag("h2", "Lanes ", note), shown)


def _lane(it: LaneFacts, at: int, wall_ms: int) -> Html:
    rest = f"in {short_span(it.rest_ms / 1_000 + 0.999)}" if it.rest_ms else "–"
    cells = [
        cell("State", it.state),
        number("Records", count(it.records)),
        number("Failed attempts", count(it.attempts), tone="bad" if it.attempts else ""),
        number("Next try", rest),
        number("Oldest", age(it.oldest_ms, wall_ms)),
    ]
    return row(f"l-{it.place}-{at}", it.place or "batch", cells)


def _shards(detail: MappingDetail, parts: Parts) -> Child:
    if not detail.shards:
        return None
    most = max((lag or 0 for *_, lag in detail.shards), default=0)
    rows = []
    for name, state, position, lag in detail.shards:
        id_ = f"s-{name}"
        drawn = pictures.bar([(lag or 0, "warn")], max(most, 1))
        cells = [
            cell("State", state),
            number("Finished up to", f"{position:,}"),
            number("Lag", count(lag), drawn),
        ]
        rows.append((id_, row(id_, name, cells)))
    titles = ("Shard", "State", "Finished up to", "Lag")
    shown = table(parts, "shard-rows", "Shards", titles, rows, numeric=(2, 3))
    return tag("section", heading("Shards"), shown)
