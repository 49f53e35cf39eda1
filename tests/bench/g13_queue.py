"""G13: the queue of events, a hundred a cycle in one transaction, `synchronous=FULL`.

A cycle is what the runner of asynchronous invocations does under load: the hundred events that have
ended go, the next hundred are claimed, and a hundred new ones have come meanwhile. Asked for
together, the store's group commit makes one transaction of them. The baseline is the same work as a
good engineer writes it without merging: three transactions per event on a connection of its own,
with prepared statements, the same table, indexes, log, sync and page settings, no thread between
caller and connection, which favours it. Both store, hand out and delete every event exactly once,
or the bench fails.

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

from router.store.asynchronous import Claim, Finished, NewEvent
from router.store.sqlite import SqliteStore
from router.store.sqlite.store import DATABASE_NAME

GOAL = 50.0
ROUNDS = 7
BATCH = 100
CYCLES = 100
SINGLES = 150
FUNCTION = "bench"
PAYLOAD = b'"' + b"x" * 998 + b'"'
HIDDEN_MS = 30_000
BYTES_MAX = 1 << 30
PAUSE_S = 0.2


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def event() -> NewEvent:
    return NewEvent(
        request_id=str(uuid.uuid4()), function=FUNCTION, payload=PAYLOAD, accepted_ms=wall_ms()
    )


async def merged(store: SqliteStore, cycles: int) -> float:
    """Microseconds per event that came, was claimed and came to its end."""
    queue, handled, over = store.asynchronous, 0, []
    batches = [[event() for _ in range(BATCH)] for _ in range(cycles + 1)]
    await asyncio.gather(*map(queue.enqueue, batches.pop()))
    began = time.perf_counter()
    for batch in batches:
        now_ms = wall_ms()
        claim = Claim(FUNCTION, BATCH, BYTES_MAX, now_ms + HIDDEN_MS)
        coming = [queue.enqueue(one) for one in batch]
        cycle, *_ = await asyncio.gather(queue.cycle(over, (), (claim,), now_ms), *coming)
        over = [Finished(one.id) for one in cycle.taken[0].events]
        handled += len(over)
    elapsed_s = time.perf_counter() - began
    rest = Claim(FUNCTION, 2 * BATCH, BYTES_MAX, wall_ms() + HIDDEN_MS)
    cycle = await queue.cycle(over, (), (rest,), wall_ms())
    await queue.cycle([Finished(one.id) for one in cycle.taken[0].events], (), (), wall_ms())
    if handled != cycles * BATCH or queue.waiting():
        raise RuntimeError(f"{handled} of {cycles * BATCH} events claimed, {queue.waiting()}")
    return elapsed_s / handled * 1e6


class ThreeTransactions:
    """Insert, claim, delete: each its own transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 10000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("PRAGMA cache_size = -16384")

    def one(self, new: NewEvent) -> None:
        db = self._db
        db.execute(
            "INSERT OR IGNORE INTO async_events (function, due_ms, accepted_ms, request_id,"
            " qualifier, trace_id, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (new.function, new.accepted_ms, new.accepted_ms, new.request_id, None, "", new.payload),
        )
        now_ms = wall_ms()
        [(claimed, payload)] = db.execute(
            "UPDATE async_events SET due_ms = ?, is_claimed = 1 WHERE id = (SELECT id FROM"
            " async_events WHERE function = ? AND due_ms <= ? ORDER BY due_ms LIMIT 1)"
            " RETURNING id, payload",
            (now_ms + HIDDEN_MS, new.function, now_ms),
        ).fetchall()
        if payload != PAYLOAD:
            raise RuntimeError("another payload came back")
        db.execute("DELETE FROM async_events WHERE id = ?", (claimed,))

    def round(self, count: int) -> float:
        events = [event() for _ in range(count)]
        began = time.perf_counter()
        for new in events:
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
        "us_per_event": {name: [round(us, 1) for us in series] for name, series in found.items()},
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
