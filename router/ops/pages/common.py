"""What all pages have in common: the frame, badges, tiles, tables."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from router.ops import pictures
from router.ops.facts import Snapshot
from router.ops.html import Child, Html, join, tag
from router.ops.pages.parts import Parts
from router.ops.trouble import Level, Reason
from router.ops.wording import NOTHING, clock, duration, iso, moment, short_span
from router.telemetry.recent import Attempt

TONES: Final = {
    Level.BAD: "bad",
    Level.WARN: "warn",
    Level.NOTE: "note",
    Level.WELL: "well",
    Level.OFF: "off",
}
WORDS: Final = {
    Level.BAD: "trouble",
    Level.WARN: "warning",
    Level.NOTE: "note",
    Level.WELL: "well",
    Level.OFF: "off",
}
SIGNS: Final = {
    Level.BAD: "M8 1.2 15 14H1z",
    Level.WARN: "M8 1.2 14.8 8 8 14.8 1.2 8z",
    Level.NOTE: "M2.5 2.5h11v11h-11z",
    Level.WELL: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z",
    Level.OFF: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zm0 2.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
}
"""A shape for each: colour alone would not tell everybody."""

OUTCOME_LEVELS: Final = {
    "succeeded": Level.WELL,
    "ok": Level.WELL,
    "partly_succeeded": Level.WARN,
    "not_run": Level.WARN,
}
"""Of attempts; any other is bad."""


class Frame(msgspec.Struct, frozen=True):
    """What stands around a page."""

    title: str
    address: str
    """Of the page: path and query."""
    style: str
    """Address of the style sheet …"""
    script: str
    """… and of the script …"""
    icon: str
    """… and of the icon."""


def document(frame: Frame, parts: Parts, snapshot: Snapshot, main: Child) -> Html:
    """A whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", frame.title),
        tag("link", rel="icon", type="image/svg+xml", href=frame.icon),
        tag("link", rel="stylesheet", href=frame.style),
        tag("script", src=frame.script, defer=True),
    )
    body = tag(
        "body",
        tag("a", "Skip to content", class_="skip", href="#main"),
        _top(parts, snapshot, frame),
        tag("main", main, id="main", tabindex="-1"),
        _bottom(snapshot),
        data_address=frame.address,
    )
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en"))


def _top(parts: Parts, snapshot: Snapshot, frame: Frame) -> Html:
    mark = tag("img", src=frame.icon, alt="", width="24", height="24")
    sections = [("Mappings", "mappings"), ("Functions", "functions"), ("Webhooks", "webhooks")]
    sections.append(("Destinations", "destinations"))
    here = "" if frame.address.partition("?")[0] == "/" else "/"
    links = [tag("a", title, href=f"{here}#{id_}") for title, id_ in sections]
    return tag(
        "header",
        tag("a", mark, tag("span", "Event Router"), class_="brand", href="/"),
        ready(parts, snapshot),
        tag("nav", links, aria_label="Sections"),
        tag(
            "p",
            tag("span", "as of", id="live", role="status"),
            " ",
            stamp(parts, snapshot),
            class_="pulse",
        ),
        class_="top",
    )


def stamp(parts: Parts, snapshot: Snapshot) -> Html:
    """When what is shown was so."""
    wall_ms = snapshot.wall_ms
    return parts.block(
        "time", "stamp", clock(wall_ms), datetime=iso(wall_ms), title=moment(wall_ms)
    )


def ready(parts: Parts, snapshot: Snapshot) -> Html:
    """Whether the router takes in work."""
    is_ready = snapshot.router.is_ready
    level = Level.WELL if is_ready else Level.BAD
    words = "ready" if is_ready else "not ready"
    return parts.block("p", "ready", sign(level), words, class_=f"pill {TONES[level]}")


def _bottom(snapshot: Snapshot) -> Html:
    facts = snapshot.router
    up = short_span((snapshot.wall_ms - facts.started_ms) / 1_000)
    said = [f"Event Router {facts.version}", f"{facts.region}, account {facts.account}"]
    said += [f"isolation rung {facts.rung}"] if facts.rung else []
    said += [f"up for {up}"]
    links = [tag("a", "metrics", href="/metrics"), " · ", tag("a", "readiness", href="/ready")]
    return tag("footer", tag("p", " · ".join(said), " · ", links))


