"""What was committed a moment ago, kept in memory for the mappings that will ask for it now.

Bounded in bytes, in total and per shard. The longest tail gives way first, so a busy stream
never pushes a quiet one to the disk.
"""

from collections.abc import Sequence
from typing import Final

from router.model.record import Fetched, Record

TAIL_BYTES_MAX: Final = 64 << 20
"""All tails together."""

SHARD_TAIL_BYTES_MAX: Final = 16 << 20
"""One shard's tail."""

RECORD_OVERHEAD_BYTES: Final = 400
"""What a record takes beside its data."""

KEEP: Final = 0.75
"""A tail over its bound is cut to this share of it, so that cutting is rare."""


class ShardTail:
    """The last records of one shard, without gaps, up to the last one committed."""

    __slots__ = ("is_closed", "last", "records", "size_bytes")

    def __init__(self, last: int, *, is_closed: bool = False) -> None:
        self.last = last
        """Position of the shard's last committed record."""
        self.is_closed = is_closed
        """That record is the last one for ever."""
        self.records: list[Record] = []
        self.size_bytes = 0

    def after(self, position: int) -> int | None:
        """Index of the first record after a position; None when it is no longer here."""
        index = position + 1 - (self.last - len(self.records) + 1)
        return None if index < 0 else index

    def cut(self, bytes_max: int) -> None:
        """Let go of the oldest records until the rest fits."""
        gone, size_bytes = 0, self.size_bytes
        while size_bytes > bytes_max and gone < len(self.records):
            size_bytes -= held_bytes(self.records[gone])
            gone += 1
        self._let_go(gone)

    def trim(self, up_to: int) -> None:
        """Let go of the records up to a position."""
        self._let_go(min(len(self.records), max(0, self.after(up_to) or 0)))

    def _let_go(self, count: int) -> None:
        self.size_bytes -= sum(map(held_bytes, self.records[:count]))
        del self.records[:count]


def held_bytes(record: Record) -> int:
    """Memory a record takes here."""
    return len(record.data) + RECORD_OVERHEAD_BYTES


class Tails:
    """All shards' tails. Used in the loop only."""

    def __init__(
        self, bytes_max: int = TAIL_BYTES_MAX, shard_bytes_max: int = SHARD_TAIL_BYTES_MAX
    ) -> None:
        self._bytes_max = bytes_max
        self._shard_bytes_max = shard_bytes_max
        self._tails: dict[tuple[str, str], ShardTail] = {}
        self.size_bytes = 0

    def push(self, key: tuple[str, str], records: Sequence[Record]) -> None:
        """Add records just committed to a shard, in order."""
        tail = self._tails.get(key)
        if tail is None or tail.last + 1 != records[0].position:
            self._drop(key)
            tail = self._tails[key] = ShardTail(records[0].position - 1)
        before = tail.size_bytes
        tail.records.extend(records)
        tail.last = records[-1].position
        tail.size_bytes += sum(map(held_bytes, records))
        if tail.size_bytes > self._shard_bytes_max:
            tail.cut(int(self._shard_bytes_max * KEEP))
        self.size_bytes += tail.size_bytes - before
        if self.size_bytes > self._bytes_max:
            self._cut()

    def learn(self, key: tuple[str, str], last: int, *, is_closed: bool) -> None:
        """Note where an unknown shard ends, so that asking for more needs no disk."""
        if key not in self._tails:
            self._tails[key] = ShardTail(last, is_closed=is_closed)

    def close(self, key: tuple[str, str], last: int) -> None:
        """The shard is closed, with this last position.

        It is known from here on, so that a read under way cannot teach that it is still open.
        """
        tail = self._tails.get(key)
        if tail is None or tail.last != last:
            self._drop(key)
            tail = self._tails[key] = ShardTail(last)
        tail.is_closed = True

    def read(
        self, key: tuple[str, str], after: int, records_max: int, bytes_max: int
    ) -> Fetched | None:
        """As `StreamStore.read`; None when the disk must be asked."""
        tail = self._tails.get(key)
        if tail is None or (start := tail.after(after)) is None:
            return None
        if start >= len(tail.records):
            return Fetched([], max(after, tail.last), tail.is_closed)
        found = take(tail.records[start : start + records_max], bytes_max)
        read_to = found[-1].position
        return Fetched(found, read_to, tail.is_closed and read_to == tail.last)

    def trim(self, key: tuple[str, str], up_to: int) -> None:
        """Records up to a position were removed from the disk: let go of them here too."""
        tail = self._tails.get(key)
        if tail is None:
            return
        before = tail.size_bytes
        tail.trim(up_to)
        self.size_bytes += tail.size_bytes - before

    def forget(self, stream: str) -> None:
        """The stream was dropped."""
        for key in [key for key in self._tails if key[0] == stream]:
            self._drop(key)

    def forget_before(self, stream: str, name: str) -> None:
        """The stream's shards below a name are forgotten."""
        for key in [key for key in self._tails if key[0] == stream and key[1] < name]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        tail = self._tails.pop(key, None)
        if tail is not None:
            self.size_bytes -= tail.size_bytes

    def _cut(self) -> None:
        while self.size_bytes > self._bytes_max * KEEP:
            longest = max(self._tails.values(), key=lambda tail: tail.size_bytes)
            before = longest.size_bytes
            longest.cut(before // 2)
            self.size_bytes += longest.size_bytes - before


def take(records: list[Record], bytes_max: int) -> list[Record]:
    """As many of the first records as fit, at least one."""
    size_bytes = 0
    for count, record in enumerate(records):
        size_bytes += record.size_bytes
        if size_bytes > bytes_max and count:
            return records[:count]
    return records
