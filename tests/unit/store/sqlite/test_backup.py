"""A copy is the store of one moment, whatever is written meanwhile."""

import sqlite3
import threading
import time

import pytest

from router.model.errors import StoreUnusable
from router.store.sqlite import SqliteStore, backup

FAST = 1 << 40


@pytest.fixture
async def folder(tmp_path):
    """A data folder with a store that was closed."""
    folder = tmp_path / "data"
    store = SqliteStore(folder)
    await store.open()
    await store.close()
    with sqlite3.connect(folder / "router.db") as db:
        db.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO pairs (body) VALUES (?)", [(b"x" * 4000,)] * 500)
    db.close()
    return folder


class Busy:
    """Writes two rows at a time, and counts a third up, for as long as the block lasts."""

    def __init__(self, path):
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rows = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._is_over.set()
        self._thread.join()
        self._db.close()

    def _run(self):
        while not self._is_over.is_set():
            self._db.execute("BEGIN")
            self._db.execute("INSERT INTO pairs (body) VALUES (randomblob(3000))")
            self._db.execute("INSERT INTO pairs (body) VALUES (randomblob(3000))")
            self._db.execute("COMMIT")
            self.rows += 2


def rows(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT count(*) FROM pairs").fetchone()[0]
    finally:
        db.close()


async def test_a_copy_under_writes_is_of_the_moment_it_began(folder, tmp_path):
    source, target = folder / "router.db", tmp_path / "copy.db"
    steps = []
    with Busy(source) as busy:
        while busy.rows < 10:
            time.sleep(0.01)
        written_before = busy.rows
        version = backup.copy(source, target, FAST, lambda *step: steps.append(step))
        written_after = busy.rows
    assert backup.check(target) == version > 0
    assert 500 + written_before <= rows(target) <= 500 + written_after + 2
    assert rows(target) % 2 == 0, "half of a transaction"
    assert written_after > written_before, "the writer was held up all the while"
    totals = {total for _done, total in steps}
    assert len(totals) == 1, "it began anew"
    assert steps[-1] == (totals.copy().pop(),) * 2
    assert target.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("copy.db-*"))


async def test_the_rate_is_kept(folder, tmp_path):
    source = folder / "router.db"
    size_bytes = source.stat().st_size
    began_s = time.monotonic()
    backup.copy(source, tmp_path / "copy.db", size_bytes * 2)
    assert time.monotonic() - began_s > 0.3  # half a second, without the last step


async def test_what_is_in_the_log_only_is_copied(folder, tmp_path):
    db = sqlite3.connect(folder / "router.db")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    with db:
        db.execute("INSERT INTO pairs (body) VALUES ('in the log')")
    backup.copy(folder / "router.db", tmp_path / "copy.db", FAST)
    db.close()
    assert rows(tmp_path / "copy.db") == 501


async def test_a_damaged_copy_is_told(folder, tmp_path):
    target = tmp_path / "copy.db"
    backup.copy(folder / "router.db", target, FAST)
    with target.open("r+b") as file:
        file.seek(target.stat().st_size // 2)
        file.write(b"\xff" * 20_000)
    with pytest.raises(StoreUnusable, match=r"damaged|cannot be read"):
        backup.check(target)


async def test_what_is_no_store_or_a_newer_one_is_refused(folder, tmp_path):
    nothing, other = tmp_path / "nothing.db", tmp_path / "other.db"
    with pytest.raises(StoreUnusable, match="no store"):
        backup.copy(nothing, tmp_path / "copy.db", FAST)
    nothing.touch()
    with pytest.raises(StoreUnusable, match="no store"):
        backup.check(nothing)
    other.write_bytes(b"some text " * 100)
    with pytest.raises(StoreUnusable, match="does not begin like a database"):
        backup.check(other)
    db = sqlite3.connect(folder / "router.db")
    with db:
        db.execute("INSERT INTO schema_version VALUES (999)")
    db.close()
    for act in (lambda: backup.copy(folder / "router.db", tmp_path / "c.db", FAST),
                lambda: backup.check(folder / "router.db")):  # fmt: skip
        with pytest.raises(StoreUnusable, match="newer"):
            act()


async def test_a_file_that_is_there_is_never_written_over(folder, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(StoreUnusable, match="File exists"):
        backup.copy(folder / "router.db", target, FAST)
    assert target.read_text() == "mine"
