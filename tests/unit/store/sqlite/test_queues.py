"""Work on a queue costs as much as what it is about, however much waits (L2)."""

import sqlite3
from pathlib import Path

from router.store.queues import NewMessage
from router.store.sqlite import SqliteStore
from router.store.sqlite.queues import _delete


async def instructions_of_a_deletion(folder: Path, waiting: int) -> int:
    """What SQLite's machine does to remove ten of so many messages."""
    store = SqliteStore(folder)
    await store.open()
    try:
        times = {"sent_ms": 1, "visible_ms": 1, "expires_ms": 1 << 50}
        await store.queues.send(
            [NewMessage(queue="q", message_id=str(n), body="b", **times) for n in range(waiting)]
        )
        ids = tuple(message.id for message in await store.queues.receive("q", 2, 10, 1_000))
    finally:
        await store.close()
    steps = []
    db = sqlite3.connect(folder / "router.db")
    db.set_progress_handler(lambda: steps.append(1) and None, 1)
    try:
        _delete(db, ("q", ids))
        db.set_progress_handler(None, 1)
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (waiting - len(ids),)
    finally:
        db.close()
    return len(steps)


async def test_l2_a_deletion_does_not_look_at_what_waits(tmp_path):
    few = await instructions_of_a_deletion(tmp_path / "few", 20)
    many = await instructions_of_a_deletion(tmp_path / "many", 2_000)
    assert many < 2 * few
