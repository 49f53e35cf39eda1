"""Opening, locking and surviving: what is SQLite's own business."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from router.config import StoreSettings
from router.model.errors import StoreError, StoreUnusable
from router.store.base import DropQueue, DropStream
from router.store.queues import Redrive
from router.store.sqlite import SqliteStore, garbage
from router.store.sqlite.messages import STEP_MAX
from router.store.sqlite.migrate import shipped
from router.store.sqlite.store import DATABASE_NAME
from router.store.sqlite.writer import Kind, each
from tests.patience import until
from tests.unit.store.support import STREAM, message, record

ROOT = Path(__file__).parents[4]
MANY = 1 << 40

APPENDER = """
import asyncio, sys
from pathlib import Path
from router.store.sqlite import SqliteStore
from tests.patience import until
from tests.unit.store.support import record

async def caller(store, number):
    for n in range(100_000):
        event_id = f"{number}-{n}"
        await store.streams.append(record(event_id, shard=str(number % 3), data=bytes(500)))
        print(event_id, flush=True)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    print("open", flush=True)
    await asyncio.gather(*(caller(store, number) for number in range(12)))

asyncio.run(main())
"""

FILLER = """
import asyncio, json, sys
from pathlib import Path
from router.config import StoreSettings
from router.model.errors import StoreError
from router.store.sqlite import SqliteStore
from tests.patience import until
from tests.unit.store.support import STREAM, message, record

async def main():
    folder = Path(sys.argv[1])
    store = SqliteStore(folder / "data", StoreSettings(free_bytes_min=0))
    await store.open()
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    kept, error = [], None
    for n in range(1_000):
        try:
            await store.streams.append(record(f"e{n}", data=bytes(20_000)))
            kept.append(f"e{n}")
        except StoreError as failure:
            error = str(failure)
            break
    records = (await store.streams.read(STREAM, "0", 0, 10_000, 1 << 40)).records
    fault, readable = store.fault, [r.event_id for r in records] == kept
    ballast.unlink()
    again = (await store.streams.append(record("again"))).position
    await store.close()
    await store.open()
    records = (await store.streams.read(STREAM, "0", 0, 10_000, 1 << 40)).records
    print(json.dumps({
        "kept": len(kept), "error": error, "fault": fault, "fault_after": store.fault,
        "readable": readable, "again": again,
        "reopened": [r.event_id for r in records] == [*kept, "again"],
    }))
    await store.close()

