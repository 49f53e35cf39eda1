"""Frames of `application/vnd.amazon.eventstream` (`functions-and-invocation.md` 6.6).

length in all (4) │ length of headers (4) │ CRC-32 of both (4) │ headers │ payload │ CRC-32 (4)
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import orjson

from router.model.limits import MIB

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

CHUNK_BYTES_MAX: Final = MIB
"""Clients take frames of up to 16 MiB; smaller ones need less of their memory."""

_STRING: Final = 7
_PRELUDE: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_OVERHEAD_BYTES: Final = _PRELUDE.size + 2 * _CRC.size


def payload_chunks(data: bytes) -> Iterator[bytes]:
    """`PayloadChunk` events of a reply, or of a piece of one; none of nothing."""
    for start in range(0, len(data), CHUNK_BYTES_MAX):
        piece = data[start : start + CHUNK_BYTES_MAX]
        yield _event("PayloadChunk", "application/octet-stream", piece)


def invoke_complete(members: dict[str, Any]) -> bytes:
    """The `InvokeComplete` event, which comes once and last.

    `members`: ErrorCode, ErrorDetails and LogResult, those that there are.
    """
    return _event("InvokeComplete", "application/json", orjson.dumps(members))


def _event(kind: str, content_type: str, payload: bytes) -> bytes:
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":message-type", "event"),
            (":event-type", kind),
            (":content-type", content_type),
        )
    )
    total = _OVERHEAD_BYTES + len(headers) + len(payload)
    prelude = _PRELUDE.pack(total, len(headers))
    whole = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), headers, payload))
    return whole + _CRC.pack(zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(f">B{len(key)}sBH{len(text)}s", len(key), key, _STRING, len(text), text)
