"""The naive world as Kafka makes it: partitions go, others read them, they come back (D1 to D12).

Positions are offsets, so nothing is finished at -1. A function reports what is to be tried again.
"""

from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.mapping import engine as e
from router.mapping.lanes import lane_of
from router.model.mapping_spec import MappingSpec
from router.model.outcome import PartlySucceeded
from router.model.progress import LaneProgress, ShardProgress
from router.model.record import Record
from tests.unit.mapping.test_stream_engine_model import World

NOTHING = -1


class KafkaWorld(World):
    """One member of a group; the others are a few lines of it."""

    def __init__(self, random: Random) -> None:
        self.away: set[str] = set()
        self.has_begun = False
        super().__init__(random)

    def any_spec(self) -> MappingSpec:
        return msgspec.structs.replace(
            super().any_spec(),
            tumbling_window_ms=0,
            retries_reported_only=True,
            is_window_from_first=self.random.random() < 0.5,
        )

    def any_records(self, shard: str) -> list[Record]:
        found = super().any_records(shard)
        return [msgspec.structs.replace(it, position=it.position - 1) for it in found]

    def start(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.lineage = {"0": (), "1": (), "2": ()}
            factor = self.spec.factor
            self.store = {shard: ShardProgress(NOTHING, factor) for shard in self.lineage}
        self.away.clear()
        super().start()

    def is_stored(self, shard: str, record: Record) -> bool:
        progress = self.store[shard]
        lane = lane_of(record.key, progress.factor)
        heads = [it.head for it in progress.lanes if it.lane == lane and it.head is not None]
        is_done = any(record.position in head.done for head in heads)
        return is_done or super().is_stored(shard, record)

    def any_outcome(self, command: e.Invoke):
        outcome = super().any_outcome(command)
        if isinstance(outcome, PartlySucceeded):
            reported = {command.records[index].position for index in outcome.failed}
            positions = {record.position for record in command.records}
            self.finished[command.shard] |= positions - reported
        return outcome

    def fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        return msgspec.structs.replace(super().fetch(fetch), is_end=False)

    def feed(self, event: e.Event) -> None:
        before = len(self.open)
        super().feed(event)
        for command in self.open[before:]:
            shard = command.update.shard if hasattr(command, "update") else command.shard
            assert shard not in self.away, "D3: nothing is begun of what is away"

    def disturb(self) -> None:
        kind = self.random.random()
        if kind < 0.4:
            self.rebalance()
        elif kind < 0.5:
            self.come_back()
        else:
            super().disturb()

    def rebalance(self) -> None:
        """Some partitions go; others may go on with them; some come back at once."""
        self.crashes += 1  # what runs may run again
        self.feed(e.DrainRequested())
        # What the shell waits for, where functions take too long for the rest of it.
        while stores := [it for it in self.open if isinstance(it, e.SaveProgress | e.Discard)]:
            self.open.remove(stores[0])
            self.answer(stores[0])
        for shard in self.lineage:
            if shard in self.away or self.random.random() < 0.3:
                continue
            self.end_fetches(shard)
            self.feed(e.ShardRevoked(shard))
            self.away.add(shard)
            if self.random.random() < 0.3:
                self.others_work_on(shard)
        self.feed(e.Resumed())
        if self.random.random() < 0.6:
            self.come_back()

    def end_fetches(self, shard: str) -> None:
        """The shell ends them before it lets go."""
        for fetch in [it for it in self.open if isinstance(it, e.Fetch) and it.shard == shard]:
            self.open.remove(fetch)
            self.feed(e.RecordsFetched(fetch.command_id, (), fetch.after))

    def others_work_on(self, shard: str) -> None:
        """Another member finishes everything up to some record, and a lane further on.

        Or all that was known of, and takes another lane map.
        """
        old, records = self.store[shard], self.records[shard]
        position = max(old.position, self.random.choice(records).position)
        known = {lane.lane: lane for lane in old.lanes}
        factor = self.random.choice([old.factor, self.spec.factor])
        if factor == old.factor:
            lane, ahead = self.random.randrange(factor), self.random.choice(records).position
            if ahead > position and (lane not in known or known[lane].position < ahead):
                known[lane] = LaneProgress(lane, ahead)
        else:
            heads = [it.head for it in old.lanes if it.head is not None]
            ends = [end for head in heads for end in (head.last, *head.ends, *head.done)]
            position = max([position, *ends, *(it.position for it in old.lanes)])
            known = {}
        self.store[shard] = ShardProgress(position, factor, tuple(known.values()))
        for record in records:
            if self.is_stored(shard, record):
                self.finished[shard].add(record.position)

    def come_back(self) -> None:
        for shard in sorted(self.away):
            if self.is_faulty and self.random.random() < 0.3:
                continue
            self.away.remove(shard)
            self.feed(e.ShardOpened(shard, self.store[shard]))

    def run_to_the_end(self) -> None:
        self.is_faulty = False
        self.come_back()
        super().run_to_the_end()


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_every_record_ends_once_and_in_order_however_partitions_wander(seed: int) -> None:
    KafkaWorld(Random(seed)).run()
