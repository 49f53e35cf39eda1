"""Addresses on the ops page: what a request is for, and how it is linked. Pure."""

from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

TABLES: Final = ("mappings", "functions", "webhooks", "destinations")
"""Tables of the front page, by the name their parameters begin with."""

ROWS: Final = 100
"""Rows of a table on a page."""

QUERY_CHARACTERS_MAX: Final = 100
PAGE_NUMBER_MAX: Final = 100_000


class View(msgspec.Struct, frozen=True):
    """What somebody looks at: the front page, or one thing."""

    kind: str = ""
    """Empty: the front page. Else mapping or function."""
    id: str = ""
    query: str = ""
    """Words that a row's text must have."""
    pages: tuple[int, ...] = (1, 1, 1, 1)
    """Of each of `TABLES`, from 1."""

    @property
    def path(self) -> str:
        """Where it is."""
        return link(self.kind, self.id) if self.kind else "/"

    @property
    def parameters(self) -> str:
        """Its query string."""
        found = {"q": self.query} if self.query else {}
        for table, number in zip(TABLES, self.pages, strict=True):
            if number != 1:
                found[table] = str(number)
        return urlencode(found)

    @property
    def address(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.parameters}" if self.parameters else self.path

    def turned(self, table: str, number: int) -> "View":
        """The same with another page of a table."""
        pages = tuple(
            number if name == table else old for name, old in zip(TABLES, self.pages, strict=True)
        )
        return View(self.kind, self.id, self.query, pages)


def view_of(path: str, query: str) -> View | None:
    """What is asked for; None when there is no such page. Parameters that say nothing are left."""
    if path == "/":
        found = dict(parse_qsl(query, max_num_fields=16)) if query.count("&") < 16 else {}
        words = found.get("q", "").strip()[:QUERY_CHARACTERS_MAX]
        pages = tuple(_number(found.get(table, "")) for table in TABLES)
        return View("", "", words, pages)
    for kind in ("mapping", "function"):
        start = f"/{kind}s/"
        if path.startswith(start) and (name := unquote(path.removeprefix(start))):
            return View(kind, name)
    return None


def link(kind: str, name: str) -> str:
    """The address of one thing's page."""
    return f"/{kind}s/{quote(name, safe='')}"


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= 6
    return max(1, min(int(text), PAGE_NUMBER_MAX)) if is_number else 1
