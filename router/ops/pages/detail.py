"""What the pages of one mapping and of one function have in common."""

from collections.abc import Sequence
from typing import Any

import orjson

from router.ops.html import Child, Html, tag
from router.ops.pages.common import heading, table
from router.ops.pages.parts import Parts


def recent(
    parts: Parts, what: str, titles: tuple[str, ...], rows: Sequence[tuple[str, Html]]
) -> Html:
    """The last batches or invocations, as `what` says; columns three to five are numbers."""
    caption = f"Recent {what}, the last first"
    shown = table(parts, "recent-rows", caption, titles, rows, numeric=(2, 3, 4))
    empty = "" if rows else "None since the router started."
    note = parts.block("p", "recent-none", empty, class_="empty")
    return tag("section", heading(f"Recent {what}"), shown, note)


def settings(parts: Parts, pairs: Sequence[tuple[str, Any]]) -> Html:
    """Names and values: lists and objects as JSON."""
    rows = []
    for name, value in pairs:
        id_ = f"setting-{name}"
        shown = tag("td", _value(value), role="cell")
        head = tag("th", name, scope="row", role="rowheader")
        rows.append((id_, tag("tr", head, shown, id=id_, role="row")))
    caption = tag("caption", "Settings", class_="unseen")
    body = parts.list("tbody", "settings-rows", rows, role="rowgroup")
    shown_table = tag("table", caption, body, class_="settings", role="table")
    return tag("section", heading("Settings"), shown_table)


def _value(value: Any) -> Child:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        if not value:
            return "–"
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        return tag("pre", text)
    return "–" if value in {None, ""} else str(value)
