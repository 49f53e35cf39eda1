"""What webhooks answer instead of accepting."""

from collections.abc import Mapping
from typing import Final

from router.auth.signing import MESSAGES
from router.http.values import (
    JSON_HEADERS,
    RETRY_HEADERS,
    Response,
    json_response,
    message_response,
    retry_headers,
)

NOT_FOUND: Final = message_response(404, "Not Found")
ALLOW_BOTH: Final = ("allow", "POST, OPTIONS")
NOT_ALLOWED: Final = message_response(405, "Method Not Allowed", (*JSON_HEADERS, ("allow", "POST")))
NOT_ALLOWED_EITHER: Final = message_response(405, "Method Not Allowed", (*JSON_HEADERS, ALLOW_BOTH))
DRAINING: Final = message_response(
    503,
    "The router is stopping, try again.",
    (*RETRY_HEADERS, ("connection", "close")),  # there is another behind the next connection
)
OVERLOADED: Final = message_response(503, "Too much is waiting, try again later.", RETRY_HEADERS)
STORE_FULL: Final = message_response(503, "The store is full, try again later.", RETRY_HEADERS)
CHANGED: Final = message_response(503, "The webhook has changed, try again.", RETRY_HEADERS)
STORE_FAILED: Final = message_response(503, "The store failed, try again later.", RETRY_HEADERS)
UNREADABLE: Final = message_response(400, "The partition key's place in the body is unreadable.")
BAD_QUERY: Final = message_response(400, "The query has too many parameters.")
TOO_LARGE: Final = message_response(
    413, "The body is too large for an event once it is written as JSON."
)
MISCONFIGURED: Final = message_response(500, "The webhook's secret is not available.")
UNAUTHORIZED: Final[Mapping[str, Response]] = {
    reason: json_response(
        401,
        {"message": text, "reason": reason},
        (*JSON_HEADERS, ("www-authenticate", "Bearer")) if "token" in reason else JSON_HEADERS,
    )
    for reason, text in MESSAGES.items()
}


def too_often(wait_s: int) -> Response:
    """More than the webhook takes in a minute."""
    return message_response(429, "Too many requests, try again later.", retry_headers(wait_s))