asyncio.run(main())
"""


def start(script: str, *arguments: object, chaos: str = "", before: tuple[str, ...] = ()):
    return subprocess.Popen(
        [*before, sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "ROUTER_CHAOS": chaos, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


async def opened(folder: Path, **settings) -> SqliteStore:
    store = SqliteStore(folder, StoreSettings(**settings))
    await store.open()
    return store


async def stored_ids(folder: Path) -> dict[str, list[str]]:
    store = await opened(folder)
    found = {}
    for stats in await store.streams.stats(STREAM):
        records = (await store.streams.read(STREAM, stats.shard, 0, 1_000_000, MANY)).records
        assert [r.position for r in records] == list(range(1, stats.last_position + 1))
        found[stats.shard] = [r.event_id for r in records]
    await store.close()
    return found


def check_durable(acknowledged: list[str], stored: dict[str, list[str]]) -> None:
    """Each caller awaited its answers: its records are there once, in order, at most one more."""
    for number in range(12):
        mine = [e for e in acknowledged if e.startswith(f"{number}-")]
        there = [e for e in stored.get(str(number % 3), []) if e.startswith(f"{number}-")]
        assert there[: len(mine)] == mine
        assert there[len(mine) :] in ([], [f"{number}-{len(mine)}"])


@pytest.mark.crash
@pytest.mark.parametrize("after_lines", [1, 40, 400, 2_000])
async def test_c1_what_was_acknowledged_survives_kill_9(tmp_path, after_lines):
    process = start(APPENDER, tmp_path / "data")
    lines = [process.stdout.readline().strip() for _ in range(after_lines)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().split("\n")
    process.wait()
    # A line cut short by the kill is no acknowledgement anybody could have read.
    acknowledged = [line for line in lines[1:] if line]
    process.stdout.close()
    check_durable(acknowledged, await stored_ids(tmp_path / "data"))


@pytest.mark.crash
@pytest.mark.parametrize("chaos", ["before_commit:5", "after_commit:5", "before_commit:40"])
async def test_k2_what_was_acknowledged_survives_death_around_a_commit(tmp_path, chaos):
    process = start(APPENDER, tmp_path / "data", chaos=chaos)
    output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL
    acknowledged = [line for line in output.split("\n")[1:] if line]
    assert acknowledged
    check_durable(acknowledged, await stored_ids(tmp_path / "data"))


@pytest.mark.crash
async def test_k2_death_in_a_migration_leaves_the_version_before_it(tmp_path):
    process = start(APPENDER, tmp_path / "data", chaos="mid_migration")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with sqlite3.connect(tmp_path / "data" / DATABASE_NAME) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == []
    db.close()
    store = await opened(tmp_path / "data")
    assert store.describe()["schema_version"] == str(shipped()[-1].version)
    await store.streams.append(record("e1"))
    await store.close()


def test_a_full_disk_refuses_and_recovers(tmp_path):
    """`reliability.md` 5: nothing is acknowledged, what is there stays readable, it resumes."""
    mount = f'mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec "$@"'
    process = start(FILLER, tmp_path, before=("unshare", "-Urm", "sh", "-c", mount, "sh"))
    output = process.communicate()[0]
    assert process.returncode == 0
    told = json.loads(output)
    assert told["kept"] > 10
    assert "full" in told["error"]
    assert (told["fault"], told["fault_after"]) == ("disk_full", None)
    assert told["readable"]
    assert told["again"] == told["kept"] + 1
    assert told["reopened"]


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000])
async def test_t1_what_waits_for_its_time_waits_as_long_when_the_clock_is_set(tmp_path, by_ms):
    start = 1_000_000_000
    store = await opened(tmp_path)
    never = start * 9
    await store.queues.send(
        [
            message("visible", sent_ms=start, expires_ms=never),
            message("delayed", sent_ms=start, visible_ms=start + 40_000, expires_ms=never),
            message("taken", sent_ms=start - 1, expires_ms=never),
        ]
    )
    (taken,) = await store.queues.receive("q", start, 1, 30_000)
    assert taken.message_id == "taken"
    now = start + 10_000 + by_ms
    await store.clock_set(by_ms, now)

    async def visible(at):
        return (await store.queues.counts("q", at)).visible

    assert await visible(now) == 1
    assert await visible(now + 19_999) == 1
    assert await visible(now + 20_000) == 2
    assert await visible(now + 29_999) == 2
    assert await visible(now + 30_000) == 3
    await store.close()


@pytest.mark.parametrize("queue", ["q", "q.fifo"])
@pytest.mark.parametrize("by_ms", [5 * 86_400_000, -5 * 86_400_000])
async def test_t1_messages_stay_as_long_as_promised_when_the_clock_is_set(tmp_path, queue, by_ms):
    """D1: a clock that is set throws nothing away; a FIFO queue removes as it hands out."""
    began, promised = 1_800_000_000_000, 4 * 86_400_000
    store = await opened(tmp_path)
    new = message("m", queue=queue, sent_ms=began, expires_ms=began + promised)
    if queue == "q":
        await store.queues.send([new])
        receive = store.queues.receive
    else:
        new = msgspec.structs.replace(new, group_id="g", deduplication_id="d")
        await store.queues.fifo.send([new], began, is_scope_group=False)
        receive = store.queues.fifo.receive
    now = began + 10_000 + by_ms
    await store.clock_set(by_ms, now)
    last = now - 10_000 + promised - 1
    await store.queues.expire(last)
    assert [one.message_id for one in await receive(queue, last, 1, 0)] == ["m"]
    await store.queues.expire(last + 1)
    assert not await store.queues.peek(queue, 1)
    await store.close()


async def test_l2_one_receive_brings_a_bounded_number_of_bytes(tmp_path, monkeypatch):
    """Ten come in any case, as from SQS; what does not fit was not received, and is not counted."""
    monkeypatch.setattr("router.store.sqlite.messages.RECEIVE_BYTES_MAX", 20_000)
    store = await opened(tmp_path)
    small = [message(f"s{n}") for n in range(30)]
    large = [msgspec.structs.replace(message(f"m{n}"), body="x" * 5_000) for n in range(70)]
    await store.queues.send(small + large)
    sizes, seen, by_receive = [], [], []
    while found := await store.queues.receive("q", 2_000, 100, 30_000):
        sizes.append(sum(len(one.body) for one in found))
        seen += found
        by_receive.append(found)
    assert [one.message_id for one in seen] == [one.message_id for one in small + large]
    assert {one.receive_count for one in seen} == {1}
    assert max(sizes) <= 20_000 + STEP_MAX * 5_000
    assert [len(found) for found in by_receive[1:-1]] == [10] * (len(by_receive) - 2)
    assert store.queues._in_flight._most == {1: 100}
    await store.close()


async def test_l4_a_receive_moves_spent_messages_of_many_groups_in_bounded_steps(tmp_path):
    """A function that is down spends a whole queue at once; nobody else waits for that."""
    store = await opened(tmp_path)
    fifo, seen = store.queues.fifo, []

    def note(requests, results):
        seen.extend(result.moved for result in results)

    new = [
        message(f"m{n}", queue="q.fifo", group_id=f"g{n}", deduplication_id=f"d{n}")
        for n in range(1_000)
    ]
    await fifo.send(new, 1_000, is_scope_group=False)
    for _ in range(100):
        await fifo.receive("q.fifo", 2_000, 10, 1_000)
    fifo._receive_kind = Kind(each(fifo._receive), note)
    redrive = Redrive("dead.fifo", 1, 10**9)
    assert await fifo.receive("q.fifo", 4_000, 10, 1_000, redrive) == []
    assert sum(seen) == 1_000
    assert max(seen) <= 100
    assert (await store.queues.counts("dead.fifo", 5_000)).visible == 1_000
    await store.close()


async def test_a_purged_fifo_queue_leaves_nothing_behind(tmp_path):
    store = await opened(tmp_path)
    fifo = store.queues.fifo
    new = [
        message(f"m{n}", queue="q.fifo", group_id=f"g{n}", deduplication_id=f"d{n}")
        for n in range(2_500)
    ]
    await fifo.send(new, 1_000, is_scope_group=False)
    await fifo.receive("q.fifo", 1_000, 10, 5_000, attempt_id="try")
    await store.queues.purge("q.fifo")
    tables = ("messages", "fifo_groups", "fifo_deduplication", "receive_attempts", "queues")

    def left(db):
        return [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]

    while any(await store._reader.submit(left)):
        await asyncio.sleep(0.01)
    await store.close()


@pytest.mark.parametrize("by_ms", [-3_600_000, 3_600_000])
async def test_t1_fifo_groups_wait_as_long_as_before_when_the_clock_is_set(tmp_path, by_ms):
    store = SqliteStore(tmp_path)
    await store.open()
    fifo, began = store.queues.fifo, 100_000_000
    new = message("m", queue="q.fifo", sent_ms=began, expires_ms=10**15, group_id="g",
                  deduplication_id="d")  # fmt: skip
    (first,) = await fifo.send([new], began, is_scope_group=False)
    assert len(await fifo.receive("q.fifo", began, 1, 30_000)) == 1
    now = began + 10_000 + by_ms
    await store.clock_set(by_ms, now)
    assert await fifo.receive("q.fifo", now + 19_999, 1, 0) == []
    assert len(await fifo.receive("q.fifo", now + 20_000, 1, 0)) == 1
    # What is remembered is remembered as long, too.
    again = msgspec.structs.replace(new, message_id="other")
    assert await fifo.send([again], now + 289_999, is_scope_group=False) == [first]
    (other,) = await fifo.send([again], now + 290_000, is_scope_group=False)
    assert other.message_id == "other"
    await store.close()


async def test_a_held_folder_is_refused_and_says_by_whom(tmp_path):
    first = await opened(tmp_path)
    second = SqliteStore(tmp_path)
    with pytest.raises(StoreUnusable, match=f"pid {os.getpid()}"):
        await second.open()
    await second.close()
    with pytest.raises(StoreError, match="open already"):
        await first.open()
    await first.streams.append(record("e1"))
    await first.close()
    await second.open()
    await second.close()


@pytest.mark.crash
async def test_a_folder_is_free_once_its_holder_is_dead(tmp_path):
    process = start(APPENDER, tmp_path / "data")
    assert process.stdout.readline() == "open\n"
    with pytest.raises(StoreUnusable, match=f"pid {process.pid}"):
        await opened(tmp_path / "data")
    process.kill()
    process.communicate()
    await (await opened(tmp_path / "data")).close()


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file with content, but the lock: it names the last holder."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name != "lock" and path.stat().st_size and not path.name.endswith("-shm")
    }


async def make_newer(folder: Path) -> None:
    db = sqlite3.connect(folder / DATABASE_NAME)
    db.execute("INSERT INTO schema_version VALUES (999)")
    db.commit()
    db.close()


async def scribble_over_header(folder: Path) -> None:
    with (folder / DATABASE_NAME).open("r+b") as file:
        file.write(b"no database any more")


async def scribble_over_pages(folder: Path) -> None:
    with (folder / DATABASE_NAME).open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 20_000)


async def cut_short(folder: Path) -> None:
    os.truncate(folder / DATABASE_NAME, 5_000)


async def another_program(folder: Path) -> None:
    (folder / DATABASE_NAME).unlink()
    db = sqlite3.connect(folder / DATABASE_NAME)
    db.execute("CREATE TABLE recipes (name)")
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (make_newer, "schema version 999"),
        (scribble_over_header, "does not begin like a database"),
        (scribble_over_pages, "damaged|malformed"),
        (cut_short, "damaged|malformed"),
        (another_program, "another program"),
    ],
)
async def test_c3_a_store_that_cannot_be_used_is_refused_and_left_alone(tmp_path, harm, text):
    store = await opened(tmp_path)
    for n in range(50):
        await store.streams.append(record(f"e{n}", data=bytes(1_000)))
    await store.close()
    await harm(tmp_path)
    before = snapshot(tmp_path)
    for _twice in range(2):
        with pytest.raises(StoreUnusable, match=text):
            await opened(tmp_path)
        assert snapshot(tmp_path) == before


@pytest.mark.crash
async def test_c3_a_newer_store_with_a_log_is_left_alone_too(tmp_path):
    """The newer router died: its log is not copied by one that does not know the schema."""
    script = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("INSERT INTO schema_version VALUES (999)")
db.commit()
os._exit(0)
"""
    await (await opened(tmp_path)).close()
    process = start(script, tmp_path / DATABASE_NAME)
    process.communicate()
    before = snapshot(tmp_path)
    assert DATABASE_NAME + "-wal" in before
    with pytest.raises(StoreUnusable, match="999"):
        await opened(tmp_path)
    assert snapshot(tmp_path) == before


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="data folder"):
        await opened(tmp_path / "file" / "data")


async def test_records_are_nobody_elses_to_read(tmp_path):
    tmp_path.chmod(0o755)
    store = SqliteStore(tmp_path)
    await store.open()
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("router.db*")}
    await store.close()
    assert modes == {"router.db": 0, "router.db-wal": 0, "router.db-shm": 0}


async def test_an_empty_file_is_a_new_store(tmp_path):
    (tmp_path / DATABASE_NAME).touch()
    await (await opened(tmp_path)).close()


@pytest.mark.parametrize(("setting", "level"), [("full", 2), ("normal", 1)])
async def test_c2_the_sync_mode_is_what_was_asked_for(tmp_path, setting, level):
    store = await opened(tmp_path, synchronous=setting)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (level,)
    assert store.describe()["synchronous"] == setting
    await store.close()


async def test_c2_a_store_that_cannot_be_synced_as_asked_is_refused(tmp_path):
    class Lax(sqlite3.Connection):
        def execute(self, sql, *values):
            if sql.startswith("PRAGMA synchronous = "):
                sql = "PRAGMA synchronous = 0"
            return super().execute(sql, *values)

    with pytest.raises(StoreUnusable, match="synchronous 0"):
        await SqliteStore(tmp_path, connection=Lax).open()
    await (await opened(tmp_path)).close()


async def test_closing_leaves_one_file_that_holds_everything(tmp_path):
    store = await opened(tmp_path)
    await store.streams.append(record("e1"))
    await store.close()
    assert {path.name for path in tmp_path.iterdir()} == {DATABASE_NAME, "lock"}
    assert await stored_ids(tmp_path) == {"0": ["e1"]}


async def test_what_was_dropped_is_removed_in_steps_also_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(garbage, "GARBAGE_SEGMENTS", 10)
    store = await opened(tmp_path)
    await asyncio.gather(
        *(
            store.streams.append(
                record(
                    f"e{n}",
                    data=bytes(10_000),
                    dedup_key=f"k{n}",
                    dedup_until_ms=MANY,
                    shard=str(n % 2),
                )
            )
            for n in range(3_000)
        ),
        store.queues.send([message(f"m{n}") for n in range(2_500)]),
    )
    store.metadata._collect = lambda: None  # as if the router died right after the drop
    await store.metadata.apply([DropStream(STREAM), DropQueue("q")])
    await store.close()
    store = await opened(tmp_path)

    def left() -> int:
        db = store._db
        tables = ("streams", "shards", "segments", "deduplication", "queues", "messages")
        return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)

    assert left() > 2_500
    await until(lambda: left() == 0)
    await store.close()


async def test_a_retention_round_that_removes_nothing_waits_for_no_commit(tmp_path, monkeypatch):
    """A thousand webhooks are looked at every half minute."""
    store = SqliteStore(tmp_path, wall_ms=lambda: 1_500)
    await store.open()
    await store.streams.append(record("e1", arrival_ms=1_000, dedup_key="k", dedup_until_ms=2_000))
    groups = []
    monkeypatch.setattr(store._writer, "_write", groups.append)
    assert await store.streams.trim(STREAM, 1_000, {}) == (0, 0)
    assert groups == []
    monkeypatch.undo()
    assert await store.streams.trim(STREAM, 1_001, {}) == (1, 1)
    assert await store.streams.trim(STREAM, 9_999, {}) == (0, 0)
    await store.close()
