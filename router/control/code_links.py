"""Links to a function's code: `Code.Location` of GetFunction, signed, good for ten minutes."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote, urlencode

from router.control.protocol.wire import Reply, Request
from router.functions.packages import CodeStore
from router.functions.resolve import versions_of
from router.functions.tree import FolderUnusable
from router.model.layer import LayerVersion, layer_key
from router.model.resources import Function
from router.store.catalog import Catalog

PREFIX: Final = "/_router/code/"
LAYERS: Final = "layers"
"""What the place of a layer's code begins with; of a function's it is the name itself."""

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
        """A link to the code of a function, or of one of its versions."""
        return self._link(base_url, f"{function.name}/{function.code_hash}")

    def layer_url(self, base_url: str, version: LayerVersion) -> str:
        """A link to what a version of a layer holds."""
        name = layer_key(version.name, version.number)
        return self._link(base_url, f"{LAYERS}/{name}/{version.code_hash}")

    def _link(self, base_url: str, place: str) -> str:
        until_ms = self._wall_ms() + VALID_MS
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
        try:
            data = await self._read(place)
        except (FolderUnusable, OSError):
            return _text(404, "The code cannot be read.")
        if data is None:
            return _text(404, "There is other code now, or it is gone.")
        return Reply(200, {"Content-Type": "application/zip"}, data)

    async def _read(self, place: str) -> bytes | None:
        """The zip a signed place names; None once the place has other code."""
        owner, _, code_hash = place.rpartition("/")
        kind, _, name = owner.rpartition("/")
        if kind == LAYERS:
            version = self._catalog.layer_versions.get(name)
            if version is None or version.code_hash != code_hash:
                return None
            return await self._codes.zip_of(code_hash, "")
        latest = self._catalog.functions.get(name)
        versions = [published.function for published in versions_of(self._catalog, name)]
        found = versions if latest is None else [latest, *versions]
        function = next((it for it in found if it.code_hash == code_hash), None)
        if function is None:
            return None
        return await self._codes.zip_of(code_hash, function.code_path)


def _text(status: int, text: str) -> Reply:
    return Reply(status, {"Content-Type": "text/plain"}, text.encode())
