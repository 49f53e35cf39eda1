"""A stream that is cut anew at any moment, against a naive model: one list per key (D1, D5, P28).

Senders know the shards of now or of some time ago, as ingress does while a change is on its way.
Readers go parents first and remember nothing but positions. Nothing is lost but what retention
takes, and every key is read in the order it was accepted.
"""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.config import StoreSettings
from router.model.errors import ShardClosed
from router.model.shard import KeyRanges, cut_anew, first_shards, forget_before
from router.store.base import CutStream, DropProgress, ForgetShards, NewRecord, Put, Resource
from tests.unit.store.support import STREAM, SqliteBackend, update

pytestmark = pytest.mark.slow

UNSYNCED = StoreSettings(synchronous="normal")
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
KEYS = st.integers(0, 9).map("key-{}".format)
MAPPING = Put(Resource("mapping", "m", b'{"event_source_arn":"%b"}' % STREAM.encode()))


class Lineage(RuleBasedStateMachine):
    """One mapping reads, step by step; now and then it is made again and reads all there is."""

    @initialize(count=st.integers(1, 4))
    def begin(self, count) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY)
        self.backend = SqliteBackend(Path(self.folder.name))
        self.runner = asyncio.Runner()
        self.store = self.backend.make(UNSYNCED)
        self.runner.run(self.store.open())
        self.shards = first_shards(count)
        self.layouts = [self.shards]
        self.made = 0
        self.accepted: dict[str, list[str]] = {}
        self.trimmed: set[str] = set()
        self.wall_ms = 1_000
        self.runner.run(self.store.metadata.apply([MAPPING]))
        self.read_anew()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.catch_up()
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), ago=st.sampled_from((0, 1, 1, 2)))
    def post_together(self, keys, ago) -> None:
        """By the shards of some time ago; what is refused goes to those of now."""
        layout = self.layouts[max(0, len(self.layouts) - 1 - ago)]
        results = self.runner.run(self.append([self.new(key, layout) for key in keys]))
        late = [key for key, refused in zip(keys, results, strict=True) if refused]
        assert not late or layout is not self.shards
        again = self.runner.run(self.append([self.new(key, self.shards) for key in late]))
        assert not any(again)

    def new(self, key: str, layout) -> NewRecord:
        self.made += 1
        self.wall_ms += 1
        return NewRecord(
            stream=STREAM, shard=KeyRanges(still_open(layout)).shard_of(key), key=key,
            event_id=f"{key}.{self.made}", arrival_ms=self.wall_ms, data=b"", size_bytes=1,
        )  # fmt: skip

    async def append(self, records) -> list[bool]:
        """Whether each was refused."""
        appends = (self.store.streams.append(record) for record in records)
        results = await asyncio.gather(*appends, return_exceptions=True)
        for record, result in zip(records, results, strict=True):
            if not isinstance(result, ShardClosed):
                assert result.event_id == record.event_id
                self.accepted.setdefault(record.key, []).append(record.event_id)
        return [isinstance(result, ShardClosed) for result in results]

    @precondition(lambda self: len(self.shards) < 30)
    @rule(count=st.integers(1, 5))
    def cut(self, count) -> None:
        before, self.shards = self.shards, cut_anew(self.shards, count)
        self.layouts.append(self.shards)
        closes = tuple(shard.name for shard in before if not shard.is_closed)
        opens = tuple(shard.name for shard in self.shards if not shard.is_closed)
        self.runner.run(self.store.metadata.apply([CutStream(STREAM, closes, opens)]))

    @rule(age=st.integers(0, 60))
    def trim(self, age) -> None:
        """Retention; what the mapping had not read is gone for it too."""
        before_ms = self.wall_ms - age
        for ids in self.accepted.values():
            self.trimmed |= {it for it in ids if self.arrival_of(it) < before_ms}
        self.runner.run(self.store.streams.trim(STREAM, before_ms, {}))

    def arrival_of(self, event_id: str) -> int:
        return 1_000 + int(event_id.rpartition(".")[2])

    @rule()
    def forget(self) -> None:
        """What is closed, empty and finished, as far as nothing before it is not."""
        stats = {it.shard: it for it in self.runner.run(self.store.streams.stats(STREAM))}
        for shard in self.shards:
            found = stats.get(shard.name)
            is_empty = found is None or found.oldest_arrival_ms is None
            if not (shard.is_closed and is_empty and shard.name in self.finished):
                break
        if shard is self.shards[0]:
            return
        self.shards = forget_before(self.shards, shard.name)
        self.layouts.append(self.shards)
        self.runner.run(self.store.metadata.apply([ForgetShards(STREAM, shard.name)]))

    @rule(records_max=st.integers(1, 4))
    def read(self, records_max) -> None:
        """One fetch of every shard whose parents are finished; progress is stored each time."""
        progress = self.runner.run(self.store.progress.load("m"))
        for shard in self.shards:
            if shard.name in self.finished or not self.finished.issuperset(shard.parents):
                continue
            after = progress[shard.name].position
            found = self.runner.run(
                self.store.streams.read(STREAM, shard.name, after, records_max, 1 << 30)
            )
            for record in found.records:
                self.seen.setdefault(record.key, []).append(record.event_id)
            step = update(found.read_to, shard=shard.name)
            self.runner.run(self.store.progress.save("m", step))
            if found.is_end:
                assert shard.is_closed
                self.finished.add(shard.name)

    @rule(is_forgetful=st.booleans())
    def restart(self, is_forgetful) -> None:
        """Which shards were finished may be found out again, by reading on."""
        self.runner.run(self.store.close())
        self.store = self.backend.make(UNSYNCED)
        self.runner.run(self.store.open())
        if is_forgetful:
            self.finished = set()

    @precondition(lambda self: self.made % 3 == 0)
    @rule()
    def read_anew(self) -> None:
        """The mapping is deleted and made again (P29)."""
        self.runner.run(self.store.metadata.apply([DropProgress("m")]))
        starts = {shard.name: 0 for shard in self.shards}
        self.runner.run(self.store.progress.start("m", starts))
        self.finished: set[str] = set()
        self.seen: dict[str, list[str]] = {}

    @rule()
    def catch_up(self) -> None:
        for _ in range(40):
            self.read(100)
            progress = self.runner.run(self.store.progress.load("m"))
            rows = self.runner.run(self.store.streams.stats(STREAM))
            if all(progress[row.shard].position >= row.last_position for row in rows):
                break
        for key, ids in self.accepted.items():
            missed = set(ids) - set(self.seen.get(key, ()))
            assert missed <= self.trimmed

    @invariant()
    def every_key_is_read_in_order(self) -> None:
        for key, ids in getattr(self, "seen", {}).items():
            places = [self.accepted[key].index(it) for it in ids]
            assert places == sorted(set(places))


def still_open(layout):
    return [shard for shard in layout if not shard.is_closed]


TestLineage = Lineage.TestCase
TestLineage.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
