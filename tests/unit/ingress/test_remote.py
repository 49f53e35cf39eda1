"""The ingress process's way to the store: one frame for several records, bounded."""

import asyncio

import msgspec
import pytest

from router.ingress import remote
from router.ingress.frames import FrameError, Refused, Stored
from router.ingress.remote import FRAME_RECORDS, RECORD_OVERHEAD_BYTES, RemoteStore
from router.model.errors import ShardClosed, StoreError, StoreFull
from router.store.base import Appended
from tests.unit.ingress.test_frames import RECORD


def record(event_id, size_bytes=10):
    return msgspec.structs.replace(RECORD, event_id=event_id, data=b"x" * size_bytes)


@pytest.fixture
async def sent():
    return []


@pytest.fixture
async def store(sent):
    return RemoteStore(sent.append, 10 * (1_000 + RECORD_OVERHEAD_BYTES))


async def test_records_of_a_turn_are_one_frame(store, sent):
    futures = [store.append_nowait(record(name)) for name in "ab"]
    whole = store.append_all_nowait([record("c"), record("d")])
    assert sent == []
    await asyncio.sleep(0)
    (frame,) = sent
    assert [one.event_id for one in frame.singles] == ["a", "b"]
    assert [one.event_id for one in frame.batches[0]] == ["c", "d"]
    store.stored(Stored(frame.number, None, [[None, "x"]]))
    assert [future.result().event_id for future in futures] == ["a", "b"]
    assert whole.result() == [Appended("c", 0, False), Appended("x", 0, True)]


async def test_many_do_not_wait_for_the_end_of_the_turn(sent):
    store = RemoteStore(sent.append, 1 << 20)
    for number in range(FRAME_RECORDS + 1):
        store.append_nowait(record(str(number)))
    assert [len(frame.singles) for frame in sent] == [FRAME_RECORDS]
    await asyncio.sleep(0)
    assert [len(frame.singles) for frame in sent] == [FRAME_RECORDS, 1]


async def test_large_ones_do_not_either(sent, monkeypatch):
    monkeypatch.setattr(remote, "FRAME_FULL_BYTES", 1_000)
    store = RemoteStore(sent.append, 1 << 20)
    store.append_nowait(record("a", 1_000))
    store.append_all_nowait([record("b", 1_000)])
    assert len(sent) == 2


async def test_each_hears_what_became_of_it(store, sent):
    futures = [store.append_nowait(record(name)) for name in "abcd"]
    whole = store.append_all_nowait([record("e")])
    await asyncio.sleep(0)
    verdicts = [None, "first", Refused("store_full", "full"), Refused("shard_closed", "closed")]
    store.stored(Stored(sent[0].number, verdicts, [Refused("store_error", "io")]))
    assert futures[0].result() == Appended("a", 0, False)
    assert futures[1].result() == Appended("first", 0, True)
    for future, kind in zip(
        [*futures[2:], whole], [StoreFull, ShardClosed, StoreError], strict=True
    ):
        assert type(future.exception()) is kind


async def test_l5_what_is_on_its_way_is_bounded(store, sent):
    for number in range(10):
        store.append_nowait(record(str(number), 1_000))
    with pytest.raises(StoreFull):
        store.append_nowait(record("one too many", 1_000))
    with pytest.raises(StoreFull):
        store.append_all_nowait([record("one too many", 1_000)])
    await asyncio.sleep(0)
    store.stored(Stored(sent[0].number))
    store.append_nowait(record("again", 1_000))


async def test_one_larger_than_the_bound_goes_alone(store, sent):
    store.append_nowait(record("large", 1 << 20))
    with pytest.raises(StoreFull):
        store.append_nowait(record("small"))
    assert len(sent) == 1


async def test_who_gave_up_is_left_alone(store, sent):
    futures = [store.append_nowait(record(name)) for name in "ab"]
    whole = store.append_all_nowait([record("c")])
    await asyncio.sleep(0)
    for future in (*futures, whole):
        future.cancel()
    store.stored(Stored(sent[0].number, [None, Refused("store_full", "")], [[None]]))
    assert all(future.cancelled() for future in futures)


async def test_an_answer_to_nothing_is_refused(store):
    with pytest.raises(FrameError):
        store.stored(Stored(1))


async def test_a_frame_that_cannot_be_sent_leaves_nobody_waiting():
    def send(_message):
        raise FrameError("too large")

    store = RemoteStore(send, 1 << 20)
    futures = [store.append_nowait(record("a")), store.append_all_nowait([record("b")])]
    await asyncio.sleep(0)
    assert [type(future.exception()) for future in futures] == [StoreError, StoreError]
