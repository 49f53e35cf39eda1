"""Reads the partitions of a member for the engine: when asked, from where it says."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from router.mapping.budget import Aside
from router.model.record import Fetched, Record
from router.sources.kafka import event
from router.sources.kafka.problem import OutOfRange


class Reader(Protocol):
    """`member.Member`."""

    async def read(
        self, partition: str, offset: int, records_max: int, wait_ms: int
    ) -> tuple[Sequence[Any], int]:
        """Records from an offset on, and the next offset. Raises `OutOfRange`, `RouterError`."""


class _Partition:
    """What was read of it and is not asked for yet: one answer's rest, at most."""

    __slots__ = ("given_to", "left", "left_next", "record_bytes", "writer")

    def __init__(self, name: str) -> None:
        self.writer = event.RecordWriter(*event.split_name(name))
        self.left: deque[Any] = deque()
        self.given_to = -1
        """How far it was handed out. A fetch whose records nobody took is asked for again."""
        self.left_next = 0
        """The offset behind the last of `left`."""
        self.record_bytes = 1
        """What its records took on average when they were given out last."""


class KafkaSource:
    """Implements `Source`. A position is an offset; nothing is finished below the first one."""

    def __init__(
        self,
        reader: Reader,
        wall_ms: Callable[[], int],
        on_begun_anew: Callable[[str, int], None],
    ) -> None:
        """`on_begun_anew` hears of a partition that was made anew, and where it begins.

        Such a one ends before the place where it is read.
        """
        self._reader = reader
        self._wall_ms = wall_ms
        self._on_begun_anew = on_begun_anew
        self._partitions: dict[str, _Partition] = {}

    def forget(self) -> None:
        """All partitions were revoked."""
        self._partitions.clear()

    async def fetch(
        self, shard: str, after: int, records_max: int, bytes_max: int, wait_ms: int, aside: Aside
    ) -> Fetched:
        """Records after a position; see `Source.fetch`. Raises `RouterError`."""
        partition = self._partitions.get(shard)
        if partition is None:
            partition = self._partitions[shard] = _Partition(shard)
        left = partition.left
        if after != partition.given_to:
            left.clear()
        if not left:
            # What will not fit stays with the client, as the broker sent it.
            fitting = max(1, min(records_max, bytes_max // partition.record_bytes))
            try:
                found, following = await self._reader.read(shard, after + 1, fitting, wait_ms)
            except OutOfRange as error:
                return self._out_of_range(shard, after, error)
            if not found:
                return Fetched((), max(after, following - 1))
            left.extend(found)
            # Each goes as soon as it is JSON, so that what follows finds its memory, still warm.
            del found
            partition.left_next = following
        records = self._take(partition, records_max, aside.take(bytes_max))
        partition.given_to = records[-1].position if left else partition.left_next - 1
        return Fetched(records, partition.given_to)

    def _take(self, partition: _Partition, records_max: int, bytes_max: int) -> list[Record]:
        """From what was read: at least one, and no more than fits."""
        left, size_bytes = partition.left, 0
        taken: list[Record] = []
        while left and len(taken) < records_max:
            record = self._record(partition.writer, left[0])
            size_bytes += record.size_bytes
            if taken and size_bytes > bytes_max:
                break
            left.popleft()
            taken.append(record)
        partition.record_bytes = sum(it.size_bytes for it in taken) // len(taken)
        return taken

    def _record(self, writer: event.RecordWriter, found: Any) -> Record:
        key: bytes | None = found.key
        # Records of the oldest format have no time, nor a kind of it.
        timestamp_ms: int = -1 if found.timestamp is None else found.timestamp
        data = writer.json(
            found.offset, timestamp_ms, found.timestamp_type, key, found.value, found.headers
        )
        return Record(
            found.offset,
            # Without a key there is nothing to keep in order: those records spread over the lanes.
            str(found.offset) if key is None else key.decode("latin-1"),
            # Without a time a record is as old as its reading.
            timestamp_ms if timestamp_ms >= 0 else self._wall_ms(),
            len(data) + event.COMMA_BYTES,
            data,
        )

    def _out_of_range(self, shard: str, after: int, found: OutOfRange) -> Fetched:
        """Trimmed by retention: go on at what is left. Made anew: begin there."""
        if after + 1 < found.first:
            return Fetched((), found.first - 1)
        if after + 1 > found.end:
            self._on_begun_anew(shard, found.first)
        return Fetched((), after)
