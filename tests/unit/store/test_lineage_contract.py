"""What every store promises about streams that are cut anew."""

import asyncio

import pytest

from router.model.errors import NotEmpty, ShardClosed
from router.model.progress import ShardProgress
from router.model.record import Fetched
from router.store.base import CutStream, DropStream, ForgetShards, Put, Resource
from tests.unit.store.support import STREAM, record, update

MANY = 1 << 40
CUT = CutStream(STREAM, closes=("0", "1"), opens=("2", "3", "4"))


def mapping(name="m", stream=STREAM):
    body = b'{"event_source_arn":"%b"}' % stream.encode()
    return Put(Resource("mapping", name, body))


async def read(store, shard, after=0):
    return await store.streams.read(STREAM, shard, after, 1_000, MANY)


async def test_a_closed_shard_takes_no_more_records_and_says_where_it_ends(backend):
    store = backend.make()
    await store.open()
    await store.streams.append(record("e1"))
    await store.streams.append(record("e2"))
    await store.metadata.apply([CUT])
    for _from in ("memory", "disk", "memory again"):
        for shard in CUT.closes:
            with pytest.raises(ShardClosed):
                await store.streams.append(record("late", shard=shard))
        found = await read(store, "0")
        assert ([it.event_id for it in found.records], found.read_to) == (["e1", "e2"], 2)
        assert found.is_end
        assert not (await store.streams.read(STREAM, "0", 0, 1, MANY)).is_end
        assert await read(store, "0", after=2) == Fetched([], 2, is_end=True)
        assert await read(store, "1") == Fetched([], 0, is_end=True)
        assert await read(store, "2") == Fetched([], 0)
        if _from == "memory":
            await store.close()
            await store.open()
    assert (await store.streams.append(record("e3", shard="2"))).position == 1
    await store.close()


async def test_d5_what_set_out_with_the_change_lands_before_the_end_or_nowhere(store):
    """Records and changes of one group: those behind the change are refused, alone."""
    streams, metadata = store.streams, store.metadata
    results = await asyncio.gather(
        *(streams.append(record(f"e{n}", shard=str(n % 2))) for n in range(6)),
        metadata.apply([CUT]),
        *(streams.append(record(f"f{n}", shard=str(n % 3))) for n in range(6)),
        store.progress.save("m", update(1)),
        return_exceptions=True,
    )
    refused = [isinstance(result, ShardClosed) for result in results[7:13]]
    assert refused == [True, True, False] * 2
    for shard, ids in (("0", ["e0", "e2", "e4"]), ("1", ["e1", "e3", "e5"]), ("2", ["f2", "f5"])):
        assert [it.event_id for it in (await read(store, shard)).records] == ids
    assert results[-1] is None


async def test_a_refused_record_leaves_its_deduplication_key_free(store):
    def sent(event_id, shard):
        return record(event_id, shard=shard, dedup_key="k", dedup_until_ms=9_999)

    await store.metadata.apply([CUT])
    with pytest.raises(ShardClosed):
        await store.streams.append(sent("e1", "0"))
    assert not (await store.streams.append(sent("e2", "2"))).is_duplicate
    # A repetition needs no shard: its first answer holds across the change.
    again = await store.streams.append(sent("e3", "0"))
    assert (again.event_id, again.is_duplicate) == ("e2", True)


async def test_closing_wakes_who_waits_for_more(store):
    woken = []
    for shard in ("0", "2"):
        store.streams.subscribe(STREAM, shard, lambda shard=shard: woken.append(shard))
    await store.metadata.apply([CUT])
    assert woken == ["0"]


async def test_a_change_that_fails_closes_nothing(store):
    await store.streams.append(record("e1"))
    with pytest.raises(NotEmpty):
        await store.metadata.apply([CUT, ForgetShards(STREAM, "1")])
    await store.streams.append(record("e2"))
    assert not (await read(store, "0")).is_end


