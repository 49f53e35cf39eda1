"""What every store promises about streams."""

import asyncio

from router.model.record import Fetched, Record
from router.store.base import StreamStats
from tests.unit.store.support import STREAM, record

MANY = 1 << 40


async def ids(store, after=0, shard="0"):
    return [
        r.event_id for r in (await store.streams.read(STREAM, shard, after, 1_000, MANY)).records
    ]


async def test_positions_start_at_one_and_grow_by_one_per_shard(store):
    appended = await asyncio.gather(
        *(store.streams.append(record(f"e{n}", shard=str(n % 3))) for n in range(30))
    )
    for shard in range(3):
        assert [a.position for a in appended[shard::3]] == list(range(1, 11))
        assert await ids(store, shard=str(shard)) == [f"e{n}" for n in range(shard, 30, 3)]


async def test_a_record_comes_back_as_it_went_in(backend):
    store = backend.make()
    await store.open()
    await store.streams.append(record("e1", data=b'\x00"\xff', size_bytes=77, arrival_ms=5))
    expected = [Record(1, "key of 'e1'", 5, 77, b'\x00"\xff', "e1")]
    assert await store.streams.read(STREAM, "0", 0, 10, MANY) == Fetched(expected, 1)
    await store.close()
    await store.open()  # from the disk now
    assert await store.streams.read(STREAM, "0", 0, 10, MANY) == Fetched(expected, 1)
    await store.close()


async def test_reads_are_bounded_but_never_empty_when_there_is_a_record(backend):
    store = backend.make()
    await store.open()
    for n in range(6):
        await store.streams.append(record(f"e{n}", size_bytes=100))
    for _from in ("memory", "disk"):
        read = store.streams.read
        assert len((await read(STREAM, "0", 0, 4, MANY)).records) == 4
        assert len((await read(STREAM, "0", 0, 10, 250)).records) == 2
        assert len((await read(STREAM, "0", 2, 10, 1)).records) == 1
        assert (await read(STREAM, "0", 2, 1, MANY)).read_to == 3
        await store.close()
        await store.open()
    await store.close()


async def test_a_read_starts_right_after_any_position(backend):
    store = backend.make()
    await store.open()
    await asyncio.gather(*(store.streams.append(record(f"e{n}")) for n in range(1, 9)))
    for _from in ("memory", "disk"):
        for after in range(9):
            assert await ids(store, after) == [f"e{n}" for n in range(after + 1, 9)]
        await store.close()
        await store.open()
    await store.close()


async def test_what_was_trimmed_is_read_no_more(store):
    await asyncio.gather(*(store.streams.append(record(f"e{n}", arrival_ms=n)) for n in range(5)))
    assert await store.streams.trim(STREAM, 3, {}) == (3, 3)
    assert await ids(store) == ["e3", "e4"]


async def test_an_empty_read_says_how_far_it_looked(store):
    assert await store.streams.read(STREAM, "0", 0, 10, MANY) == Fetched([], 0)
    assert await store.streams.read(STREAM, "0", 7, 10, MANY) == Fetched([], 7)
    await store.streams.append(record("e1", arrival_ms=10))
    await store.streams.append(record("e2", arrival_ms=10))
    assert await store.streams.read(STREAM, "0", 2, 10, MANY) == Fetched([], 2)


async def test_what_was_trimmed_counts_as_read(backend):
    """A checkpoint moves over trimmed records, else it would stand still for ever."""
    store = backend.make()
    await store.open()
    await store.streams.append(record("e1", arrival_ms=10))
    await store.streams.append(record("e2", arrival_ms=20))
    await store.streams.trim(STREAM, 100, {})
    await store.close()
    await store.open()
    assert await store.streams.read(STREAM, "0", 0, 10, MANY) == Fetched([], 2)
    await store.close()


async def test_an_arrival_that_was_trimmed_does_not_stand_for_those_that_follow(store):
    """T1: the clock ran ahead, was set back, and the shard was empty in between."""
    await store.streams.append(record("ahead", arrival_ms=900))
    assert await store.streams.trim(STREAM, 901, {}) == (1, 1)
    for n, arrival_ms in enumerate((100, 110, 200)):
        await store.streams.append(record(f"e{n}", arrival_ms=arrival_ms))
    assert await store.streams.position_at(STREAM, "0", 150) == 3
    assert await store.streams.trim(STREAM, 150, {}) == (2, 2)
    assert await ids(store, after=3) == ["e2"]


async def test_a_trimmed_position_is_never_given_again(backend):
    """`design.md` 7a: a record below the checkpoint would be lost."""
    store = backend.make()
    await store.open()
    for n in range(5):
        await store.streams.append(record(f"e{n}", arrival_ms=n))
    assert await store.streams.trim(STREAM, 100, {"0": 3}) == (5, 2)
    await store.close()
    await store.open()
    assert (await store.streams.append(record("e5"))).position == 6
    assert await ids(store) == ["e5"]
    await store.close()


async def test_trim_removes_what_arrived_before_and_counts_the_unfinished(store):
    await asyncio.gather(
        *(store.streams.append(record(f"e{n}", arrival_ms=100 * n)) for n in range(10)),
        *(store.streams.append(record(f"f{n}", shard="1", arrival_ms=500)) for n in range(3)),
    )
    assert await store.streams.trim(STREAM, 0, {}) == (0, 0)
    assert await store.streams.trim(STREAM, 400, {"0": 9, "1": 0}) == (4, 0)
    assert await ids(store, shard="1") == ["f0", "f1", "f2"]
    assert await store.streams.trim(STREAM, 501, {"0": 4}) == (5, 5)
    assert await store.streams.stats(STREAM) == [
        StreamStats("0", 10, 7, 600),
        StreamStats("1", 3, 4, None),
    ]


