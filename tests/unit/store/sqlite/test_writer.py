"""Group commit, its bounds, and a disk that misbehaves."""

import asyncio
import sqlite3
import time
import weakref

import pytest

from router.config import StoreSettings
from router.model.errors import StoreError, StoreFull
from router.model.window import Window
from router.store.base import Put, Resource
from router.store.sqlite import SqliteStore, writer
from router.store.sqlite.store import DATABASE_NAME
from tests.patience import PATIENCE_S, until
from tests.unit.store.support import STREAM, FaultyDisk, message, record, update

MANY = 1 << 40


@pytest.fixture
def disk():
    FaultyDisk.repair()
    yield FaultyDisk
    FaultyDisk.repair()


@pytest.fixture
async def open_store(tmp_path, disk):
    stores = []

    async def make(**settings) -> SqliteStore:
        store = SqliteStore(tmp_path / "data", StoreSettings(**settings), connection=disk)
        await store.open()
        stores.append(store)
        await store.progress.start("m", {"0": 0, "1": 0})
        disk.commits = 0
        return store

    yield make
    for store in stores:
        await store.close()


async def event_ids(store, shard="0"):
    records = (await store.streams.read(STREAM, shard, 0, 10_000, MANY)).records
    return [r.event_id for r in records]


async def test_l2_the_thread_holds_nothing_of_what_it_has_written(open_store):
    class Asked:
        pass

    store, asked = await open_store(), Asked()
    left = weakref.ref(asked)
    await store._writer.submit(
        writer.Kind(lambda _db, requests: [None for _ in requests]), asked, 1
    )
    del asked
    async with asyncio.timeout(PATIENCE_S):
        while left() is not None:
            await asyncio.sleep(0.005)


async def test_callers_that_wait_together_share_commits(open_store, disk):
    store = await open_store()

    async def caller(number):
        for n in range(10):
            await store.streams.append(record(f"{number}-{n}"))

    await asyncio.gather(*(caller(number) for number in range(64)))
    # 640 writes in ten rounds; a straggler may open a round of its own.
    assert 10 <= disk.commits <= 20
    assert len(await event_ids(store)) == 640


async def test_writes_of_all_kinds_share_a_commit(open_store, disk):
    store = await open_store()
    await asyncio.gather(
        store.streams.append(record("e1")),
        store.progress.save("m", update(1)),
        store.queues.send([message("m1")]),
        store.metadata.apply([Put(Resource("function", "f", b""))]),
        store.streams.append(record("e2")),
    )
    assert disk.commits == 1
    assert await event_ids(store) == ["e1", "e2"]


async def test_records_and_progress_run_in_one_call_each_however_they_came(open_store):
    store = await open_store()
    calls = []
    for kind in (store.streams._append_kind, store.progress._save_kind):

        def run(db, requests, run=kind.run):
            calls.append(len(requests))
            return run(db, requests)

        kind.run = run
    writes = []
    for n in range(4):
        writes += [
            store.streams.append(record(f"e{n}", shard=str(n % 2))),
            store.progress.save("m", update(n, shard=str(n % 2))),
        ]
    appended = await asyncio.gather(*writes)
    assert calls == [4, 4]
    assert [found.event_id for found in appended[::2]] == ["e0", "e1", "e2", "e3"]
    assert await event_ids(store, "0") == ["e0", "e2"]


async def test_a_lane_map_that_was_not_stored_is_not_taken_for_known(open_store, disk):
    store = await open_store()
    for lane in range(4):
        await store.progress.save("m", update(5, factor=4, lane=lane))
    disk.error_code = sqlite3.SQLITE_FULL
    with pytest.raises(StoreError, match="disk"):
        await store.progress.save("m", update(6, factor=2, lane=1))
    disk.repair()
    await store.progress.save("m", update(6, factor=2, lane=1))
    progress = (await store.progress.load("m"))["0"]
    assert [lane.lane for lane in progress.lanes] == [1]


