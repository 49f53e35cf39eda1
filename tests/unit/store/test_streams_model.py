"""Streams against a naive model: lists and a dictionary, whatever the order of calls.

The stream is cut anew in between: shards are closed, followed by others, forgotten once empty.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.config import StoreSettings
from router.model.errors import NotEmpty, ShardClosed
from router.store.base import CutStream, ForgetShards
from router.store.sqlite import segments
from tests.unit.store.support import STREAM, SqliteBackend, record

pytestmark = pytest.mark.slow

# What is compared is logic, not durability: thousands of syncs would only take time.
UNSYNCED = StoreSettings(synchronous="normal")
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None

SHARDS_MAX = 12
SHARDS = st.integers(0, SHARDS_MAX - 1)
"""Which shard, modulo how many there were so far."""
TIMES = st.integers(0, 60)
SIZES = st.integers(1, 40)
NEW = st.tuples(SHARDS, TIMES, SIZES, st.none() | st.sampled_from("abc"))


class Naive:
    """One shard: every record ever appended, and how many of the first are gone."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, int, int]] = []
        self.trimmed = 0
        self.is_closed = False

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
        self.shards = {"00": Naive(), "01": Naive()}
        self.names = list(self.shards)
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
        for number, arrival_ms, size_bytes, key in new:
            shard = self.names[number % len(self.names)]
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
            if shard not in self.shards or self.shards[shard].is_closed:
                expected.append(ShardClosed)
                continue
            if key is not None:
                self.keys[key] = (event_id, arrival_ms + 10)
            rows = self.shards[shard].appended
            rows.append((event_id, arrival_ms, size_bytes))
            expected.append((event_id, len(rows), False))

        async def append():
            appends = (self.store.streams.append(each) for each in records)
            return await asyncio.gather(*appends, return_exceptions=True)

        found = self.runner.run(append())
        assert [_told(answer) for answer in found] == expected

    @precondition(lambda self: len(self.names) < SHARDS_MAX)
    @rule(count=st.integers(1, 3))
    def cut(self, count) -> None:
        closes = tuple(shard for shard, naive in self.shards.items() if not naive.is_closed)
        opens = tuple(f"{len(self.names) + at:02d}" for at in range(count))
        self.runner.run(self.store.metadata.apply([CutStream(STREAM, closes, opens)]))
        for shard in closes:
            self.shards[shard].is_closed = True
        for shard in opens:
            self.shards[shard] = Naive()
        self.names += opens

    @rule(is_too_far=st.booleans())
    def forget(self, is_too_far) -> None:
        """All that may go, or one more, and then none."""
        done = 0
        for naive in self.shards.values():
            if not naive.is_closed or naive.left():
                break
            done += 1
        kept = list(self.shards)[done:]
        if is_too_far:
            change = ForgetShards(STREAM, kept[0] + "~")
            used = self.shards[kept[0]]
            # An open shard that nothing was ever appended to leaves no trace to be refused by.
            if used.is_closed or used.appended:
                with pytest.raises(NotEmpty):
                    self.runner.run(self.store.metadata.apply([change]))
            return
        self.runner.run(self.store.metadata.apply([ForgetShards(STREAM, kept[0])]))
        self.shards = {shard: self.shards[shard] for shard in kept}

    @rule(
        number=SHARDS,
        after=st.integers(0, 60),
        records_max=st.integers(1, 20),
        bytes_max=st.integers(1, 300),
    )
    def read(self, number, after, records_max, bytes_max) -> None:
        shard = self.names[number % len(self.names)]
        naive = self.shards.get(shard) or FORGOTTEN
        expected, size_bytes = [], 0
        for row in naive.left():
            if row[0] <= after:
                continue
            size_bytes += row[3]
            if expected and (len(expected) == records_max or size_bytes > bytes_max):
                break
            expected.append(row)
        found = self.runner.run(
            self.store.streams.read(STREAM, shard, after, records_max, bytes_max)
        )
        assert [
            (r.position, r.event_id, r.arrival_ms, r.size_bytes) for r in found.records
        ] == expected
        last = expected[-1][0] if expected else max(after, len(naive.appended))
        assert found.read_to == last
        assert found.is_end == (naive.is_closed and last >= len(naive.appended))

    @rule(before_ms=TIMES, numbers=st.dictionaries(SHARDS, st.integers(0, 40)))
    def trim(self, before_ms, numbers) -> None:
        finished = {f"{number:02d}": position for number, position in numbers.items()}
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

    @rule(number=SHARDS, arrival_ms=TIMES)
    def position_at(self, number, arrival_ms) -> None:
        shard = self.names[number % len(self.names)]
        naive = self.shards.get(shard) or FORGOTTEN
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


FORGOTTEN = Naive()
FORGOTTEN.is_closed = True


def _told(answer):
    if isinstance(answer, Exception):
        return type(answer)
    return answer.event_id, answer.position, answer.is_duplicate


TestStreams = Streams.TestCase
TestStreams.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