def sign(level: Level) -> Html:
    """A shape for eyes, a word for ears."""
    shape = tag(
        "svg",
        tag("path", d=SIGNS[level]),
        class_=f"sign {TONES[level]}",
        viewBox="0 0 16 16",
        aria_hidden="true",
    )
    return join([shape, tag("span", f"{WORDS[level]}: ", class_="unseen")])


def reason(level: Level, text: str) -> Html:
    """Why, in a line of its own."""
    return tag("span", text, class_=f"why {TONES[level]}")


def reasons(parts: Parts, found: Sequence[Reason]) -> Html:
    """All of them, on the page of one thing."""
    items = [
        (f"reason-{at}", tag("li", sign(it.level), it.text, id=f"reason-{at}", class_="reason"))
        for at, it in enumerate(found)
    ]
    return parts.list("ul", "reasons", items, class_="reasons")


def tile(parts: Parts, id_: str, title: str, value: Child, note: Child, picture: Child) -> Html:
    """A number with its picture."""
    return parts.block(
        "li",
        f"tile-{id_}",
        tag("h3", title),
        tag("p", value, class_="value"),
        tag("p", note, class_="note") if note else None,
        picture,
        class_="tile",
    )


def chart(
    parts: Parts, id_: str, title: str, now: str, points: Sequence[float], tone: str, unit: str
) -> Html:
    """A large picture with its scale."""
    drawn, top = pictures.chart(points, tone)
    return parts.block(
        "figure",
        f"chart-{id_}",
        tag("figcaption", tag("span", title), " ", tag("strong", now)),
        tag(
            "div",
            drawn,
            tag("span", f"{top:,g}{unit}", class_="most"),
            tag("span", "0", class_="least"),
            class_="plot",
        ),
        tag("p", tag("span", "10 min ago"), tag("span", "now"), class_="axis"),
        class_="figure",
    )


def heading(title: str, note: Child = None) -> Html:
    """Of a section."""
    return tag("h2", title, tag("small", note) if note else None)


def table(
    parts: Parts,
    id_: str,
    caption: str,
    titles: Sequence[str],
    rows: Sequence[tuple[str, Html]],
    *,
    numeric: Iterable[int] = (),
) -> Html:
    """A table whose rows come and go. `numeric`: columns that are right-aligned.

    Narrow screens show rows as cards; the roles say that it is a table all the same.
    """
    right = set(numeric)
    heads = [
        tag("th", title, scope="col", role="columnheader", class_="n" if at in right else None)
        for at, title in enumerate(titles)
    ]
    return tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", heads, role="row"), role="rowgroup"),
        parts.list("tbody", id_, rows, role="rowgroup"),
        role="table",
    )


def row(id_: str, head: Child, cells: Sequence[Html], level: Level | None = None) -> Html:
    """One row, whose first cell names it."""
    tone = f"row {TONES[level]}" if level is not None else "row"
    first = tag("th", head, scope="row", role="rowheader")
    return tag("tr", first, cells, id=id_, role="row", class_=tone)


def cell(label: str, *children: Child, class_: str = "") -> Html:
    """A cell; narrow screens show its column's title beside it."""
    return tag("td", *children, role="cell", data_label=label, class_=class_ or None)


def number(label: str, value: Child, picture: Child = None, *, tone: str = "") -> Html:
    """A cell with a number, and what it looked like lately."""
    return cell(label, picture, tag("span", value, class_="num"), class_=f"n {tone}".strip())


def outcome(attempt: Attempt) -> Html:
    """How an attempt ended."""
    level = OUTCOME_LEVELS.get(attempt.outcome, Level.BAD)
    return tag("span", sign(level), attempt.outcome.replace("_", " "), class_="outcome")


def ended(attempt: Attempt, wall_ms: int) -> Html:
    """When, and how long ago."""
    ago = short_span((wall_ms - attempt.wall_ms) / 1_000)
    when = tag("time", clock(attempt.wall_ms), datetime=iso(attempt.wall_ms))
    return join([when, " ", tag("small", f"{ago} ago")])


def age(then_ms: int | None, wall_ms: int) -> str:
    """How long ago, in short."""
    return NOTHING if then_ms is None else short_span((wall_ms - then_ms) / 1_000)


def took(attempt: Attempt) -> str:
    """How long it ran."""
    return duration(attempt.duration_ms)