async def test_a_state_is_written_once_and_again_when_it_was_not_stored(open_store, disk, tmp_path):
    """A position that leaves a window as it is does not cost its state's megabyte again."""
    store = await open_store()
    window = Window(0, 60_000, b'{"sum":1}')
    disk.error_code = sqlite3.SQLITE_FULL
    with pytest.raises(StoreError, match="disk"):
        await store.progress.save("m", update(1, window=window))
    disk.repair()
    await store.progress.save("m", update(1, window=window))
    assert (await store.progress.load("m"))["0"].lanes[0].window == window
    with sqlite3.connect(tmp_path / "data" / DATABASE_NAME) as db:
        db.execute("UPDATE windows SET state = 'untouched'")
    db.close()
    await store.progress.save("m", update(2, window=window))
    assert (await store.progress.load("m"))["0"].lanes[0].window.state == "untouched"
    await store.progress.save("m", update(3, window=Window(0, 60_000, b'{"sum":2}')))
    assert (await store.progress.load("m"))["0"].lanes[0].window.state == b'{"sum":2}'


async def test_no_group_is_larger_than_its_bound(open_store, disk, monkeypatch):
    monkeypatch.setattr(writer, "GROUP_OPERATIONS_MAX", 10)
    store = await open_store()
    await asyncio.gather(*(store.streams.append(record(f"e{n}")) for n in range(95)))
    assert disk.commits == 10
    monkeypatch.setattr(writer, "GROUP_BYTES_MAX", 2_500)
    disk.commits = 0
    await asyncio.gather(
        *(store.streams.append(record(f"f{n}", data=bytes(700))) for n in range(9)),
        store.streams.append(record("large", data=bytes(5_000))),
    )
    assert disk.commits == 6  # 2 + 2 + 2 + 2 + 1, and the large one alone
    assert (await event_ids(store))[-1] == "large"


async def test_what_waits_is_bounded_in_operations(open_store, disk):
    """L2: refused at once, before memory grows."""
    store = await open_store(waiting_operations_max=10)
    disk.hang()
    waiting = [asyncio.ensure_future(store.streams.append(record(f"e{n}"))) for n in range(10)]
    await asyncio.sleep(0)
    with pytest.raises(StoreFull, match="too many"):
        await store.streams.append(record("one too many"))
    # Finished work is still written down.
    waiting += [asyncio.ensure_future(store.progress.save("m", update(n))) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(StoreFull):
        await store.progress.save("m", update(4))
    disk.goes_on.set()
    await asyncio.gather(*waiting)
    await store.streams.append(record("again"))
    assert await event_ids(store) == [*(f"e{n}" for n in range(10)), "again"]


async def test_many_records_of_one_write_count_as_many(open_store, disk):
    """L2: whoever hands over whole groups has the same bound, and groups stay as large."""
    store = await open_store(waiting_operations_max=10)
    disk.hang()
    waiting = [
        store.streams.append_all_nowait([record(f"{n}-{index}") for index in range(5)])
        for n in range(2)
    ]
    with pytest.raises(StoreFull, match="too many"):
        store.streams.append_nowait(record("one too many"))
    disk.goes_on.set()
    await asyncio.gather(*waiting)
    assert (await store.streams.append(record("again"))).position == 11


async def test_a_group_ends_before_a_write_of_many_that_does_not_fit(open_store, disk, monkeypatch):
    store = await open_store()
    monkeypatch.setattr(writer, "GROUP_OPERATIONS_MAX", 4)
    disk.commits = 0
    sizes = (3, 2, 9, 1)
    await asyncio.gather(
        *(
            store.streams.append_all_nowait([record(f"{n}-{index}") for index in range(size)])
            for n, size in enumerate(sizes)
        )
    )
    assert disk.commits == 4  # 3, then 2 (3 + 2 are too many), then 9 alone, then 1


async def test_what_waits_is_bounded_in_bytes_but_one_large_write_always_goes(open_store, disk):
    store = await open_store(waiting_bytes_max=1 << 20)
    disk.hang()
    large = asyncio.ensure_future(store.streams.append(record("large", data=bytes(2 << 20))))
    await asyncio.sleep(0)
    with pytest.raises(StoreFull):
        await store.streams.append(record("next"))
    disk.goes_on.set()
    await large
    assert (await store.streams.append(record("later"))).position == 2


async def test_a_read_never_waits_behind_a_commit(open_store, disk):
    store = await open_store()
    await store.streams.append(record("e1"))
    await store.progress.save("m", update(1))
    disk.hang()
    slow = asyncio.ensure_future(store.streams.append(record("e2")))
    await asyncio.sleep(0.05)
    assert (await store.progress.load("m"))["0"].position == 1
    assert len(await store.streams.stats(STREAM)) == 1
    assert await event_ids(store) == ["e1"]
    assert not slow.done()
    disk.goes_on.set()
    await slow


async def test_a_slow_sync_delays_and_loses_nothing(open_store, disk):
    """`reliability.md` 5: latency up, nothing lost."""
    store = await open_store()
    disk.delay_s = 0.5
    started = time.monotonic()
    await asyncio.gather(*(store.streams.append(record(f"e{n}")) for n in range(50)))
    assert time.monotonic() - started >= 0.5
    assert await event_ids(store) == [f"e{n}" for n in range(50)]


async def test_only_the_bad_write_of_a_group_fails(open_store, disk):
    store = await open_store()
    writes = [store.streams.append(record(f"e{n}")) for n in range(5)]
    writes.insert(2, store.streams.append(record("\ud800")))  # cannot be encoded
    writes.append(store.progress.save("m", update(1 << 70)))  # more than an integer holds
    writes.append(store.progress.save("m", update(4)))
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, StoreError) for result in results] == [
        *(False, False, True, False, False, False),
        *(True, False),
    ]
    good = [r.position for n, r in enumerate(results[:6]) if n != 2]
    assert good == [1, 2, 3, 4, 5]
    assert await event_ids(store) == ["e0", "e1", "e2", "e3", "e4"]
    assert (await store.progress.load("m"))["0"].position == 4
    assert disk.commits == 1


