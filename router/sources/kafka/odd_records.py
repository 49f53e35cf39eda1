"""Records that the client cannot read: a broker takes any bytes as the name of a header.

The client takes such a name for an error, and would never get past its record. Here those records
are asked for once more and read with U+FFFD in place of what is no UTF-8, as readers in Java do.
Only this much is read here; transactions, control records and checksums are the client's.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiokafka import codec, errors
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import TopicPartition

WAIT_MS: Final = 500

_LENGTH: Final = struct.Struct(">qi")
"""First offset, and bytes of a batch behind this."""
_BATCH: Final = struct.Struct(">qiibIhiqqqhii")
"""First offset, length, epoch, magic, CRC, attributes, last offset, first and last time, producer,
its epoch, sequence, records."""
_MAGIC: Final = 2
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08
_DECODERS: Final = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


class OddRecord(msgspec.Struct, frozen=True):
    """With the members the client's records have."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    checksum: None = None


def is_odd(error: Exception) -> bool:
    """Whether it is such a name that the client stumbled over."""
    return isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError)


async def read_odd(
    consumer: Any, place: TopicPartition, offset: int, records_max: int, bytes_max: int
) -> tuple[list[Any], int]:
    """Records from an offset on, and the next offset. Raises `KafkaError`."""
    # Its public calls stop at what it cannot decode: the broker is asked over its connections.
    client = consumer._client  # noqa: SLF001
    node = client.cluster.leader_for_partition(place)
    if node is None or node == -1:
        raise errors.LeaderNotAvailableError(place)
    wanted = [(place.topic, [(place.partition, offset, bytes_max)])]
    answer = await client.send(
        node, FetchRequest(WAIT_MS, 1, bytes_max, READ_COMMITTED, wanted, rack_id="")
    )
    ((_, ((_, code, _, *rest),)),) = answer.topics
    if code:
        raise errors.for_code(code)(place)
    aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
    batches = _Batches(bytes(rest[-1]))
    read = PartitionRecords(place, batches, aborted, offset, None, None, True, READ_COMMITTED)
    found: list[Any] = []
    try:
        for record in read:
            found.append(record)
            if len(found) == records_max:
                break
    except (ValueError, IndexError, struct.error) as error:
        if not found:
            raise errors.CorruptRecordException(f"{place}: {error!r}") from error
    return found, read.next_fetch_offset


class _Batches:
    """The batches of an answer; the last one may be cut, and is read the next time."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def has_next(self) -> bool:
        if len(self._data) < _BATCH.size:
            return False
        _, length = _LENGTH.unpack_from(self._data)
        return bool(_LENGTH.size + length <= len(self._data))

    def next_batch(self) -> "_Batch":
        _, length = _LENGTH.unpack_from(self._data)
        end = _LENGTH.size + length
        batch, self._data = self._data[:end], self._data[end:]
        return _Batch(batch)


class _Batch:
    """The client's batch, but for its records."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._batch: Any = DefaultRecordBatch(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[OddRecord]:
        return records_of(self._data)

    def __next__(self) -> Any:
        return next(self._batch)


def records_of(data: bytes) -> Iterator[OddRecord]:
    """The records of a batch (format 2). Raises `ValueError`, `IndexError`, `struct.error`."""
    base, _, _, magic, _, attributes, _, first_ms, last_ms, _, _, _, count = _BATCH.unpack_from(
        data
    )
    if magic != _MAGIC:
        raise ValueError(f"records of format {magic} have no headers")
    body = data[_BATCH.size :]
    if (decode := _DECODERS.get(attributes & _CODEC)) is not None:
        body = bytes(decode(body))
    is_appended = bool(attributes & _LOG_APPEND_TIME)
    reader = _Reader(body)
    for _ in range(count):
        reader.number()  # its length
        reader.take(1)
        since_ms = reader.number()
        offset = base + reader.number()
        key, value = reader.blob(), reader.blob()
        headers = tuple((_name(reader.blob()), reader.blob()) for _ in range(reader.number()))
        timestamp = last_ms if is_appended else first_ms + since_ms
        yield OddRecord(offset, timestamp, int(is_appended), key, value, headers)


def _name(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")


class _Reader:
    """Numbers and blobs from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """A zigzag varint."""
        number = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7

    def take(self, size_bytes: int) -> bytes:
        taken = self._data[self._at : self._at + size_bytes]
        if len(taken) < size_bytes:
            raise IndexError(size_bytes)
        self._at += size_bytes
        return taken

    def blob(self) -> bytes | None:
        """A length, -1 for none, and so many bytes."""
        size_bytes = self.number()
        return None if size_bytes < 0 else self.take(size_bytes)
