"""Which web pages may call a function's URL: the answers and headers browsers ask for."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from router.model.function_url import Cors, UrlAnswer, UrlCall

ALLOW_ORIGIN: Final = "access-control-allow-origin"

_OURS: Final = "access-control-"


def preflight(call: UrlCall, cors: Cors) -> UrlAnswer | None:
    """The answer to a browser's question before a request; None for any other request."""
    asks = "access-control-request-method" in call.headers and "origin" in call.headers
    if call.method != "OPTIONS" or not asks:
        return None
    headers = _for_page(call.headers, cors)
    if any(name == ALLOW_ORIGIN for name, _ in headers):
        if cors.methods:
            headers.append(("access-control-allow-methods", ",".join(cors.methods)))
        if cors.headers:
            headers.append(("access-control-allow-headers", ",".join(cors.headers)))
        if cors.max_age_s is not None:
            headers.append(("access-control-max-age", str(cors.max_age_s)))
    return UrlAnswer(0, 200, headers, b"")


def shared(answer: UrlAnswer, cors: Cors, headers: Mapping[str, str]) -> UrlAnswer:
    """An answer with the headers for the page that asks. They win over the function's."""
    kept = [pair for pair in answer.headers if not pair[0].lower().startswith(_OURS)]
    answer.headers = [*kept, *_for_page(headers, cors)]
    return answer


def _for_page(headers: Mapping[str, str], cors: Cors) -> list[tuple[str, str]]:
    found = [] if "*" in cors.origins else [("vary", "Origin")]
    origin = headers.get("origin")
    allowed = _allowed(origin, cors) if origin is not None else None
    if allowed is not None:
        found.append((ALLOW_ORIGIN, allowed))
        if cors.has_credentials:
            found.append(("access-control-allow-credentials", "true"))
        if cors.exposed:
            found.append(("access-control-expose-headers", ",".join(cors.exposed)))
    return found


def _allowed(origin: str, cors: Cors) -> str | None:
    """What to tell a page of this origin; None for nothing."""
    if "*" in cors.origins:
        # With credentials a browser takes its own origin only.
        return origin if cors.has_credentials else "*"
    return origin if any(_matches(pattern, origin) for pattern in cors.origins) else None


def _matches(pattern: str, origin: str) -> bool:
    return _compiled(pattern).fullmatch(origin) is not None


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    """An origin, in which `*` stands for anything that is no slash."""
    return re.compile("[^/]*".join(map(re.escape, pattern.lower().split("*"))), re.IGNORECASE)
