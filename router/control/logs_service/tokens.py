"""Tokens that say where the next page of log events begins."""

import base64

import msgspec

from router.control.errors import ApiError
from router.control.logs_service.lookup import invalid
from router.workers.log_scan import Mark

CHARACTERS_MAX = 64 * 1024
"""A token names every log of a group."""


def encode(prefix: str, marks: dict[str, Mark]) -> str:
    """A token of one kind."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(marks)).decode("ascii")
    return f"{prefix}/{text}"


def decode(token: str, prefixes: str) -> tuple[str, dict[str, Mark]]:
    """The kind of a token, one of `prefixes`, and its marks. Raises `ApiError`."""
    prefix, _, text = token.partition("/")
    try:
        if len(token) > CHARACTERS_MAX or prefix not in tuple(prefixes):
            raise _bad()
        data = base64.b64decode(text, altchars=b"-_", validate=True)
        return prefix, msgspec.json.decode(data, type=dict[str, Mark])
    except (ValueError, msgspec.MsgspecError):
        raise _bad() from None


def _bad() -> ApiError:
    return invalid("The specified nextToken is invalid.")
