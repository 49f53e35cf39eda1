"""The ops page by HTTP: which address is which page, and what browsers may do with it.

Nothing can be changed here, and there is no log-in: who reaches the listener may look. Where it
listens on this machine alone, a page from elsewhere must not read it by a name of its own that
leads here (DNS rebinding): there the name that was asked for must be this machine's.
"""

import functools
import hashlib
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from router.http.values import Head, Pairs, Response, Streamed, message_response
from router.ops.desk import Desk, Sight
from router.ops.pages.common import Frame
from router.ops.paths import View, view_of
from router.ops.streams import Full, Streams

FOLDER: Final = Path(__file__).parent / "page"
FILES: Final = {
    "ops.css": "text/css; charset=utf-8",
    "ops.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
PREFIX: Final = "/page/"
EVENTS: Final = "/events"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What a page may load and do: its own files alone, whatever a name or an error's text holds."""

SAFE: Final[Pairs] = (
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
)
PAGE_HEADERS: Final[Pairs] = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
    *SAFE,
)
FILE_HEADERS: Final[Pairs] = (("cache-control", "public, max-age=31536000, immutable"), *SAFE)
"""A file's address changes with its content."""

MISDIRECTED: Final = (
    "This listener is this machine's own: ask it as localhost or by its address. Behind a proxy, "
    "have the proxy send that as Host, or listen on another address than a loopback one."
)

Answer = Callable[[], Response | Awaitable[Response | Streamed]]
"""What makes the answer to a request."""


class File(msgspec.Struct, frozen=True):
    """One of the page's own files."""

    body: bytes
    headers: Pairs
    address: str


class Site:
    """Everything on the ops listener that is for people."""

    def __init__(self, sight: Sight, now_ms: Callable[[], int]) -> None:
        """`now_ms` is monotonic."""
        self.desk = Desk(sight, self, now_ms)
        self.streams = Streams(self.desk.render)
        self._is_local = True

    def bound(self, host: str) -> None:
        """The address it listens on."""
        self._is_local = _is_loopback(host)

    async def close(self) -> None:
        """End what is watched."""
        await self.streams.close()
        self.desk.close()

    def answer(self, head: Head) -> Answer | None:
        """How a request is answered; None when there is nothing of the kind here."""
        path = head.path
        if path.startswith(PREFIX):
            file = files().get(path.removeprefix(PREFIX))
            return None if file is None else lambda: Response(200, file.body, file.headers)
        is_stream = path == EVENTS
        asked = dict(parse_qsl(head.query, max_num_fields=4)) if is_stream else {}
        target = urlsplit(asked.get("of", "/")) if is_stream else None
        view = view_of(path, head.query) if target is None else view_of(target.path, target.query)
        if view is None:
            return None
        if not self._is_ours(head.headers.get("host", "")):
            return lambda: message_response(421, MISDIRECTED)
        return functools.partial(self._events if is_stream else self._page, view)

    def frame(self, title: str, address: str) -> Frame:
        """See `desk.Assets`."""
        found = files()
        style, script, icon = (found[name].address for name in FILES)
        return Frame(title, address, style, script, icon)

    async def _page(self, view: View) -> Response:
        rendered = await self.desk.render(view)
        if rendered is None:
            return Response(404, await self.desk.missing(view), PAGE_HEADERS)
        return Response(200, self.desk.whole(view, rendered), PAGE_HEADERS)

    async def _events(self, view: View) -> Response | Streamed:
        try:
            return self.streams.open(view)
        except Full:
            text = "As many look at this as may; reload to see the present."
            return message_response(503, text)

    def _is_ours(self, host: str) -> bool:
        if not self._is_local:
            return True
        name = _name_of(host)
        return name == "localhost" or name.endswith(".localhost") or _is_address(name)


@functools.cache
def files() -> dict[str, File]:
    """The page's own files, each under an address that changes with it."""
    found = {}
    for name, kind in FILES.items():
        body = (FOLDER / name).read_bytes()
        mark = hashlib.sha256(body).hexdigest()[:12]
        headers = (("content-type", kind), *FILE_HEADERS)
        found[name] = File(body, headers, f"{PREFIX}{name}?{mark}")
    return found


def _name_of(host: str) -> str:
    """A Host header without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback
