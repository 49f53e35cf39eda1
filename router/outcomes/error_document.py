"""What a function's error document calls the error (`functions-and-invocation.md` 6.3)."""

from typing import Any, Final

import orjson

from router.model.limits import MIB

UNKNOWN: Final = "Runtime.Unknown"
"""What Lambda's logs call an error that is not the platform's."""

NAME_CHARACTERS_MAX: Final = 200
"""Of a name that goes into log lines."""

DOCUMENT_BYTES_MAX: Final = 1 * MIB
"""A larger document is not parsed for its name."""


def error_name(document: bytes) -> str:
    """Its `errorType`; `UNKNOWN` where it has none that could be shown."""
    if len(document) > DOCUMENT_BYTES_MAX:
        return UNKNOWN
    try:
        members: Any = orjson.loads(document)
    except orjson.JSONDecodeError:
        return UNKNOWN
    name = members.get("errorType") if isinstance(members, dict) else None
    if not isinstance(name, str) or not name.isprintable():
        return UNKNOWN
    return name[:NAME_CHARACTERS_MAX] or UNKNOWN
