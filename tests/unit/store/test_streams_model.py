"""Streams against a naive model: lists and a dictionary, whatever the order of calls."""

import asyncio
import os
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from router.config import StoreSettings
from router.store.sqlite import segments
from tests.unit.store.support import STREAM, SqliteBackend, record

# What is compared is logic, not durability: thousands of syncs would only take time.
UNSYNCED = StoreSettings(synchronous="normal")
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

SHARDS = ("0", "1")
TIMES = st.integers(0, 60)
SIZES = st.integers(1, 40)
NEW = st.tuples(st.sampled_from(SHARDS), TIMES, SIZES, st.none() | st.sampled_from("abc"))


class Naive:
    """One shard: every record ever appended, and how many of the first are gone."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, int, int]] = []
        self.trimmed = 0

    def left(self) -> list[tuple[int, str, int, int]]:
        rows = enumerate(self.appended[self.trimmed :], self.trimmed + 1)
        return [(position, *row) for position, row in rows]


class Streams(RuleBasedStateMachine):
    """Small segments and tails, so that every edge of them is met."""

    @initialize()
    def begin(self) -> None:
        self.patches = [
            mock.patch.object(segments, "SEGMENT_RECORDS_MAX", 3),
            mock.patch("router.store.sqlite.tail.Tails.__init__.__defaults__", (4_000, 2_000)),
        ]
        for patch in self.patches:
            patch.start()
        self.folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY)
        self.backend = SqliteBackend(Path(self.folder.name))
        self.runner = asyncio.Runner()
        self.store = self.backend.make(UNSYNCED)
        self.runner.run(self.store.open())
        self.shards = {shard: Naive() for shard in SHARDS}
        self.keys: dict[str, tuple[str, int]] = {}
        self.made = 0
        self.backend.now_ms = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()
            for patch in self.patches:
                patch.stop()

    @rule(new=st.lists(NEW, min_size=1, max_size=12))
    def append_together(self, new) -> None:
        records, expected = [], []
        for shard, arrival_ms, size_bytes, key in new:
            self.made += 1
            event_id = f"e{self.made}"
            records.append(
                record(
                    event_id,
                    shard=shard,
                    arrival_ms=arrival_ms,
                    size_bytes=size_bytes,
                    dedup_key=key,
                    dedup_until_ms=arrival_ms + 10,
                )
            )
            if key in self.keys and self.keys[key][1] >= arrival_ms:
                expected.append((self.keys[key][0], 0, True))
                continue
            if key is not None:
                self.keys[key] = (event_id, arrival_ms + 10)
            rows = self.shards[shard].appended
            rows.append((event_id, arrival_ms, size_bytes))
            expected.append((event_id, len(rows), False))

        async def append():
            return await asyncio.gather(*(self.store.streams.append(each) for each in records))

        found = self.runner.run(append())
        assert [(a.event_id, a.position, a.is_duplicate) for a in found] == expected

    @rule(
        shard=st.sampled_from(SHARDS),
        after=st.integers(0, 60),
        records_max=st.integers(1, 20),
        bytes_max=st.integers(1, 300),
    )
    def read(self, shard, after, records_max, bytes_max) -> None:
        naive = self.shards[shard]
        expected, size_bytes = [], 0
        for row in naive.left():
            if row[0] <= after:
                continue
            size_bytes += row[3]
            if expected and (len(expected) == records_max or size_bytes > bytes_max):
                break
            expected.append(row)
        records, read_to = self.runner.run(
            self.store.streams.read(STREAM, shard, after, records_max, bytes_max)
        )
        assert [(r.position, r.event_id, r.arrival_ms, r.size_bytes) for r in records] == expected
        last = expected[-1][0] if expected else max(after, len(naive.appended))
        assert read_to == last

    @rule(before_ms=TIMES, finished=st.dictionaries(st.sampled_from(SHARDS), st.integers(0, 40)))
    def trim(self, before_ms, finished) -> None:
        removed = unfinished = 0
        for shard, naive in self.shards.items():
            for position, _event_id, arrival_ms, _size in naive.left():
                if arrival_ms >= before_ms:
                    break
                naive.trimmed += 1
                removed += 1
                unfinished += position > finished.get(shard, 0)
        self.keys = {k: v for k, v in self.keys.items() if v[1] >= self.backend.now_ms}
        assert self.runner.run(self.store.streams.trim(STREAM, before_ms, finished)) == (
            removed,
            unfinished,
        )

    @rule(now_ms=TIMES)
    def clock(self, now_ms) -> None:
        self.backend.now_ms = now_ms

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.backend.make(UNSYNCED)
        self.runner.run(self.store.open())

    @rule(shard=st.sampled_from(SHARDS), arrival_ms=TIMES)
    def position_at(self, shard, arrival_ms) -> None:
        naive = self.shards[shard]
        found = self.runner.run(self.store.streams.position_at(STREAM, shard, arrival_ms))
        later = [row[0] for row in naive.left() if row[2] >= arrival_ms]
        assert found == (later[0] - 1 if later else len(naive.appended))

    @invariant()
    def stats_agree(self) -> None:
        if not hasattr(self, "store"):
            return
        expected = [
            (shard, len(n.appended), n.trimmed + 1, n.left()[0][2] if n.left() else None)
            for shard, n in self.shards.items()
            if n.appended
        ]
        found = self.runner.run(self.store.streams.stats(STREAM))
        assert [
            (s.shard, s.last_position, s.oldest_position, s.oldest_arrival_ms) for s in found
        ] == expected


TestStreams = Streams.TestCase
TestStreams.settings = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