async def test_records_together_are_kept_together_or_not_at_all(open_store, disk):
    """D1: of a batch that fails nothing is kept, and its neighbours in the commit are."""
    store = await open_store()
    writes = [
        store.streams.append_all_nowait([record("a1"), record("a2")]),
        store.streams.append_all_nowait([record("b1"), record("\ud800"), record("b3")]),
        store.streams.append_nowait(record("c1")),
        store.streams.append_all_nowait([record("d1", dedup_key="k", dedup_until_ms=9_000)]),
    ]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(results[1], StoreError)
    assert [one.position for one in results[0]] == [1, 2]
    assert (results[2].position, results[3][0].position) == (3, 4)
    assert await event_ids(store) == ["a1", "a2", "c1", "d1"]
    assert disk.commits == 1


async def test_an_io_error_fails_the_callers_and_the_next_write_may_succeed(open_store, disk):
    store = await open_store()
    await store.streams.append(record("e1"))
    woken = []
    store.streams.subscribe(STREAM, "0", lambda: woken.append(1))
    disk.error_code = sqlite3.SQLITE_IOERR_FSYNC
    results = await asyncio.gather(
        *(store.streams.append(record(f"lost{n}")) for n in range(3)),
        store.progress.save("m", update(1)),
        return_exceptions=True,
    )
    assert all(isinstance(r, StoreError) and "I/O error" in str(r) for r in results)
    assert len({id(r) for r in results}) == 4
    assert store.fault == "io_error"
    assert woken == []
    assert await event_ids(store) == ["e1"]
    disk.error_code = None
    assert (await store.streams.append(record("e2"))).position == 2
    assert store.fault is None
    assert await event_ids(store) == ["e1", "e2"]


async def test_a_fault_ends_by_looking_when_nobody_writes(open_store, disk):
    """Whoever is not ready is sent nothing: readiness must come back without a record."""
    store = await open_store()
    disk.error_code = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(StoreError):
        await store.streams.append(record("lost"))
    await store.look()
    assert store.fault == "io_error"
    disk.repair()
    await store.look()
    assert store.fault is None
    assert disk.commits == 1
    await store.look()
    assert disk.commits == 1  # a sound disk is not written to
    assert await event_ids(store) == []


async def test_looking_writes_to_the_disk(open_store):
    """Else it would tell nothing."""
    store = await open_store()
    for _ in range(3):
        before = int(store.describe()["log_bytes"])
        store._writer._error = "io_error"
        await store.look()
        assert int(store.describe()["log_bytes"]) > before


