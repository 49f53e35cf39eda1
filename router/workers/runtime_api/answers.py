"""What the Runtime API answers, as bytes ready to be sent (`functions-and-invocation.md` 8.1)."""

from http import HTTPStatus
from typing import Final

import msgspec
import orjson

from router.model.limits import MIB
from router.model.sink import Sink

RESPONSE_BYTES_MAX: Final = 6 * MIB + 100
"""Largest result, 6,291,556 bytes (Lambda quota)."""

STREAM_BYTES_MAX: Final = 200 * MIB
"""Largest streamed result (Lambda quota)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def answer(
    status: int, body: bytes, content_type: str = "application/json", headers: str = ""
) -> bytes:
    """A whole answer. The content type is exactly this: a charset makes clients see bytes.

    `headers` are further lines, each with its end.
    """
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def refusal(status: int, error_type: str, text: str) -> bytes:
    """An answer that says what was wrong with the call."""
    return answer(status, orjson.dumps({"errorMessage": text, "errorType": error_type}))


ACCEPTED: Final = answer(202, b'{"status":"OK"}')
PONG: Final = answer(200, b"pong", "text/plain; charset=utf-8")
NOT_FOUND: Final = answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
NOT_ALLOWED: Final = answer(405, b"", "text/plain; charset=utf-8")
MALFORMED: Final = answer(400, b"400 Bad Request", "text/plain; charset=utf-8")
HEAD_TOO_LARGE: Final = answer(431, b"431 Request Header Fields Too Large", "text/plain")

UNKNOWN_ID: Final = refusal(400, "InvalidRequestID", "Invalid request ID")
UNKNOWN_MODE: Final = refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
TRUNCATED: Final = refusal(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
TOO_LARGE: Final = refusal(
    413,
    "RequestEntityTooLarge",
    f"Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes).",
)


def not_allowed(error: Exception) -> bytes:
    """The call does not fit the state; `error` has Lambda's text."""
    return refusal(403, "InvalidStateTransition", str(error))


_FURTHER_LINES: Final = {
    "trace": "Lambda-Runtime-Trace-Id: ",
    "client": "Lambda-Runtime-Client-Context: ",
    "tenant": "Lambda-Runtime-Aws-Tenant-Id: ",
}
"""Member of an INVOKE frame's header → how its line begins."""


class Event(msgspec.Struct, frozen=True):
    """One invocation, as the answer to `next`."""

    request_id: str
    head: bytes
    payload: bytes
    sink: Sink | None = None
    """Takes the response if the runtime streams it."""


def event(
    header: dict[str, object], payload: bytes, deadline_ms: int, sink: Sink | None = None
) -> Event:
    """The answer to `next`. Members of `header` as in an INVOKE frame; empty ones are left out.

    `deadline_ms` is epoch milliseconds: clients stop for good at one that is not in the future.
    """
    request_id = str(header["id"])
    more = ""
    for member, line in _FURTHER_LINES.items():
        if value := header.get(member):
            more += f"{line}{_one_line(value)}\r\n"
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {_one_line(header['arn'])}\r\n"
        f"{more}Content-Length: {len(payload)}\r\n\r\n"
    )
    return Event(request_id, head.encode(), payload, sink)


def extension_event(payload: bytes, identifier: str) -> Event:
    """An event as the answer to an extension's `next`."""
    line = f"Lambda-Extension-Event-Identifier: {identifier}\r\n"
    return Event(identifier, answer(200, payload, headers=line), b"")


def _one_line(value: object) -> str:
    """A header's value. Line breaks mean nothing in JSON, and would end the header."""
    text = str(value)
    return text if text.isprintable() else "".join(" " if c in "\r\n\0" else c for c in text)
