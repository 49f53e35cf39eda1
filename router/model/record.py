"""A record as read from a source."""

from collections.abc import Sequence

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of one shard.

    `position` orders the records of a shard. `data` is the source's own part of the event
    record: for a webhook the JSON members after `sequenceNumber`, without the opening brace
    (`sources/webhook_event.py`). `size_bytes` is what the record takes in the event JSON,
    commas included; it is never too small. Thousands are held and none refers to anything that
    could refer back, so the garbage collector need not look at them.
    """

    position: int
    key: str
    arrival_ms: int
    """Wall clock, epoch milliseconds."""
    size_bytes: int
    data: bytes
    event_id: str = ""


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """What a read of a shard brought: records in order, and how far it was read."""

    records: Sequence[Record]
    read_to: int
    """Highest position known to hold nothing unread at or below it."""
    is_end: bool = False
    """The shard is closed, and nothing is behind `read_to`."""
