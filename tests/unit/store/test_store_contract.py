"""What every store promises about metadata, progress and the outbox."""

import asyncio

import pytest

from router.model.errors import StoreError
from router.model.progress import LaneHead, LaneProgress, ShardProgress
from router.model.record import Fetched
from router.model.window import Window
from router.store.base import (
    Address,
    Delete,
    DropProgress,
    DropQueue,
    DropStream,
    EnqueuedMessage,
    OutboxDepth,
    OutboxRow,
    Put,
    Resource,
)
from tests.unit.store.support import STREAM, message, record, update

QUEUE = "arn:aws:sqs:us-east-1:000000000000:dlq"


async def waiting(store):
    return sum(depth.rows for depth in await store.outbox.depths(0))


def row(mapping="m", *, next_attempt_ms=0, body=b"{}", records=1):
    return OutboxRow(
        mapping=mapping,
        destination=QUEUE,
        body=body,
        records=records,
        next_attempt_ms=next_attempt_ms,
    )


async def test_what_was_acknowledged_is_there_after_a_restart(backend):
    """C1: every part of the state comes back."""
    first = backend.make()
    await first.open()
    await first.metadata.apply([Put(Resource("function", "f", b"{}"))])
    await first.streams.append(record("e1"))
    await first.progress.start("m", {"0": 0})
    await first.progress.save("m", update(7))
    await first.progress.discard("m", update(8), row(), None)
    await first.queues.send([message("m1")])
    await first.close()

    second = backend.make()
    await second.open()
    assert await second.metadata.load() == [Resource("function", "f", b"{}")]
    assert [r.event_id for r in (await second.streams.read(STREAM, "0", 0, 9, 999)).records] == [
        "e1"
    ]
    assert (await second.progress.load("m"))["0"].position == 8
    assert await waiting(second) == 1
    assert [m.message_id for m in await second.queues.peek("q", 9)] == ["m1"]
    await second.close()


async def test_a_closed_store_refuses_and_closing_twice_is_no_error(backend):
    store = backend.make()
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.streams.append(record("e1"))
    with pytest.raises(StoreError, match="closed"):
        await store.metadata.load()


async def test_closing_finishes_what_waits(backend):
    store = backend.make()
    await store.open()
    appends = asyncio.gather(*(store.streams.append(record(f"e{n}")) for n in range(100)))
    await asyncio.sleep(0)
    await store.close()
    assert sorted(a.position for a in await appends) == list(range(1, 101))


async def test_describe_tells_where_and_how(store):
    facts = store.describe()
    assert int(facts["schema_version"]) >= 1
    assert facts["synchronous"] == "full"
    assert int(facts["used_bytes"]) > 0


# Metadata


async def test_changes_are_made_in_order(store):
    await store.metadata.apply(
        [
            Put(Resource("function", "a", b"1")),
            Put(Resource("function", "b", b"1")),
            Put(Resource("function", "a", b"2")),
            Delete("function", "b"),
            Delete("function", "never there"),
            Put(Resource("mapping", "a", b"3")),
        ]
    )
    assert list(await store.metadata.load()) == [
        Resource("function", "a", b"2"),
        Resource("mapping", "a", b"3"),
    ]


async def test_one_bad_change_undoes_its_whole_transaction_and_no_other(store):
    bad = [Put(Resource("function", "kept back", b"")), Put(Resource("function", "\ud800", b""))]
    good = [Put(Resource("function", "good", b""))]
    failed, made = await asyncio.gather(
        store.metadata.apply(bad), store.metadata.apply(good), return_exceptions=True
    )
    assert isinstance(failed, StoreError)
    assert made is None
    assert [r.name for r in await store.metadata.load()] == ["good"]


async def test_dropping_a_stream_forgets_records_keys_and_progress(store):
    body = b'{"event_source_arn": "%s"}' % STREAM.encode()
    await store.metadata.apply([Put(Resource("mapping", "m", body))])
    await store.metadata.apply([Put(Resource("mapping", "other", b'{"event_source_arn": "x"}'))])
    for n in range(10):
        await store.streams.append(record(f"e{n}", dedup_key=f"k{n}", dedup_until_ms=9_999_999))
    for mapping, position in (("m", 10), ("other", 3)):
        await store.progress.start(mapping, {"0": 0})
        await store.progress.save(mapping, update(position))

    await store.metadata.apply([DropStream(STREAM)])

    assert await store.streams.stats(STREAM) == []
    assert await store.streams.read(STREAM, "0", 0, 9, 999) == Fetched([], 0)
    assert await store.progress.load("m") == {}
    assert (await store.progress.load("other"))["0"].position == 3
    # A stream made again under the name starts anew: positions at 1, keys free.
    again = await store.streams.append(record("new", dedup_key="k1", dedup_until_ms=9_999_999))
    assert (again.position, again.is_duplicate) == (1, False)
    found = await store.streams.read(STREAM, "0", 0, 9, 999)
    assert [r.event_id for r in found.records] == ["new"]
    assert found.read_to == 1