async def test_progress_alone_does_not_end_a_fault(open_store, disk):
    store = await open_store()
    disk.error_code = sqlite3.SQLITE_FULL
    with pytest.raises(StoreError):
        await store.streams.append(record("lost"))
    disk.repair()
    await store.progress.save("m", update(1))
    assert store.fault == "disk_full"
    await store.streams.append(record("e1"))
    assert store.fault is None


async def test_a_commit_that_does_not_end_is_a_fault(open_store, disk, monkeypatch):
    monkeypatch.setattr(writer, "STALLED_S", 0.2)
    store = await open_store()
    assert store.fault is None
    disk.hang()
    waiting = asyncio.ensure_future(store.streams.append(record("e1")))
    await until(lambda: store.fault == "stalled")
    assert store.stalled_s >= 0.2
    disk.goes_on.set()
    await waiting
    assert store.fault is None
    assert store.stalled_s == 0


async def test_a_disk_nearly_full_takes_no_records_but_lets_work_drain(open_store, monkeypatch):
    left = 1 << 30
    monkeypatch.setattr(writer, "free_bytes", lambda _folder: left)
    store = await open_store(free_bytes_min=64 << 20)
    await store.streams.append(record("e1"))
    left = 63 << 20
    await store.look()
    assert store.fault == "disk_low"
    with pytest.raises(StoreFull, match="left"):
        await store.streams.append(record("e2"))
    await store.progress.save("m", update(1))
    left = 65 << 20
    await store.look()
    assert store.fault is None
    assert (await store.streams.append(record("e3"))).position == 2


async def test_a_full_file_takes_no_records_but_lets_work_drain(open_store):
    store = await open_store()
    await store.progress.save("m", update(1))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    results = await asyncio.gather(
        *(store.streams.append(record(f"e{n}", data=bytes(9_000))) for n in range(20)),
        store.progress.save("m", update(2)),
        return_exceptions=True,
    )
    assert all(isinstance(r, StoreError) and "full" in str(r) for r in results[:20])
    assert results[20] is None
    assert (await store.progress.load("m"))["0"].position == 2
    assert await event_ids(store) == []
    store._db.execute(f"PRAGMA max_page_count = {pages + 1_000}")
    assert (await store.streams.append(record("e", data=bytes(9_000)))).position == 1


async def test_at_its_size_the_store_refuses_records_until_some_are_trimmed(open_store):
    store = await open_store(bytes_max=1 << 20)

    async def fill():
        for n in range(50):
            await store.streams.append(record(f"e{n}", data=bytes(100_000)))

    with pytest.raises(StoreFull, match="size"):
        await fill()
    with pytest.raises(StoreFull):
        await store.queues.send([message("m1")])
    await store.progress.save("m", update(3))
    await store.progress.discard("m", update(4), None, None)
    assert (await store.streams.trim(STREAM, 9_999, {}))[0] >= 9
    await until(lambda: store.bytes_used < 1 << 20)
    assert (await store.streams.append(record("again"))).position >= 10


async def test_a_cancelled_caller_holds_up_nobody_and_its_write_is_made(open_store, disk):
    store = await open_store()
    disk.hang()
    first = asyncio.ensure_future(store.streams.append(record("cancelled")))
    second = asyncio.ensure_future(store.streams.append(record("e2")))
    await asyncio.sleep(0.05)
    first.cancel()
    disk.goes_on.set()
    assert (await second).position == 2
    assert first.cancelled()
    assert await event_ids(store) == ["cancelled", "e2"]


async def test_a_wake_that_raises_is_reported_and_answers_still_come(open_store):
    store = await open_store()
    reported = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: reported.append(context)
    )
    woken = []
    store.streams.subscribe(STREAM, "0", lambda: 1 / 0)
    store.streams.subscribe(STREAM, "0", lambda: woken.append(1))
    await store.streams.append(record("e1"))
    assert woken == [1]
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


async def test_the_log_is_copied_and_starts_over_under_load(open_store):
    """Without that it would grow for as long as records come."""
    store = await open_store()
    for _round in range(12):
        await asyncio.gather(
            *(store.streams.append(record(f"e{n}", data=bytes(100_000))) for n in range(80))
        )
    written = 12 * 80 * 100_000
    assert int(store.describe()["log_bytes"]) < written * 0.8
    await until(lambda: store.log_pages * 4_096 < 48 << 20)
