"""Records from the ingress process: looked at again, stored, answered once."""

import asyncio

import msgspec
import pytest

from router.ingress.frames import Append, FrameError, Refused, Stored
from router.ingress.intake import GONE, Intake
from router.ingress.route import Route
from router.model.errors import ShardClosed, StoreError, StoreFull
from router.model.limits import EVENT_BYTES_MAX
from router.store.base import Appended
from tests.unit.ingress.test_frames import RECORD
from tests.unit.ingress.test_webhooks import ARN, OPEN, spec


def record(event_id="e", shard=0, **values):
    own = {"stream": ARN + "a", "shard": f"shardId-{shard:012}", "event_id": event_id}
    return msgspec.structs.replace(RECORD, **own, **values)


class Store:
    """Keeps what is not said to fail; answers when told."""

    def __init__(self):
        self.kept, self.errors, self.duplicates, self.refusal = [], {}, {}, None
        self.calls = []

    def append_all_nowait(self, records):
        if self.refusal:
            raise self.refusal
        self.calls.append(len(records))
        future = asyncio.get_running_loop().create_future()
        for one in records:
            if one.event_id in self.errors:
                future.set_exception(self.errors[one.event_id])
                return future
        self.kept += [one.event_id for one in records if one.event_id not in self.duplicates]
        future.set_result(
            [
                Appended(self.duplicates.get(one.event_id, one.event_id), 1, False)
                if one.event_id not in self.duplicates
                else Appended(self.duplicates[one.event_id], 0, True)
                for one in records
            ]
        )
        return future

    def append_nowait(self, one):
        whole = self.append_all_nowait([one])
        future = asyncio.get_running_loop().create_future()
        if error := whole.exception():
            future.set_exception(error)
        else:
            future.set_result(whole.result()[0])
        return future


@pytest.fixture
def store():
    return Store()


async def stored(store, *singles, batches=()):
    intake = Intake(store)
    intake.set_routes({"/a": Route(spec("a", signature=OPEN, shards=2), str)})
    replies = []
    intake.take(Append(7, list(singles), [list(batch) for batch in batches]), replies.append)
    for _ in range(5):
        await asyncio.sleep(0)
    (reply,) = replies
    return reply


async def test_what_is_kept_needs_no_words(store):
    assert await stored(store, record("1"), record("2", 1)) == Stored(7)
    assert store.kept == ["1", "2"]
    assert store.calls == [2]


async def test_a_repetition_is_answered_with_the_first(store):
    store.duplicates["2"] = "1"
    assert (await stored(store, record("1"), record("2"))).singles == [None, "1"]


async def test_one_for_a_closed_shard_keeps_no_other_from_being_stored(store):
    store.errors["2"] = ShardClosed("closed")
    reply = await stored(store, record("1"), record("2"), record("3"))
    assert reply.singles == [None, Refused("shard_closed", "closed"), None]
    assert store.kept == ["1", "3"]


async def test_one_for_a_stream_or_shard_nobody_has_is_never_stored(store):
    other = msgspec.structs.replace(record("3"), stream=ARN + "other")
    reply = await stored(store, record("1"), record("2", shard=9), other)
    assert reply.singles == [None, GONE, GONE]
    assert store.kept == ["1"]
    reply = await stored(store, batches=[[record("4"), record("5", shard=9)]])
    assert reply.batches == [GONE]
    assert store.kept == ["1"]


async def test_a_full_store_refuses_all_at_once(store):
    store.refusal = StoreFull("full")
    full = Refused("store_full", "full")
    reply = await stored(store, record("1"), record("2"), batches=[[record("3")]])
    assert (reply.singles, reply.batches) == ([full, full], [full])


async def test_what_the_store_fails_at_is_told_with_its_code(store):
    store.errors["1"] = StoreError("the disk reports an error")
    refused = Refused("store_error", "the disk reports an error")
    assert (await stored(store, record("1"))).singles == [refused]
    store.errors["2"] = RuntimeError("a bug")
    assert (await stored(store, record("2"))).singles == [Refused("store_error", "a bug")]
    store.refusal = StoreError("the store is closed")
    reply = await stored(store, record("3"), record("4"))
    assert reply.singles == [Refused("store_error", "the store is closed")] * 2


async def test_batches_are_whole_or_not_at_all(store):
    store.errors["3"] = ShardClosed("closed")
    store.duplicates["2"] = "0"
    batches = [[record("1"), record("2")], [record("3"), record("4")]]
    reply = await stored(store, record("5"), batches=batches)
    assert reply.batches == [[None, "0"], Refused("shard_closed", "closed")]
    assert sorted(store.kept) == ["1", "5"]


@pytest.mark.parametrize("size_bytes", [1, -1, EVENT_BYTES_MAX + 1])
async def test_a_record_that_cannot_be_one_ends_the_link(store, size_bytes):
    with pytest.raises(FrameError):
        await stored(store, record("1", data=b"xy", size_bytes=size_bytes))
    assert store.kept == []
