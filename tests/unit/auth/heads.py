"""A request's head as schemes see it."""

import msgspec


class Head(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    path: str = "/hook"
    query: str = ""
