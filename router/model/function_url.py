"""A function's own URL (`functions-and-invocation.md` 10), and what goes in and out of it."""

import msgspec

from router.model.resources import Owner

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "*"})
"""What AllowMethods may hold."""


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """Which web pages may call."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_s: int | None = None
    has_credentials: bool | None = None


class FunctionUrl(msgspec.Struct, frozen=True, kw_only=True):
    """One URL: of `$LATEST` or of an alias. Its id is never given again."""

    function: str
    qualifier: str
    """An alias, or `$LATEST`."""
    id: str
    """32 digits and lower-case letters."""
    is_signed: bool
    """AuthType AWS_IAM."""
    cors: Cors | None = None
    invoke_mode: str = ""
    """Empty as long as none was given: BUFFERED."""
    created_ms: int
    modified_ms: int
    owner: Owner | None = None


class UrlCall(msgspec.Struct, array_like=True):
    """A request to a function's URL, as the ingress listener read it."""

    number: int
    """By which whoever handed it over knows the answer."""
    url_id: str
    method: str
    path: str
    """As sent, without what leads to the function: it begins with a slash."""
    prefix: str
    """What leads there, where the path does: `/lambda-url/<id>`."""
    query: str
    headers: dict[str, str]
    """Names are lower-case, the values of a repeated one joined by commas."""
    peer: str
    body: bytes


class UrlAnswer(msgspec.Struct, array_like=True):
    """What the client gets."""

    number: int
    status: int
    headers: list[tuple[str, str]]
    body: bytes
