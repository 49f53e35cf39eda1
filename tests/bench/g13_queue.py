"""G13: the async queue, a hundred messages a cycle in one transaction, `synchronous=FULL`.

A cycle is what a consumer at work does: delete the hundred it has handled, store a hundred new
ones, receive the next hundred. Asked for together, the store's group commit makes one transaction
of them. The baseline is the same work as a good engineer writes it without merging: three
transactions per message on a connection of its own, with prepared statements, the same table,
index, log, sync and page settings, and no thread between caller and connection, which favours it.
Both store, hand out and delete every message exactly once, or the bench fails.

Run it: `python -m tests.bench.g13_queue`.
"""

import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from router.store.queues import NewMessage
from router.store.sqlite import SqliteStore
from router.store.sqlite.store import DATABASE_NAME

GOAL = 50.0
ROUNDS = 7
BATCH = 100
CYCLES = 100
SINGLES = 150
QUEUE = "bench"
BODY = "x" * 1_000
HIDDEN_MS = 30_000
KEPT_MS = 1_000_000
PAUSE_S = 0.2


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def message(queue: str) -> NewMessage:
    now_ms = wall_ms()
    return NewMessage(
        queue=queue, message_id=str(uuid.uuid4()), body=BODY, sent_ms=now_ms, visible_ms=now_ms,
        expires_ms=now_ms + KEPT_MS,
    )  # fmt: skip


async def merged(store: SqliteStore, cycles: int) -> float:
    """Microseconds per message that came, was received and was deleted."""
    queues, handled, received = store.queues, 0, []
    batches = [[message(QUEUE) for _ in range(BATCH)] for _ in range(cycles + 1)]
    await queues.send(batches.pop())
    began = time.perf_counter()
    for batch in batches:
        deletion = queues.delete(QUEUE, received)
        sending = queues.send(batch)
        reception = queues.receive(QUEUE, wall_ms(), BATCH, HIDDEN_MS)
        _, _, found = await asyncio.gather(deletion, sending, reception)
        received = [one.id for one in found]
        handled += len(received)
    elapsed_s = time.perf_counter() - began
    await queues.delete(QUEUE, received)
    await queues.purge(QUEUE)
    if handled != cycles * BATCH:
        raise RuntimeError(f"{handled} of {cycles * BATCH} messages received")
    return elapsed_s / handled * 1e6


class ThreeTransactions:
    """Insert, claim, delete: each its own transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 10000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("PRAGMA cache_size = -16384")
        self._queue: int = self._db.execute(
            "INSERT INTO queues (name) VALUES (?) RETURNING id", ("single",)
        ).fetchone()[0]

    def one(self, new: NewMessage) -> None:
        db = self._db
        db.execute(
            "INSERT INTO messages (queue_id, visible_ms, expires_ms, sent_ms, message_id,"
            " attributes, system, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._queue, new.visible_ms, new.expires_ms, new.sent_ms, new.message_id,
             b"", b"", new.body),
        )  # fmt: skip
        now_ms = wall_ms()
        [(claimed, body)] = db.execute(
            "UPDATE messages SET visible_ms = ?, receive_count = receive_count + 1,"
            " first_received_ms = ? WHERE id = (SELECT id FROM messages WHERE queue_id = ?"
            " AND visible_ms <= ? ORDER BY visible_ms LIMIT 1) RETURNING id, body",
            (now_ms + HIDDEN_MS, now_ms, self._queue, now_ms),
        ).fetchall()
        if body != BODY:
            raise RuntimeError("another body came back")
        db.execute("DELETE FROM messages WHERE id = ?", (claimed,))

    def round(self, count: int) -> float:
        messages = [message("single") for _ in range(count)]
        began = time.perf_counter()
        for new in messages:
            self.one(new)
        return (time.perf_counter() - began) / count * 1e6

    def close(self) -> None:
        self._db.close()


async def _run(folder: Path, rounds: int, cycles: int, singles: int) -> dict[str, Any]:
    for name in ("merged", "single"):
        store = SqliteStore(folder / name)
        await store.open()
        await store.close()
    store = SqliteStore(folder / "merged")
    await store.open()
    single = ThreeTransactions(folder / "single" / DATABASE_NAME)
    found: dict[str, list[float]] = {"merged": [], "single": []}
    for number in range(rounds + 1):
        shown = {"merged": await merged(store, cycles), "single": single.round(singles)}
        await asyncio.sleep(PAUSE_S)
        if number:  # the first is a warm-up
            for name, cost_us in shown.items():
                found[name].append(cost_us)
    single.close()
    await store.close()
    ratio = statistics.median(found["single"]) / statistics.median(found["merged"])
    best = min(found["single"]) / min(found["merged"])
    return {
        "ratio": round(ratio, 1),
        "goal": GOAL,
        "ok": ratio >= GOAL,
        "ratio_best": round(best, 1),
        "ok_best": best >= GOAL,
        "us_per_message": {name: [round(us, 1) for us in series] for name, series in found.items()},
        "batch": BATCH,
        "is_steady": max(found["single"]) <= 2 * min(found["single"]),
        "sqlite": sqlite3.sqlite_version,
    }


def run(*, is_quick: bool = False) -> dict[str, Any]:
    """Measure on the disk of the temporary folder; about 15 s."""
    size = (1, 3, 5) if is_quick else (ROUNDS, CYCLES, SINGLES)
    with tempfile.TemporaryDirectory() as made:
        return {"G13": asyncio.run(_run(Path(made), *size))}


if __name__ == "__main__":
    print(json.dumps(run(is_quick="--quick" in sys.argv), indent=2))
