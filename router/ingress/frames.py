"""What the router and its ingress process say to each other, and how it looks on the socket pair.

    length of what follows (4) │ kind (1) │ MessagePack for records and answers, else JSON

The router trusts no frame: the ingress process reads what strangers send. No I/O.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from router.config import IngressSettings
from router.model.errors import RouterError
from router.model.function_url import UrlAnswer, UrlCall, UrlPart, UrlTaken
from router.model.limits import MIB
from router.model.webhook import WebhookSpec
from router.store.base import NewRecord

HEAD: Final = struct.Struct(">IB")
"""Length of what follows the first four bytes, kind."""

LENGTH_BYTES: Final = 4

FRAME_BYTES_MAX: Final = 96 * MIB
"""More than may wait for the disk (`ROUTER_STORE_WAITING_BYTES_MAX`) is never one frame's."""

ERROR_CHARACTERS_MAX: Final = 1_000

BEGIN, ROUTES, DRAIN, STOP, ASK, STORED, ANSWER, PART = 1, 2, 3, 4, 5, 6, 7, 8
"""Router → ingress process."""
READY, HEARD, APPEND, COUNTS, CALL, TAKEN = 65, 66, 67, 68, 69, 70
"""Ingress process → router."""


class FrameError(RouterError):
    """The other side does not keep to what is agreed; it is not to be trusted any further."""

    code = "frame_error"


class Begin(msgspec.Struct):
    """The first frame: all that the process needs besides routes."""

    listeners: list[int]
    """File descriptors of sockets that listen."""
    settings: IngressSettings
    waiting_bytes_max: int
    """Bytes of records that may be with the router and not stored yet."""
    log_level: str
    log_format: str


class Secret(msgspec.Struct, frozen=True):
    """What a reference stands for now."""

    value: str | None
    """None: it stands for nothing."""
    problem: str = ""
    """Why so, without any part of a secret."""


class Routes(msgspec.Struct):
    """What has changed; answered by `Heard` once it is in force."""

    version: int
    changed: list[WebhookSpec]
    removed: list[str]
    """ARNs."""
    secrets: dict[str, Secret]
    """Reference → what it stands for; those that changed."""
    forgotten: list[str]
    """References nobody uses any more."""


class Stop(msgspec.Struct):
    """Finish what has begun and end."""

    drain_s: float


class Ready(msgspec.Struct):
    """The process listens. `locks` is what it gave up."""

    locks: list[str]


class Heard(msgspec.Struct):
    """Routes are in force up to this version."""

    version: int


class Append(msgspec.Struct, array_like=True):
    """Records of the requests of one turn; answered by one `Stored`."""

    number: int
    singles: list[NewRecord]
    """Each kept or not by itself."""
    batches: list[list[NewRecord]]
    """Each kept whole or not at all."""


class Refused(msgspec.Struct, frozen=True):
    """Why nothing was kept: a `StoreError`'s code and text."""

    code: str
    text: str


class Stored(msgspec.Struct, array_like=True):
    """What became of an `Append`: all is durable that is not refused here.

    None: kept as it was asked. A text: known already, and the first one's event id.
    """

    number: int
    singles: list[str | Refused | None] | None = None
    """None: each was kept."""
    batches: list[list[str | None] | Refused] = []


class Cells(msgspec.Struct):
    """What a histogram's child observed since it was asked before."""

    counts: list[int]
    total: float


class Counts(msgspec.Struct):
    """What was counted since the process was asked before."""

    counters: list[tuple[int, list[str], float]]
    """Index in `tally.COUNTERS`, labels, increase."""
    durations: dict[str, Cells]
    """Webhook → `router_webhook_duration_seconds`."""
    connections: int
    stall_s: float
    """The longest time the process's loop was held up."""


_KIND_OF: Final[dict[type, int]] = {
    Begin: BEGIN,
    Routes: ROUTES,
    Stop: STOP,
    Stored: STORED,
    Ready: READY,
    Heard: HEARD,
    Append: APPEND,
    Counts: COUNTS,
    UrlCall: CALL,
    UrlAnswer: ANSWER,
    UrlPart: PART,
    UrlTaken: TAKEN,
}
_HOT: Final = frozenset({APPEND, STORED, CALL, ANSWER, PART, TAKEN})
"""Kinds in MessagePack, which has no numbers as large as the hash ranges of a webhook's shards."""

_DECODERS: Final[dict[int, Callable[[memoryview], Any]]] = {
    kind: (msgspec.msgpack if kind in _HOT else msgspec.json).Decoder(shape).decode
    for shape, kind in _KIND_OF.items()
}
_BARE: Final = frozenset({DRAIN, ASK})
"""Kinds that say it all."""

_encode_hot = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder().encode


def encode(message: Any) -> bytes:
    """A message as a frame. Raises `FrameError` for one that is too large."""
    if isinstance(message, int):
        return HEAD.pack(1, message)
    kind = _KIND_OF[type(message)]
    body = (_encode_hot if kind in _HOT else _encode)(message)
    if len(body) >= FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {len(body)} bytes")
    return HEAD.pack(1 + len(body), kind) + body


def decode(kind: int, body: memoryview) -> Any:
    """The message of a frame; a bare kind is itself. Raises `FrameError`."""
    try:
        return _DECODERS[kind](body)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if kind in _BARE and not body:
            return kind
        # The text of an error may show what was sent.
        raise FrameError(f"kind {kind}: {type(error).__name__}") from None


class FrameReader:
    """Cuts a byte stream into frames and hands each on. Holds at most one unfinished frame."""

    def __init__(self, on_frame: Callable[[int, memoryview], None]) -> None:
        """`on_frame` must be done with the bytes when it returns."""
        self._on_frame = on_frame
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Read on. Raises `FrameError`."""
        if not self._rest:
            if len(chunk) >= HEAD.size:
                length, kind = HEAD.unpack_from(chunk)
                if len(chunk) == length + LENGTH_BYTES <= FRAME_BYTES_MAX:
                    # Nearly always: one chunk is one frame.
                    self._on_frame(kind, memoryview(chunk)[HEAD.size :])
                    return
            used = self._cut(chunk)
            if used < len(chunk):
                self._rest += memoryview(chunk)[used:]
            return
        self._rest += chunk
        rest, self._rest = self._rest, bytearray()
        if len(rest) >= HEAD.size and len(rest) < LENGTH_BYTES + _length(rest, 0):
            self._rest = rest  # still growing: nothing is copied before it is whole
            return
        used = self._cut(rest)
        self._rest = rest[used:] + self._rest

    def _cut(self, data: bytes | bytearray) -> int:
        start, size = 0, len(data)
        with memoryview(data) as view:
            while size - start >= HEAD.size:
                length, kind = HEAD.unpack_from(data, start)
                end = start + LENGTH_BYTES + _checked(length)
                if end > size:
                    break
                with view[start + HEAD.size : end] as body:
                    self._on_frame(kind, body)
                start = end
        return start


def _length(data: bytes | bytearray, start: int) -> int:
    return _checked(HEAD.unpack_from(data, start)[0])


def _checked(length: int) -> int:
    if not 1 <= length <= FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {length} bytes")
    return length
