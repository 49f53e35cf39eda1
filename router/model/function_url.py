"""A function's own URL (`functions-and-invocation.md` 10), and what goes in and out of it."""

import ipaddress
from urllib.parse import urlsplit

import msgspec

from router.model.resources import Owner

HOST_MARK = ".lambda-url."
"""What follows the id in the name of the host."""

PATH_START = "/lambda-url/"
"""What stands before the id where the path tells it."""

ID_LENGTH = 32

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
    is_open: bool = False
    """The body goes on in parts, one of which is the last."""


class UrlPart(msgspec.Struct, array_like=True):
    """The next of the body of an answer that is open."""

    number: int
    body: bytes
    is_last: bool = False
    is_broken: bool = False
    """The last one, and not because the body is complete."""


class UrlTaken(msgspec.Struct, array_like=True):
    """The client has read so many more bytes of the parts, or will never read any more."""

    number: int
    size_bytes: int
    is_gone: bool = False


def url_text(url_id: str, region: str, base: str, ingress: str) -> str:
    """A function's URL as people dial it, with a slash at its end.

    `base` is where the settings say the ingress listener is reached from outside, `ingress` where
    it listens. Below a name the function has one of its own; an address has none below it, so
    there it is told by the path.
    """
    where = urlsplit(base or ingress)
    host = where.hostname or "localhost"
    if not base and _is_here(host):
        host = "localhost"
    port = f":{where.port}" if where.port is not None else ""
    if _is_address(host):
        shown = f"[{host}]" if ":" in host else host
        return f"{where.scheme}://{shown}{port}{PATH_START}{url_id}/"
    return f"{where.scheme}://{url_id}{HOST_MARK}{region}.{host}{port}/"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_here(host: str) -> bool:
    """An address of this machine alone, or every one it has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
