"""The event a function gets from a webhook stream (`design.md` 5).

What is known when a request is accepted is built once, as JSON text, and stored: the members
after `sequenceNumber`, without the opening brace. Building an event only splices: no record is
ever parsed or serialised again. Pure.
"""

import base64
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import orjson

from router.model.record import Record

EVENT_SOURCE: Final = "router:webhook"

EVENT_HEAD: Final = b'{"Records":['
EVENT_TAIL: Final = b"]}"
EVENT_FRAME_BYTES: Final = len(EVENT_HEAD) + len(EVENT_TAIL)
"""What an event takes besides its records."""

POSITION_DIGITS_MAX: Final = 19
"""Digits of the largest position a store counts to (2⁶³ − 1)."""

SHARD_ID_BYTES: Final = 20
"""`shardId-` and twelve digits."""

_IDENTITY_BYTES: Final = len(b'{"eventID":":","sequenceNumber":"",,')
RECORD_FRAME_BYTES: Final = _IDENTITY_BYTES + SHARD_ID_BYTES + 2 * POSITION_DIGITS_MAX
"""What a record takes besides its fragment, at most, the comma after it included."""


def origin_members(arn: str) -> bytes:
    """The members every record of a webhook begins with; made once per webhook."""
    return b'"eventSource":"%b","eventSourceARN":%b,"partitionKey":' % (
        EVENT_SOURCE.encode(),
        orjson.dumps(arn),
    )


def join_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value per name; the values of a repeated name joined by commas, in order."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def body_text(body: bytes) -> str | None:
    """The body as text; None when it is not UTF-8 and must travel as base64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def build_fragment(
    origin: bytes,
    *,
    key: str,
    arrival_ms: int,
    body: bytes,
    text: str | None,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    method: str,
    path: str,
    source_ip: str,
) -> bytes:
    """JSON members of one record after `sequenceNumber`, closing brace included.

    `origin` comes from `origin_members`, `text` from `body_text`. Headers and query parameters
    are always members, empty when there are none.
    """
    parts = (
        origin,
        orjson.dumps(key),
        b',"approximateArrivalTimestamp":%d.%03d,"body":' % divmod(arrival_ms, 1000),
        orjson.dumps(base64.b64encode(body).decode() if text is None else text),
        _ENCODED if text is None else _PLAIN,
        orjson.dumps(headers),
        b',"queryStringParameters":',
        orjson.dumps(query) if query else b"{}",
        _last_members(method, path, source_ip),
    )
    return b"".join(parts)


_PLAIN: Final = b',"isBase64Encoded":false,"headers":'
_ENCODED: Final = b',"isBase64Encoded":true,"headers":'

ENDINGS_KEPT: Final = 1_024
"""How many different ends of fragments are remembered: a sender's are all alike."""


@lru_cache(maxsize=ENDINGS_KEPT)
def _last_members(method: str, path: str, source_ip: str) -> bytes:
    members = {"httpMethod": method, "path": path, "sourceIp": source_ip}
    return b",%b" % orjson.dumps(members)[1:]


def record_size_bytes(fragment: bytes) -> int:
    """What the record takes in the event JSON; never too small."""
    return RECORD_FRAME_BYTES + len(fragment)


def event_record(shard: str, record: Record) -> bytes:
    """One record of an event as JSON."""
    return b'{"eventID":"%b:%d","sequenceNumber":"%d",%b' % (
        shard.encode(),
        record.position,
        record.position,
        record.data,
    )


def build_event(records: Iterable[Record], shard: str, tail: bytes = EVENT_TAIL) -> bytes:
    """The event JSON of a batch of one shard; `tail` begins where the records end."""
    head = b'{"eventID":"%b:' % shard.encode()
    # Joined at once, because another block of this size would cost more than all else here.
    parts = [EVENT_HEAD]
    for record in records:
        position = record.position
        parts += (b'%b%d","sequenceNumber":"%d",' % (head, position, position), record.data, b",")
    if len(parts) > 1:
        parts.pop()
    parts.append(tail)
    return b"".join(parts)
