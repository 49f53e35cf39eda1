"""What a function's reply says to a client of HTTP (`functions-and-invocation.md` 10).

A JSON object with a `statusCode` is a response, anything else the body of one.
"""

import base64
import re
from typing import Any, Final

import msgspec
import orjson

DEFAULT_TYPE: Final = ("content-type", "application/json")

STREAM_TYPE: Final = "application/octet-stream"

INTEGRATION: Final = "application/vnd.awslambda.http-integration-response"
"""Content type of a streamed body that says status and headers first."""

PRELUDE_END: Final = bytes(8)

STATUS_MIN: Final = 200
"""What is below it is no answer: the client would go on waiting for one."""
STATUS_MAX: Final = 599

BODILESS: Final = frozenset({204, 304})
"""Statuses whose answers have no body: a client would take it for the next answer."""

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers a function cannot set: they are the server's."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE: Final = re.compile(r"[^\0-\x08\x0a-\x1f\x7f]*")


class HttpReply(msgspec.Struct, frozen=True):
    """A response as the function means it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names are lower-case; `set-cookie` may come more than once."""
    body: bytes


def http_reply(payload: bytes) -> HttpReply | None:
    """The response a reply stands for; None for one that stands for none: 502."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        # A runtime may send what is no JSON: the body as it is.
        return HttpReply(200, (DEFAULT_TYPE,), payload)
    if isinstance(value, dict) and "statusCode" in value:
        return _response(value)
    body = value.encode() if isinstance(value, str) else _compact(payload)
    return HttpReply(200, (DEFAULT_TYPE,), body)


def plain_head(content_type: str) -> HttpReply | None:
    """The response of which only the body is streamed; None for one that cannot be sent: 502."""
    return _response({"statusCode": 200, "headers": {DEFAULT_TYPE[0]: content_type or STREAM_TYPE}})


def prelude_head(prelude: bytes) -> HttpReply | None:
    """The response a streamed body of `INTEGRATION` begins with; None for none: 502.

    `prelude` is what comes before `PRELUDE_END`: status, headers and cookies as JSON.
    """
    try:
        value = orjson.loads(prelude)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    head = {name: value.get(name) for name in ("headers", "cookies")}
    return _response({"statusCode": value.get("statusCode", 200), **head}, STREAM_TYPE)


def _compact(document: bytes) -> bytes:
    """JSON without its white space; what nests deeper than can be written again stays as it is."""
    try:
        return msgspec.json.format(document, indent=-1)
    except RecursionError:
        return document


def _response(value: dict[str, Any], content_type: str = DEFAULT_TYPE[1]) -> HttpReply | None:
    status = _status(value["statusCode"])
    headers = _headers(value.get("headers"))
    cookies = value.get("cookies")
    body = _body(value.get("body"), is_encoded=value.get("isBase64Encoded"))
    if status is None or headers is None or body is None:
        return None
    if cookies is not None:
        if not isinstance(cookies, list) or not all(map(_is_value, cookies)):
            return None
        headers += [("set-cookie", _on_the_wire(cookie)) for cookie in cookies]
    if not any(name == DEFAULT_TYPE[0] for name, _ in headers):
        headers.insert(0, (DEFAULT_TYPE[0], content_type))
    return HttpReply(status, tuple(headers), b"" if status in BODILESS else body)


def _status(given: Any) -> int | None:
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = int(given[:4])
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool):
        return None
    return given if STATUS_MIN <= given <= STATUS_MAX else None


def _headers(given: Any) -> list[tuple[str, str]] | None:
    if given is None:
        return []
    if not isinstance(given, dict):
        return None
    found = []
    for name, value in given.items():
        try:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
        except orjson.JSONEncodeError:
            return None  # it nests too deep to be written again
        if not _NAME.fullmatch(name) or not _is_value(text):
            return None
        if name.lower() not in HOP_BY_HOP:
            found.append((name.lower(), _on_the_wire(text)))
    return found


def _on_the_wire(text: str) -> str:
    """A value whose characters are its bytes in UTF-8, as headers are sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def _is_value(text: Any) -> bool:
    return isinstance(text, str) and _VALUE.fullmatch(text) is not None


def _body(given: Any, *, is_encoded: Any) -> bytes | None:
    if given is None:
        return b""
    if not isinstance(given, str):
        return None
    if not is_encoded:
        return given.encode("utf-8", "replace")
    try:
        return base64.b64decode(given, validate=True)
    except ValueError:
        return None
