"""What the client makes of an answer of a broker, as far as it is told to make something else."""

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from router.sources.kafka import member

HEADERS = [("trace", b"abc"), ("none", None)]


def parsed(built):
    """By the client's own way from a fetch's bytes to records."""
    assert PartitionRecords._consumer_record is member._as_parsed
    place = TopicPartition("t", 0)
    return list(PartitionRecords(place, MemoryRecords(bytes(built)), [], 0, None, None, True, 1))


def members(record):
    names = ("offset", "timestamp", "timestamp_type", "key", "value", "headers")
    return tuple(getattr(record, name) for name in names)


def test_records_are_handed_on_as_they_are_parsed():
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0,
        producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=9_999,
    )  # fmt: skip
    builder.append(0, timestamp=5, key=b"k", value=b"v", headers=HEADERS)
    builder.append(1, timestamp=6, key=None, value=None, headers=[])
    first, second = parsed(builder.build())
    assert members(first) == (0, 5, 0, b"k", b"v", HEADERS)
    assert members(second) == (1, 6, 0, None, None, [])
    assert not isinstance(first, ConsumerRecord)  # or the client has another way by now


def test_the_oldest_format_has_no_time_and_no_headers():
    builder = LegacyRecordBatchBuilder(magic=0, compression_type=0, batch_size=9_999)
    builder.append(0, timestamp=-1, key=None, value=b"v", headers=[])
    (record,) = parsed(builder.build())
    assert members(record) == (0, None, None, None, b"v", [])
