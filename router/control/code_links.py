"""Links to a function's code: `Code.Location` of GetFunction, signed, good for ten minutes."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote, urlencode

from router.control.protocol.wire import Reply, Request
from router.functions.packages import CodeStore
from router.functions.tree import FolderUnusable
from router.model.resources import Function
from router.store.catalog import Catalog

PREFIX: Final = "/_router/code/"
VALID_MS: Final = 600_000
"""How long a link works (Lambda: 10 minutes)."""


class CodeLinks:
    """Makes links and answers them. A restart ends links made before it."""

    def __init__(self, catalog: Catalog, codes: CodeStore, wall_ms: Callable[[], int]) -> None:
        self._catalog = catalog
        self._codes = codes
        self._wall_ms = wall_ms
        self._secret = secrets.token_bytes(32)

    def url(self, base_url: str, function: Function) -> str:
        """A link to the code the function has now."""
        until_ms = self._wall_ms() + VALID_MS
        place = f"{function.name}/{function.code_hash}"
        query = urlencode({"Expires": until_ms, "Signature": self._sign(place, until_ms)})
        return f"{base_url}{PREFIX}{quote(place)}?{query}"

    def _sign(self, place: str, until_ms: int) -> str:
        text = f"{place}\n{until_ms}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    async def page(self, request: Request) -> Reply:
        """The zip behind a link; 403 for one that is not ours or too old, 404 once it is gone."""
        place = unquote(request.path.removeprefix(PREFIX))
        query = dict(request.query)
        until = query.get("Expires", "")
        if not until.isascii() or not until.isdigit() or len(until) > 15:
            return _text(403, "This link is not signed.")
        expected = self._sign(place, int(until))
        if not hmac.compare_digest(expected.encode(), query.get("Signature", "").encode()):
            return _text(403, "This link is not signed.")
        if int(until) < self._wall_ms():
            return _text(403, "This link has expired; ask GetFunction for a new one.")
        name, _, code_hash = place.partition("/")
        function = self._catalog.functions.get(name)
        if function is None or function.code_hash != code_hash:
            return _text(404, "The function has other code now, or is gone.")
        try:
            data = await self._codes.zip_of(function.code_hash, function.code_path)
        except FolderUnusable:
            return _text(404, "The code cannot be read.")
        return Reply(200, {"Content-Type": "application/zip"}, data)


def _text(status: int, text: str) -> Reply:
    return Reply(status, {"Content-Type": "text/plain"}, text.encode())
