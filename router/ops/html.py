"""HTML without a template language: everything is escaped but what this module made itself.

`Html` is text that is markup already. A tag's children are `Html` or plain text, and plain text is
escaped; so are the values of attributes. There is no other way to make a page, and none to put a
script or a style into one: the Content-Security-Policy would not run it either.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from typing import Final

EMPTY_TAGS: Final = frozenset({"br", "img", "input", "link", "meta"})
"""What has no content."""

_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*\Z")


class Html(str):
    """Markup."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
Value = str | int | float | bool | None


def text(child: Child) -> str:
    """A child as markup; lists are joined, None is nothing."""
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(child)
    if isinstance(child, int):
        return str(child)
    return "".join(map(text, child))


def tag(name: str, /, *children: Child, **attributes: Value) -> Html:
    """One element. `class_` is `class`, `data_label` is `data-label`; None and False are left out.

    Raises `ValueError` for a name that is none.
    """
    opened = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    element = _name(name)
    if element in EMPTY_TAGS:
        return Html(f"<{element}{opened}>")
    return Html(f"<{element}{opened}>{text(children)}</{element}>")


def join(children: Iterable[Child]) -> Html:
    """Several of them, one after the other."""
    return Html(text(children))


@lru_cache(maxsize=512)
def _name(key: str) -> str:
    name = key.rstrip("_").replace("_", "-")
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is no name in HTML")
    return name
