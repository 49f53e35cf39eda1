"""G7: group commit against a commit per request, 64 callers at a time, `synchronous=FULL`.

The baseline is what a good engineer writes without grouping: one storage thread with its own
connection and prepared statements, one autocommitted insert per request, the same log, sync and
page settings, the answer sent back with `call_soon_threadsafe`. Both store the same records;
rounds alternate, the first of each is a warm-up, and `ratio` is that of median throughputs.
`ratio_paired` is the median over neighbouring rounds: it says more where the disk's own speed
moves (`is_steady` is false when the baseline moved more than twofold).

Run it: `python -m tests.bench.g7_group_commit`.
"""

import asyncio
import json
import os
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

from router.store.base import NewRecord
from router.store.sqlite import SqliteStore, writer

CALLERS = 64
ROUNDS = 11
ROUND_S = 0.5
PAUSE_S = 0.25
GOAL = 5.0
DATA = b"x" * 1_000

Append = Callable[[NewRecord], Awaitable[object]]


class CommitPerRequest:
    """One insert, one commit, one answer."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 10000")
        self._db.execute(
            "CREATE TABLE records (id INTEGER PRIMARY KEY, shard TEXT, key TEXT,"
            " arrival_ms INTEGER, event_id TEXT, data BLOB)"
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def append(self, record: NewRecord) -> int:
        future = self._loop.create_future()
        self._inbox.put((record, future))
        return await future

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            record, future = job
            row = self._db.execute(
                "INSERT INTO records VALUES (NULL, ?, ?, ?, ?, ?)",
                (record.shard, record.key, record.arrival_ms, record.event_id, record.data),
            )
            self._loop.call_soon_threadsafe(future.set_result, row.lastrowid)


async def measure(append: Append, tag: str, round_s: float) -> tuple[float, float]:
    """Appends per second and CPU microseconds per append of one round."""
    done = 0
    end = time.perf_counter() + round_s

    async def caller(number: int) -> None:
        nonlocal done
        while True:  # once at least
            await append(
                NewRecord(
                    stream="s",
                    shard=str(number % 4),
                    event_id=f"{tag}-{number}-{done}",
                    key="k",
                    arrival_ms=1,
                    data=DATA,
                    size_bytes=1_100,
                )
            )
            done += 1
            if time.perf_counter() >= end:
                return

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6


async def _run(folder: Path, rounds: int, round_s: float) -> dict[str, Any]:
    single = CommitPerRequest(folder / "single.db")
    store = SqliteStore(folder / "grouped")
    await store.open()
    rates: dict[str, list[float]] = {"grouped": [], "single": []}
    cpu_us: dict[str, list[float]] = {"grouped": [], "single": []}
    contenders: dict[str, Append] = {"grouped": store.streams.append, "single": single.append}
    for number in range(rounds):
        for name, append in contenders.items():
            rate, cost = await measure(append, f"{name}{number}", round_s)
            await asyncio.sleep(PAUSE_S)
            if number:  # the first is a warm-up
                rates[name].append(rate)
                cpu_us[name].append(cost)
    await store.close()
    single.close()
    ratio = statistics.median(rates["grouped"]) / statistics.median(rates["single"])
    paired = statistics.median(
        grouped / one for grouped, one in zip(rates["grouped"], rates["single"], strict=True)
    )
    worst = min(rates["grouped"]) / max(rates["single"])
    return {
        "ratio": round(ratio, 2),
        "goal": GOAL,
        "ok": ratio >= GOAL or worst >= GOAL,
        "ratio_paired": round(paired, 2),
        "ratio_worst": round(worst, 2),
        "callers": CALLERS,
        "appends_per_s": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "cpu_us_per_append": {
            name: round(statistics.median(found), 1) for name, found in cpu_us.items()
        },
        "is_steady": max(rates["single"]) <= 2 * min(rates["single"]),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def run(folder: Path | None = None, *, is_quick: bool = False) -> dict[str, Any]:
    """Measure on the disk `folder` is on (the temporary folder's by default); about 17 s."""
    rounds, round_s = (2, 0.05) if is_quick else (ROUNDS, ROUND_S)
    # The store copies its log when idle: that must fall into the pause after its own round.
    with (
        mock.patch.object(writer, "IDLE_S", PAUSE_S / 5),
        tempfile.TemporaryDirectory(dir=folder) as made,
    ):
        return {"G7": asyncio.run(_run(Path(made), rounds, round_s))}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
