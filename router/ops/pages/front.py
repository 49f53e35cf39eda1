"""The front page: everything at a glance, trouble first."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from router.model.arn import ArnError, parse_arn
from router.ops import pictures
from router.ops.facts import DestinationFacts, FunctionFacts, MappingFacts, WebhookFacts
from router.ops.history import History
from router.ops.html import Child, Html, join, tag
from router.ops.pages.common import (
    age,
    cell,
    heading,
    number,
    reason,
    row,
    sign,
    table,
    tile,
)
from router.ops.pages.parts import Parts
from router.ops.paths import ROWS, View, link
from router.ops.rows import ROUTER, Board, Page, Row, attention, page, troubled
from router.ops.trouble import Level
from router.ops.wording import NOTHING, count, duration, plural, rate, size

SHOWN_FIRST: Final = 4
"""Troubles of each kind that are told above all tables …"""

SHOWN_MAX: Final = 8
"""… and of all kinds together."""

F = TypeVar("F", MappingFacts, FunctionFacts, WebhookFacts, DestinationFacts)


def sections(board: Board, past: History, view: View, parts: Parts) -> Iterator[Html]:
    """Its sections, one at a time: each takes some milliseconds."""
    yield tag("h1", "The router at a glance", class_="unseen")
    yield _glance(board, past, parts)
    yield _attention(board, parts)
    yield _search(view, parts)
    yield _mappings(board, past, view, parts)
    yield _functions(board, past, view, parts)
    yield _webhooks(board, past, view, parts)
    yield _destinations(board, view, parts)


def _glance(board: Board, past: History, parts: Parts) -> Html:
    total, facts = board.total, board.snapshot.router

    def drawn(name: str, now: float, tone: str = "") -> Html:
        return pictures.spark([*past.points(ROUTER, name), now], tone)

    oldest = age(total.oldest_ms, board.snapshot.wall_ms)
    tiles = []
    if board.webhooks:
        value = rate(total.accepted_per_s)
        picture = drawn("accepted", total.accepted_per_s)
        note = f"{count(total.accepted)} by webhooks"
        tiles.append(tile(parts, "accepted", "Taken in", value, note, picture))
    tiles += [
        tile(
            parts, "handled", "Handled", rate(total.handled_per_s),
            f"{plural(total.handled, 'record')} in all", drawn("handled", total.handled_per_s),
        ),
        tile(
            parts, "failed", "Failed", count(total.failed_minute),
            "records in the last minute", drawn("failed", total.failed_minute / 60, "bad"),
        ),
        tile(
            parts, "lag", "Waiting", count(total.lag),
            f"the oldest for {oldest}" if total.lag and oldest != NOTHING else "records",
            drawn("lag", total.lag, "warn"),
        ),
        tile(
            parts, "running", "Running", [count(facts.running), tag("small", f" of {facts.limit}")],
            "invocations", drawn("running", facts.running),
        ),
        tile(
            parts, "store", "Store", size(facts.store_bytes),
            f"{size(facts.free_bytes)} free on its disk",
            pictures.bar(
                [(facts.store_bytes, "busy")], facts.store_bytes + max(facts.free_bytes, 1)
            ),
        ),
    ]  # fmt: skip
    return tag("section", heading("At a glance"), tag("ul", tiles, class_="tiles"), class_="glance")


def _attention(board: Board, parts: Parts) -> Html:
    found = attention(board, SHOWN_FIRST)
    items: list[tuple[str, Html]] = []
    for kind, id_, name, why in found[:SHOWN_MAX]:
        item = f"attention-{kind}-{id_}" if id_ else f"attention-{kind}-{len(items)}"
        named: Child = tag("strong", short(name))
        if kind in {"mapping", "function"}:
            named = tag("a", short(name), href=link(kind, id_))
        elif kind in {"webhook", "destination"}:
            named = tag("a", short(name), href=f"#{kind}s")
        said = tag("span", why.text, class_="text")
        marked = [sign(why.level), tag("small", kind), named, said]
        items.append((item, tag("li", marked, id=item)))
    bad = troubled(board.mappings) + troubled(board.functions) + len(board.reasons)
    more = bad + troubled(board.webhooks) + troubled(board.destinations) - len(items)
    words = f"{plural(len(items) + more, 'thing')} in trouble" if items else "nothing is in trouble"
    level = found[0][3].level if found else Level.WELL
    said = parts.block("p", "attention-count", sign(level), words, role="status")
    rest = f"and {plural(more, 'other')} below" if more else ""
    return tag(
        "section",
        heading("Needs attention"),
        said,
        parts.list("ul", "attention-list", items, class_="attention"),
        parts.block("p", "attention-rest", rest, class_="more"),
        class_="needs",
    )


def _search(view: View, parts: Parts) -> Html:
    del parts
    field = tag(
        "input", type="search", name="q", value=view.query, id="q",
        placeholder="name, source, path", maxlength="100", autocomplete="off", spellcheck="false",
    )  # fmt: skip
    label = tag("label", "Find", for_="q")
    clear = tag("a", "show all", href="/") if view.query else None
    button = tag("button", "Find", type="submit")
    return tag("form", label, field, button, clear, role="search", action="/", method="get")


def _section(
    parts: Parts,
    view: View,
    id_: str,
    title: str,
    shown: Page[F],
    all_rows: Sequence[Row[F]],
    tabled: Html,
    nothing: Child,
) -> Html:
    """A section with a table, or what to do where there is nothing."""
    bad = troubled(all_rows)
    words = f"{count(shown.of)}" + (f", {count(bad)} in trouble" if bad else "")
    if view.query:
        words = f"{count(shown.total)} of {count(shown.of)} found"
    note = parts.block("small", f"{id_}-count", words)
    body: Child = tabled if shown.of else tag("p", nothing, class_="empty")
    pager = parts.block(
        "nav", f"{id_}-pages", _pager(view, id_, shown), aria_label=f"{title} pages"
    )
    return tag("section", tag("h2", title, " ", note), body, pager, id=id_)


def _pager(view: View, id_: str, shown: Page[F]) -> Child:
    if shown.total <= ROWS:
        return None
    here = shown.first // ROWS + 1
    last = (shown.total - 1) // ROWS + 1
    links: list[Child] = []
    if here > 1:
        links.append(tag("a", "← before", href=f"{view.turned(id_, here - 1).address}#{id_}"))
    until = shown.first + len(shown.rows)
    links.append(tag("span", f"{count(shown.first + 1)}–{count(until)} of {count(shown.total)}"))
    if here < last:
        links.append(tag("a", "next →", href=f"{view.turned(id_, here + 1).address}#{id_}"))
    return links


def _mappings(board: Board, past: History, view: View, parts: Parts) -> Html:
    shown = page(board.mappings, _mapping_text, view.query, view.pages[0], ROWS)
    rows = [(f"m-{it.facts.id}", _mapping(it, past, board.snapshot.wall_ms)) for it in shown.rows]
    titles = ("Mapping", "Handled", "Lag", "Oldest", "In flight", "Failed, 1 min", "Last result")
    tabled = table(
        parts, "mappings-rows", "Event source mappings, trouble first", titles, rows,
        numeric=(1, 2, 3, 4, 5),
    )  # fmt: skip
    nothing = (
        "There is none yet. A template with an AWS::Lambda::EventSourceMapping, or "
        "CreateEventSourceMapping, makes one."
    )
    return _section(parts, view, "mappings", "Mappings", shown, board.mappings, tabled, nothing)


def _mapping(it: Row[MappingFacts], past: History, wall_ms: int) -> Html:
    facts, key = it.facts, ("mapping", it.facts.id)
    head = [
        sign(it.level),
        tag("a", facts.name, href=link("mapping", facts.id)),
        tag("span", f"{short(facts.source)} → {facts.function}", class_="sub"),
        reason(it.level, it.why) if it.why else None,
    ]
    handled = pictures.spark([*past.points(key, "handled"), it.per_s])
    lag = pictures.spark([*past.points(key, "lag"), facts.lag or 0], "warn")
    cells = [
        number("Handled", rate(it.per_s), handled),
        number("Lag", count(facts.lag), lag),
        number("Oldest", age(facts.oldest_ms, wall_ms)),
        number("In flight", count(facts.in_flight)),
        number("Failed, 1 min", count(it.failed), tone="bad" if it.failed else ""),
        cell("Last result", _result(facts), class_="result"),
    ]
    return row(f"m-{facts.id}", tag("div", head, class_="head"), cells, it.level)


def _result(facts: MappingFacts) -> Child:
    if not facts.is_enabled or facts.state != "Enabled":
        return facts.state
    if facts.result.startswith("PROBLEM"):
        text = facts.result.removeprefix("PROBLEM: ")
        return tag("span", text, class_="bad", title=text)
    return facts.result


def _mapping_text(facts: MappingFacts) -> str:
    return f"{facts.name} {facts.id} {facts.source} {facts.function} {facts.kind} {facts.state}"


def _functions(board: Board, past: History, view: View, parts: Parts) -> Html:
    shown = page(board.functions, _function_text, view.query, view.pages[1], ROWS)
    rows = [(f"f-{it.facts.name}", _function(it, past)) for it in shown.rows]
    titles = (
        "Function", "Invocations", "Environments", "p50, 1 min", "p99, 1 min", "Cold starts",
        "Failed, 1 min",
    )  # fmt: skip
    tabled = table(
        parts, "functions-rows", "Functions, trouble first", titles, rows, numeric=(1, 3, 4, 5, 6)
    )
    return _section(
        parts, view, "functions", "Functions", shown, board.functions, tabled,
        "There is none yet. A template with an AWS::Serverless::Function, or CreateFunction, "
        "makes one.",
    )  # fmt: skip


def _function(it: Row[FunctionFacts], past: History) -> Html:
    facts, key = it.facts, ("function", it.facts.name)
    more = [facts.runtime]
    more += [plural(facts.versions, "version")] if facts.versions else []
    more += [", ".join(facts.aliases)] if facts.aliases else []
    more += [f"{count(facts.waiting)} asynchronous wait"] if facts.waiting else []
    head = [
        sign(it.level),
        tag("a", facts.name, href=link("function", facts.name)),
        tag("span", " · ".join(more), class_="sub"),
        reason(it.level, it.why) if it.why else None,
    ]
    ran = pictures.spark([*past.points(key, "ok"), it.per_s])
    cells = [
        number("Invocations", rate(it.per_s), ran),
        cell("Environments", environments(facts), class_="envs"),
        number("p50, 1 min", duration(it.p50_ms)),
        number("p99, 1 min", duration(it.p99_ms)),
        number("Cold starts", count(facts.cold_starts)),
        number("Failed, 1 min", count(it.failed), tone="bad" if it.failed else ""),
    ]
    return row(f"f-{facts.name}", tag("div", head, class_="head"), cells, it.level)


def environments(facts: FunctionFacts) -> Html:
    """Busy and warm ones."""
    whole = max(facts.busy + facts.idle, 1)
    drawn = pictures.bar([(facts.busy, "busy"), (facts.idle, "warm")], whole)
    words = f"{count(facts.busy)} busy, {count(facts.idle)} warm"
    if facts.provisioned:
        words += f", {count(facts.provisioned)} provisioned"
    return join([drawn, tag("span", words, class_="num")])


def _function_text(facts: FunctionFacts) -> str:
    return f"{facts.name} {facts.runtime} {' '.join(facts.aliases)}"


def _webhooks(board: Board, past: History, view: View, parts: Parts) -> Html:
    shown = page(board.webhooks, _webhook_text, view.query, view.pages[2], ROWS)
    rows = [(f"w-{it.facts.name}", _webhook(it, past)) for it in shown.rows]
    titles = ("Webhook", "Taken in", "Accepted", "Duplicates", "Refused", "p99, 1 min")
    tabled = table(
        parts, "webhooks-rows", "Webhooks, trouble first", titles, rows, numeric=(1, 2, 3, 4, 5)
    )
    return _section(
        parts, view, "webhooks", "Webhooks", shown, board.webhooks, tabled,
        "There is none yet. A template with a Router::Webhook makes one.",
    )  # fmt: skip


def _webhook(it: Row[WebhookFacts], past: History) -> Html:
    facts, key = it.facts, ("webhook", it.facts.name)
    more = f"{facts.path} · {facts.scheme} · {plural(facts.shards, 'shard')}"
    head = [
        sign(it.level),
        tag("strong", facts.name),
        tag("span", more, class_="sub"),
        reason(it.level, it.why) if it.why else None,
    ]
    taken = pictures.spark([*past.points(key, "accepted"), it.per_s])
    why = ", ".join(f"{count(n)} {name.replace('_', ' ')}" for name, n in _most(facts.refused))
    cells = [
        number("Taken in", rate(it.per_s), taken),
        number("Accepted", count(facts.accepted)),
        number("Duplicates", count(facts.duplicates)),
        number(
            "Refused", [count(facts.refusals), tag("small", why) if why else None],
            tone="bad" if it.failed else "",
        ),
        number("p99, 1 min", duration(it.p99_ms)),
    ]  # fmt: skip
    return row(f"w-{facts.name}", tag("div", head, class_="head"), cells, it.level)


def _most(refused: dict[str, float]) -> list[tuple[str, float]]:
    """The two reasons that come most often."""
    return sorted(refused.items(), key=lambda it: -it[1])[:2]


def _webhook_text(facts: WebhookFacts) -> str:
    return f"{facts.name} {facts.path} {facts.scheme}"


def _destinations(board: Board, view: View, parts: Parts) -> Html:
    shown = page(board.destinations, _destination_text, view.query, view.pages[3], ROWS)
    wall_ms = board.snapshot.wall_ms
    rows = [(f"d-{it.facts.address}", _destination(it, wall_ms)) for it in shown.rows]
    titles = ("Destination", "On their way", "Oldest", "In the queue", "Oldest there")
    tabled = table(
        parts, "destinations-rows", "Destinations and failure queues, trouble first", titles, rows,
        numeric=(1, 2, 3, 4),
    )  # fmt: skip
    return _section(
        parts, view, "destinations", "Destinations", shown, board.destinations, tabled,
        "No mapping and no function sends anywhere what it gives up.",
    )  # fmt: skip


def _destination(it: Row[DestinationFacts], wall_ms: int) -> Html:
    facts = it.facts
    users = ", ".join(facts.users[:3]) + (" …" if len(facts.users) > 3 else "")
    head = [
        sign(it.level),
        tag("strong", short(facts.address), title=facts.address),
        tag("span", f"{facts.kind} · for {users}" if users else facts.kind, class_="sub"),
        reason(it.level, it.why) if it.why else None,
    ]
    cells = [
        number("On their way", count(facts.waiting), tone="bad" if facts.trouble else ""),
        number("Oldest", age(facts.oldest_ms, wall_ms)),
        number("In the queue", count(facts.kept)),
        number("Oldest there", age(facts.kept_oldest_ms, wall_ms)),
    ]
    return row(f"d-{facts.address}", tag("div", head, class_="head"), cells, it.level)


def _destination_text(facts: DestinationFacts) -> str:
    return f"{facts.address} {facts.kind} {' '.join(facts.users)}"


def short(address: str) -> str:
    """An ARN by its own name; anything else as it is."""
    try:
        arn = parse_arn(address)
    except ArnError:
        return address
    return arn.resource.removeprefix("webhook/").removeprefix("function:")