async def test_dropping_queues_and_progress(store):
    await store.progress.start("m", {"0": 0})
    await store.queues.send([message("m1"), message("m2", queue="kept")])
    await store.progress.save("m", update(1))
    await store.metadata.apply([DropQueue("q"), DropProgress("m")])
    assert await store.queues.peek("q", 9) == []
    assert [m.message_id for m in await store.queues.peek("kept", 9)] == ["m2"]
    assert await store.progress.load("m") == {}


# Progress


async def test_progress_is_per_mapping_shard_and_lane(store):
    await store.progress.start("m", {"0": 0, "1": 0})
    await store.progress.start("n", {"0": 0})
    head = LaneHead(5, 9, 2, (12, 20), 1_700_000_000_000)
    await store.progress.save("m", update(3, factor=4, lane=0, lane_position=4))
    await store.progress.save("m", update(3, factor=4, lane=2, lane_position=3, head=head))
    await store.progress.save("m", update(1, shard="1"))
    await store.progress.save("n", update(99))
    assert await store.progress.load("m") == {
        "0": ShardProgress(3, 4, (LaneProgress(0, 4), LaneProgress(2, 3, head))),
        "1": ShardProgress(1, 1, (LaneProgress(0, 1),)),
    }
    assert await store.progress.load("unknown") == {}


async def test_d4_positions_never_go_back(store):
    await store.progress.start("m", {"0": 0})
    await store.progress.save("m", update(10))
    await store.progress.save("m", update(4))
    assert (await store.progress.load("m"))["0"] == ShardProgress(10, 1, (LaneProgress(0, 10),))


async def test_d10_the_head_is_kept_and_removed_with_the_step_that_says_so(store):
    await store.progress.start("m", {"0": 0})
    head = LaneHead(1, 3, 1)
    await store.progress.save("m", update(0, head=head))
    assert (await store.progress.load("m"))["0"].lanes == (LaneProgress(0, 0, head),)
    await store.progress.save("m", update(3))
    assert (await store.progress.load("m"))["0"].lanes == (LaneProgress(0, 3),)


async def test_lanes_of_another_map_are_dropped_with_the_first_step_of_the_new_one(store):
    await store.progress.start("m", {"0": 0})
    for lane in range(4):
        await store.progress.save("m", update(5, factor=4, lane=lane, lane_position=5 + lane))
    await store.progress.save("m", update(6, factor=2, lane=1, lane_position=6))
    assert (await store.progress.load("m"))["0"] == ShardProgress(6, 2, (LaneProgress(1, 6),))


async def test_steps_that_share_a_commit_mean_what_they_mean_one_by_one(store):
    """Steps of several shards and lanes, two for one lane, and a new lane map among them."""
    head = LaneHead(8, 9, 1)
    steps = [
        update(5, factor=4, lane=0, lane_position=7, head=head),
        update(5, factor=4, lane=3, lane_position=6),
        update(1, shard="1", factor=2, lane=1),
        update(7, factor=4, lane=0, lane_position=9),
        update(6, factor=4, lane=3, lane_position=5, head=head),
        update(9, factor=2, lane=1, lane_position=9),
        update(9, factor=2, lane=0, lane_position=10),
        update(2, shard="1", factor=2, lane=0),
    ]
    for mapping in ("one by one", "together"):
        await store.progress.start(mapping, {"0": 0, "1": 0})
    for step in steps:
        await store.progress.save("one by one", step)
    await asyncio.gather(
        *(store.progress.save("together", step) for step in steps),
        *(store.streams.append(record(f"e{n}")) for n in range(3)),
    )
    expected = await store.progress.load("one by one")
    assert expected["0"] == ShardProgress(9, 2, (LaneProgress(0, 10), LaneProgress(1, 9)))
    assert await store.progress.load("together") == expected
    await store.progress.save("together", update(11, factor=4, lane=2))
    assert (await store.progress.load("together"))["0"] == ShardProgress(
        11, 4, (LaneProgress(2, 11),)
    )


async def test_a_window_is_stored_with_its_position_also_in_a_discard_and_in_one_commit(store):
    """The state and the records in it are one (`design.md` 7a)."""
    await store.progress.start("m", {"0": 0, "1": 0})
    open_ = Window(60_000, 120_000, b'{"sum":3}')
    await store.progress.save("m", update(3, window=open_))
    assert (await store.progress.load("m"))["0"].lanes == (LaneProgress(0, 3, None, open_),)
    grown = Window(60_000, 120_000, b'{"sum":4}')
    await store.progress.discard("m", update(4, window=grown), None, None)
    assert (await store.progress.load("m"))["0"].lanes == (LaneProgress(0, 4, None, grown),)
    closed = Window(60_000, 120_000, None)
    await asyncio.gather(
        store.progress.save("m", update(5, window=Window(60_000, 120_000, b'{"sum":5}'))),
        store.progress.save("m", update(5, window=closed)),
        store.progress.save("m", update(1, shard="1")),
    )
    loaded = await store.progress.load("m")
    assert loaded["0"].lanes == (LaneProgress(0, 5, None, closed),)
    assert loaded["1"].lanes == (LaneProgress(0, 1),)


