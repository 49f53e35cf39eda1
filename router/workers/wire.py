"""Frames between the router and an environment; pure, standard library only, used by both sides.

    length of what follows (4) │ kind (1) │ header length (4) │ header: JSON │ payload: bytes as is

The payload is never looked at. A frame that does not fit raises `FrameError`: the other side is
then not to be trusted with another byte.
"""

import struct

HEAD = struct.Struct(">IBI")
"""Length of what follows the first four bytes, kind, header length."""

HEAD_BYTES = HEAD.size
LENGTH_BYTES = 4
FIXED_BYTES = HEAD.size - LENGTH_BYTES
"""What `length` counts besides header and payload."""

HEADER_BYTES_MAX = 64 * 1024
"""Client context (3,583 bytes as base64), trace id, ids and ARN fit many times over."""

FRAME_BYTES_MAX = 6 * 1024 * 1024 + 100 + HEADER_BYTES_MAX + FIXED_BYTES
"""The largest reply of a handler (6,291,556 bytes) and a header."""

INVOKE = 1
"""Router → environment: header `{"id", "arn", "deadline_ms", …}`, payload: the event."""
READY = 2
"""Environment → router: the handler is loaded."""
INIT_FAILED = 3
"""Environment → router: loading failed; payload: the error document, header `{"type"}`."""
START_FAILED = 4
"""Environment → router: it could not lock itself in; header `{"text"}`."""
RESULT = 5
"""Environment → router: payload: what the handler returned, header `{"rss_kb"}`."""
ERROR = 6
"""Environment → router: payload: the error document, header `{"type", "rss_kb"}`."""
EXEC_FAILED = 7
"""Environment → router: there is no such program, or it cannot be run; header `{"text", "type"}`,
the type empty where it is the usual one."""
PROCESS = 8
"""Supervisor → router: header `{"name", "pid"}` of what it has launched, `{"name", "text",
"errno"}` of what it could not, `{"name", "status"}` of what has ended. The runtime has no name."""
ORDER = 9
"""Router → supervisor: header `{"do": "runtime"}`, to launch it, or `{"do": "signal", "name",
"signal"}`."""

KINDS = frozenset(
    {INVOKE, READY, INIT_FAILED, START_FAILED, RESULT, ERROR, EXEC_FAILED, PROCESS, ORDER}
)

Frame = tuple[int, bytes, bytes]
"""Kind, header, payload."""


class FrameError(Exception):
    """The bytes are not a frame."""


def encode(kind: int, header: bytes, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return begin(kind, header, len(payload)) + payload


def begin(kind: int, header: bytes, payload_bytes: int) -> bytes:
    """One frame up to its payload."""
    return HEAD.pack(FIXED_BYTES + len(header) + payload_bytes, kind, len(header)) + header


def check_head(length: int, kind: int, header_length: int) -> None:
    """Raise `FrameError` unless the three numbers can begin a frame."""
    if not FIXED_BYTES <= length <= FRAME_BYTES_MAX:
        raise FrameError(f"frame of {length} bytes")
    if kind not in KINDS:
        raise FrameError(f"frame kind {kind}")
    if header_length > HEADER_BYTES_MAX or header_length > length - FIXED_BYTES:
        raise FrameError(f"header of {header_length} bytes in a frame of {length}")


class FrameReader:
    """Cuts a byte stream into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the unfinished frame read so far."""
        return len(self._rest)

    def whole(self, chunk: bytes) -> Frame | None:
        """The frame that `chunk` is, as nearly always; None: it is for `feed`."""
        if self._rest or len(chunk) < HEAD_BYTES:
            return None
        length, kind, header_length = HEAD.unpack_from(chunk)
        body = HEAD_BYTES + header_length
        is_frame = (
            length + LENGTH_BYTES == len(chunk) <= FRAME_BYTES_MAX
            and kind in KINDS
            and header_length <= HEADER_BYTES_MAX
            and body <= len(chunk)
        )
        return (kind, chunk[HEAD_BYTES:body], chunk[body:]) if is_frame else None

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes, in order. Raises `FrameError`."""
        self._rest += chunk
        return self._cut()

    def _cut(self) -> list[Frame]:
        frames: list[Frame] = []
        start = 0
        rest = self._rest
        while len(rest) - start >= HEAD.size:
            length, kind, header_length = HEAD.unpack_from(rest, start)
            check_head(length, kind, header_length)
            end = start + LENGTH_BYTES + length
            if len(rest) < end:
                break
            body = start + HEAD.size + header_length
            frames.append((kind, bytes(rest[start + HEAD.size : body]), bytes(rest[body:end])))
            start = end
        if start:
            del rest[:start]
        return frames