async def test_a_duplicate_appends_nothing_and_names_the_first(store):
    def sent(event_id, arrival_ms, shard="0"):
        return record(
            event_id, shard=shard, arrival_ms=arrival_ms, dedup_key="k", dedup_until_ms=2_000
        )

    first = await store.streams.append(sent("e1", 1_000))
    again = await store.streams.append(sent("e2", 1_500))
    elsewhere = await store.streams.append(sent("e3", 2_000, shard="1"))
    assert (first.event_id, first.position, first.is_duplicate) == ("e1", 1, False)
    assert (again.event_id, again.position, again.is_duplicate) == ("e1", 0, True)
    assert (elsewhere.event_id, elsewhere.is_duplicate) == ("e1", True)
    late = await store.streams.append(sent("e4", 2_001))
    assert (late.event_id, late.position, late.is_duplicate) == ("e4", 2, False)
    assert await ids(store) == ["e1", "e4"]


async def test_duplicates_that_arrive_together_are_told_apart(store):
    appended = await asyncio.gather(
        *(
            store.streams.append(
                record(f"e{n}", dedup_key=f"k{n % 150}", dedup_until_ms=9_000, stream=stream)
            )
            for stream in (STREAM, "other")
            for n in range(300)
        )
    )
    for half in (appended[:300], appended[300:]):
        assert [a.event_id for a in half] == [f"e{n % 150}" for n in range(300)]
        assert [a.is_duplicate for a in half] == [False] * 150 + [True] * 150
        assert [a.position for a in half[:150]] == list(range(1, 151))


async def test_keys_are_free_again_when_retention_ran(store, backend):
    await store.streams.append(record("e1", arrival_ms=1, dedup_key="k", dedup_until_ms=500))
    backend.now_ms = 501
    await store.streams.trim(STREAM, 0, {})
    again = await store.streams.append(record("e2", arrival_ms=2, dedup_key="k"))
    assert not again.is_duplicate


async def test_subscribers_are_woken_after_the_commit_and_until_they_end_it(store):
    woken = []
    end = store.streams.subscribe(STREAM, "0", lambda: woken.append("a"))
    store.streams.subscribe(STREAM, "0", lambda: woken.append("b"))
    store.streams.subscribe(STREAM, "1", lambda: woken.append("other shard"))
    await store.streams.append(record("e1"))
    assert woken == ["a", "b"]
    end()
    end()
    await store.streams.append(record("e2"))
    assert woken == ["a", "b", "b"]


async def test_a_woken_reader_finds_the_record(store):
    found = []

    async def look():
        found.extend(await ids(store))

    tasks = []
    store.streams.subscribe(STREAM, "0", lambda: tasks.append(asyncio.ensure_future(look())))
    await store.streams.append(record("e1"))
    await asyncio.gather(*tasks)
    assert found == ["e1"]


async def test_a_duplicate_wakes_nobody(store):
    await store.streams.append(record("e1", dedup_key="k", dedup_until_ms=9_999))
    woken = []
    store.streams.subscribe(STREAM, "0", lambda: woken.append(1))
    await store.streams.append(record("e2", dedup_key="k", dedup_until_ms=9_999))
    assert woken == []


async def test_position_at_finds_the_place_before_a_wall_time_even_if_the_clock_went_back(store):
    """T1: a clock set back does not hide a record from who starts at a time."""
    for n, arrival_ms in enumerate((100, 200, 900, 150, 300, 1_000)):
        await store.streams.append(record(f"e{n}", arrival_ms=arrival_ms))
    for at_ms, position in ((0, 0), (100, 0), (101, 1), (300, 2), (901, 5), (1_001, 6)):
        assert await store.streams.position_at(STREAM, "0", at_ms) == position
    assert await store.streams.position_at(STREAM, "unknown", 5) == 0


async def test_records_together_are_in_order_in_their_shards(store):
    both = [record(f"e{n}", shard=str(n % 2)) for n in range(6)]
    before = store.streams.append_nowait(record("first", shard="0"))
    several = store.streams.append_all_nowait(both)
    after = store.streams.append_nowait(record("last", shard="0"))
    assert (await before).position == 1
    assert [one.position for one in await several] == [2, 1, 3, 2, 4, 3]
    assert (await after).position == 5
    assert await ids(store) == ["first", "e0", "e2", "e4", "last"]
    assert await ids(store, shard="1") == ["e1", "e3", "e5"]


async def test_records_together_wake_their_readers(store):
    woken = []
    for shard in ("0", "1"):
        store.streams.subscribe(STREAM, shard, lambda shard=shard: woken.append(shard))
    await store.streams.append_all_nowait([record("a", shard="0"), record("b", shard="1")])
    assert sorted(woken) == ["0", "1"]


async def test_repetitions_among_records_together(store):
    def keyed(event_id, key):
        return record(event_id, dedup_key=key, dedup_until_ms=9_000)

    await store.streams.append(keyed("e1", "a"))
    results = await store.streams.append_all_nowait(
        [keyed("e2", "a"), keyed("e3", "b"), keyed("e4", "b"), record("e5")]
    )
    assert [one.event_id for one in results] == ["e1", "e3", "e3", "e5"]
    assert [one.is_duplicate for one in results] == [True, False, True, False]
    assert await ids(store) == ["e1", "e3", "e5"]