async def test_p28_whoever_has_begun_starts_the_new_shards_at_their_beginning(store):
    """Fixed with the opening: a mapping that starts at LATEST must not skip what comes now."""
    await store.metadata.apply([mapping("begun"), mapping("new"), mapping("other", "elsewhere")])
    await store.progress.start("begun", {"0": 7, "1": 0})
    await store.progress.start("other", {"0": 7})
    await store.metadata.apply([CUT])
    begun = await store.progress.load("begun")
    assert {shard: it.position for shard, it in begun.items()} == {
        "0": 7, "1": 0, "2": 0, "3": 0, "4": 0
    }  # fmt: skip
    assert await store.progress.load("new") == {}
    assert set(await store.progress.load("other")) == {"0"}


async def test_what_is_forgotten_is_closed_and_empty_for_ever(backend):
    store = backend.make()
    await store.open()
    await store.metadata.apply([mapping()])
    await store.streams.append(record("e1", arrival_ms=5))
    await store.progress.start("m", {"0": 0, "1": 0})
    await store.progress.save("m", update(1))
    await store.metadata.apply([CUT])
    with pytest.raises(NotEmpty, match=r"shard 0 of .* holds records"):
        await store.metadata.apply([ForgetShards(STREAM, "2")])
    await store.streams.trim(STREAM, 6, {"0": 1})
    await store.streams.append(record("e2", shard="2"))
    with pytest.raises(NotEmpty, match=r"shard 2 of .* is open"):
        await store.metadata.apply([ForgetShards(STREAM, "3")])
    await store.metadata.apply([ForgetShards(STREAM, "2")])
    for _from in ("memory", "disk"):
        assert set(await store.progress.load("m")) == {"2", "3", "4"}
        assert [it.shard for it in await store.streams.stats(STREAM)] == ["2"]
        for shard in ("0", "1"):
            assert await read(store, shard, after=1) == Fetched([], 1, is_end=True)
            with pytest.raises(ShardClosed):
                await store.streams.append(record("late", shard=shard))
        # A step that was under way moves nobody.
        await store.progress.save("m", update(1))
        assert "0" not in await store.progress.load("m")
        await store.close()
        await store.open()
    await store.close()


async def test_forgetting_where_there_was_never_a_record(store):
    await store.metadata.apply([ForgetShards(STREAM, "2")])
    await store.metadata.apply([CUT])
    await store.metadata.apply([ForgetShards(STREAM, "2")])
    assert (await read(store, "1")).is_end
    assert not (await read(store, "2")).is_end


async def test_a_stream_made_again_under_the_name_has_all_its_shards(store):
    await store.metadata.apply([CUT, ForgetShards(STREAM, "2")])
    await store.metadata.apply([DropStream(STREAM)])
    assert (await store.streams.append(record("e1"))).position == 1
    assert not (await read(store, "0")).is_end


async def test_the_place_of_a_time_is_found_in_closed_shards_too(store):
    for n, arrival_ms in enumerate((100, 200)):
        await store.streams.append(record(f"e{n}", arrival_ms=arrival_ms))
    await store.metadata.apply([CUT])
    assert await store.streams.position_at(STREAM, "0", 150) == 1
    assert await store.streams.position_at(STREAM, "0", 900) == 2
    assert await store.streams.position_at(STREAM, "2", 150) == 0


async def test_progress_in_shards_that_stay_is_untouched(store):
    await store.metadata.apply([mapping(), CUT])
    await store.progress.start("m", {"0": 0, "1": 0, "2": 0})
    await store.progress.save("m", update(4, shard="2"))
    await store.metadata.apply([ForgetShards(STREAM, "2")])
    progress = await store.progress.load("m")
    assert {shard: it.position for shard, it in progress.items()} == {"2": 4}
    await store.progress.save("m", update(5, shard="2"))
    assert isinstance((await store.progress.load("m"))["2"], ShardProgress)
    assert (await store.progress.load("m"))["2"].position == 5
