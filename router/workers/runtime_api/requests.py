"""What a runtime or an extension asks for, as read from its connection. Pure."""

import msgspec


class Head(msgspec.Struct, frozen=True):
    """A request before its body."""

    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """Those that mean something here, by their names in lower case."""


class Request(msgspec.Struct, frozen=True):
    """A complete request."""

    head: Head
    body: bytes
    """Empty when it is `is_too_large`, was passed on or was not wanted."""
    trailers: dict[str, str]
    is_too_large: bool
    is_persistent: bool
