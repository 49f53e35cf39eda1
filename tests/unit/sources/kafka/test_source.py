"""Partitions read for the engine: nothing skipped, whatever is cut short (D1, L2)."""

from typing import NamedTuple

import orjson

from router.mapping.budget import Aside, Budget
from router.model.limits import MIB
from router.sources.kafka.problem import OutOfRange
from router.sources.kafka.source import KafkaSource


class Found(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int | None
    timestamp_type: int | None
    headers: tuple[()]


def found(offset: int, size: int = 1, key: bytes | None = b"k", timestamp: int = 7) -> Found:
    return Found(offset, key, b"x" * size, timestamp, 0, ())


class Log:
    """A partition with some offsets missing, as a compacted one."""

    def __init__(self, *offsets: int, size: int = 1, end: int | None = None) -> None:
        self.records = [found(offset, size) for offset in offsets]
        self.end = offsets[-1] + 1 if end is None else end
        self.asked: list[int] = []
        self.wanted: list[int] = []
        self.refusal: Exception | None = None

    async def read(self, partition, offset, records_max, wait_ms):
        self.asked.append(offset)
        self.wanted.append(records_max)
        if self.refusal is not None:
            raise self.refusal
        records = [it for it in self.records if it.offset >= offset][:records_max]
        return records, records[-1].offset + 1 if records else max(offset, self.end)


class Bed:
    def __init__(self, log: Log) -> None:
        self.anew: list[tuple[str, int]] = []
        self.source = KafkaSource(log, lambda: 99, lambda *it: self.anew.append(it))

    async def fetch(self, after: int, records_max: int = 100, bytes_max: int = MIB):
        aside = Aside(Budget())
        try:
            return await self.source.fetch("t-0", after, records_max, bytes_max, 0, aside)
        finally:
            aside.give_back()


async def test_records_become_records_of_the_engine():
    bed = Bed(Log(0))
    (record,) = (await bed.fetch(-1)).records
    assert (record.position, record.key, record.arrival_ms) == (0, "k", 7)
    assert record.size_bytes == len(record.data) + 1


async def test_without_a_key_each_record_goes_its_own_way():
    log = Log(4)
    log.records = [found(4, key=None), found(5, key=b"\xff\x00")]
    assert [it.key for it in (await Bed(log).fetch(3)).records] == ["4", "\xff\x00"]


async def test_a_record_without_a_time_is_as_old_as_its_reading():
    log = Log(0)
    log.records = [found(0, timestamp=-1), Found(1, None, b"", None, None, ())]
    named, oldest_format = (await Bed(log).fetch(-1)).records
    assert (named.arrival_ms, oldest_format.arrival_ms) == (99, 99)
    shown = orjson.loads(oldest_format.data)
    assert (shown["timestamp"], shown["timestampType"]) == (-1, "NO_TIMESTAMP_TYPE")


async def test_gaps_of_compaction_and_of_transactions_move_the_position():
    bed = Bed(Log(3, 9, end=12))
    first = await bed.fetch(-1)
    assert ([it.position for it in first.records], first.read_to) == ([3, 9], 9)
    assert (await bed.fetch(9)).read_to == 11


async def test_l2_what_does_not_fit_waits_and_is_given_next():
    log = Log(0, 1, 2, size=1_000)
    bed = Bed(log)
    for position in (0, 1, 2):
        fetched = await bed.fetch(position - 1, bytes_max=1_500)
        assert ([it.position for it in fetched.records], fetched.read_to) == ([position], position)
    assert log.asked == [0]


async def test_l2_once_the_size_of_records_is_known_no_more_are_asked_for_than_fit():
    log = Log(*range(50), size=1_000)
    bed = Bed(log)
    first = await bed.fetch(-1, records_max=4)
    size_bytes = first.records[0].size_bytes
    again = await bed.fetch(3, bytes_max=10 * (size_bytes + 1))
    assert (len(again.records), again.read_to) == (10, 13)
    assert (await bed.fetch(13, bytes_max=1)).read_to == 14
    assert log.wanted == [4, 10, 1]


async def test_d1_a_fetch_whose_records_nobody_took_is_read_again():
    log = Log(0, 1, 2, size=1_000)
    bed = Bed(log)
    await bed.fetch(-1, bytes_max=1_500)
    again = await bed.fetch(-1, bytes_max=1_500)
    assert [it.position for it in again.records] == [0]
    assert log.asked == [0, 0]


async def test_what_was_read_of_another_life_is_forgotten():
    log = Log(0, 1, size=1_000)
    bed = Bed(log)
    await bed.fetch(-1, bytes_max=1_500)
    bed.source.forget()
    await bed.fetch(0)
    assert log.asked == [0, 1]


async def test_trimmed_records_are_skipped():
    log = Log(10)
    log.refusal = OutOfRange(10, 11)
    bed = Bed(log)
    assert (await bed.fetch(3)).read_to == 9
    assert bed.anew == []


async def test_a_partition_that_ends_before_its_position_was_made_anew():
    log = Log(0)
    log.refusal = OutOfRange(0, 1)
    bed = Bed(log)
    assert (await bed.fetch(41)).read_to == 41
    assert bed.anew == [("t-0", 0)]