async def test_an_older_window_never_follows_a_newer_one(store):
    """A step of a life before a restart may come late: state and position stay one."""
    await store.progress.start("m", {"0": 0})
    newer = Window(0, 60_000, b'{"sum":9}')
    await store.progress.save("m", update(9, window=newer))
    await store.progress.save("m", update(7, window=Window(0, 60_000, b'{"sum":7}')))
    assert (await store.progress.load("m"))["0"].lanes == (LaneProgress(0, 9, None, newer),)


async def test_the_last_window_outlives_its_lane_map(store):
    """No window begins before the end of the last one, whatever the factor was between."""
    await store.progress.start("m", {"0": 0})
    closed = Window(0, 60_000, None)
    await store.progress.save("m", update(5, window=closed))
    await store.progress.save("m", update(6, factor=4, lane=3))
    assert (await store.progress.load("m"))["0"].lanes == (
        LaneProgress(0, 5, window=closed),
        LaneProgress(3, 6),
    )
    await store.metadata.apply([DropProgress("m")])
    await store.progress.start("m", {"0": 0})
    assert await store.progress.load("m") == {"0": ShardProgress(0)}


async def test_d1_a_step_of_a_life_that_is_over_moves_nobody(store, backend):
    """What ran when progress was dropped ends later, also after the same mapping began anew."""
    await store.progress.save("m", update(5))
    assert await store.progress.load("m") == {}
    await store.progress.start("m", {"0": 0})
    await store.progress.save("m", update(6, factor=2, lane=1))
    await store.metadata.apply([DropProgress("m")])
    await store.progress.save("m", update(7, factor=2, lane=0))
    await store.progress.discard("m", update(8, factor=2, lane=1), row(), None)
    assert await store.progress.load("m") == {}
    assert await waiting(store) == 1  # what was given up is told all the same
    await store.progress.start("m", {"0": 0})
    assert await store.progress.load("m") == {"0": ShardProgress(0)}


async def test_d1_a_group_that_drops_and_saves_keeps_their_order(store):
    await store.progress.start("m", {"0": 0})
    await asyncio.gather(
        store.progress.save("m", update(3)),
        store.metadata.apply([DropProgress("m")]),
        store.progress.save("m", update(4)),
        store.progress.start("m", {"0": 1}),
        store.progress.save("m", update(2)),
    )
    assert await store.progress.load("m") == {"0": ShardProgress(2, 1, (LaneProgress(0, 2),))}


async def test_start_fixes_where_a_mapping_begins(store):
    await store.progress.start("m", {"0": 5, "1": 0})
    await store.progress.save("m", update(8))
    await store.progress.start("m", {"0": 100, "2": 7})
    loaded = await store.progress.load("m")
    assert {shard: progress.position for shard, progress in loaded.items()} == {
        "0": 8,
        "1": 0,
        "2": 7,
    }


async def test_d7_a_discard_is_progress_and_outbox_row_at_once(store, backend):
    await store.progress.start("m", {"0": 0})
    backend.now_ms = 5_000
    await store.progress.discard("m", update(3), row(body=b"gone", records=3), None)
    assert (await store.progress.load("m"))["0"].position == 3
    (stored,) = await store.outbox.due(Address(QUEUE), 0, 9)
    assert (stored.mapping, stored.size_bytes, stored.records, stored.attempts) == ("m", 4, 3, 0)
    assert await store.outbox.body(stored.id) == b"gone"
    assert await store.outbox.depths(0) == [OutboxDepth(Address(QUEUE), 1, 5_000, has_due=True)]


async def test_d7_a_discard_that_fails_keeps_nothing(store):
    await store.progress.start("m", {"0": 0})
    await store.progress.save("m", update(1))
    bad = EnqueuedMessage(queue="q", body="\ud800")
    with pytest.raises(StoreError):
        await store.progress.discard("m", update(3), row(), bad)
    assert (await store.progress.load("m"))["0"].position == 1
    assert await waiting(store) == 0


async def test_d7_a_discard_to_an_embedded_queue_is_delivered_in_the_same_step(store, backend):
    woken = []
    store.queues.subscribe("dlq", lambda: woken.append(1))
    backend.now_ms = 5_000
    delivery = EnqueuedMessage(queue="dlq", body="why", delay_s=2, retention_s=60)
    await store.progress.discard("m", update(3), None, delivery)
    assert woken == [1]
    assert await store.queues.receive("dlq", 6_999, 10, 30_000) == []
    (received,) = await store.queues.receive("dlq", 7_000, 10, 30_000)
    assert (received.body, received.sent_ms) == ("why", 5_000)
