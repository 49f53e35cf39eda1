"""The stream engine against a naive world: whatever happens, every record ends exactly once.

The world answers commands in any order with any outcome, crashes and starts again from what its
store holds, changes settings and drains. After every step it checks D2 to D6 and D10 to D12; in
the end every fault stops and every record must be finished and stored (D1). With tumbling windows
the handler's state is the list of what it was given, and every window must end (P30).
"""

from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.mapping import engine as e
from router.mapping.batching import ENVELOPE_BYTES
from router.mapping.lanes import lane_of
from router.mapping.shard import RunAhead
from router.mapping.stream_engine import StreamEngine
from router.model.errors import EngineError
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, PartlySucceeded, Succeeded
from router.model.progress import LaneProgress, ShardProgress
from router.model.record import Record
from router.model.window import window_frame_bytes
from tests.unit.mapping.play import WALL_MS, spec_of
from tests.unit.mapping.window_book import WindowBook, check_final, last_window

STEPS_MAX = 20_000
"""A run that needs more than this hangs."""

EVENT_BYTES_MAX = 1_000

GRAIN_MS = 2_500
"""Arrivals are multiples of it, and so are the widths of windows."""


class World:
    """Shards, a store, a function and a clock, all in a few lists."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now_ms = 0
        self.is_faulty = True
        self.spec = self.any_spec()
        self.lineage: dict[str, tuple[str, ...]] = {"0": (), "1": ("0",), "2": ()}
        self.records = {shard: self.any_records(shard) for shard in self.lineage}
        self.read_to = {shard: rs[-1].position + 5 for shard, rs in self.records.items()}
        self.store = {shard: ShardProgress(0, self.spec.factor) for shard in self.lineage}
        self.finished: dict[str, set[int]] = {shard: set() for shard in self.lineage}
        self.discarded: list[tuple[str, int]] = []
        self.windows = {shard: WindowBook() for shard in self.lineage}
        self.handed_out: set[tuple[str, int]] = set()
        self.crashes = 0
        self.start()

    def any_spec(self) -> MappingSpec:
        pick = self.random.choice
        return spec_of(
            batch_size=pick([1, 2, 3, 7, 20]),
            window_ms=pick([0, 0, 1_000, 30_000]),
            factor=pick([1, 1, 2, 3, 10]),
            retries_max=pick([-1, 0, 1, 3]),
            record_age_ms_max=pick([-1, -1, 60_000, 200_000]),
            is_bisecting=pick([True, False]),
            event_bytes_max=EVENT_BYTES_MAX,
            tumbling_window_ms=pick([0, 0, 5_000, 60_000, 90_000]),
            state_bytes_max=pick([30, 150, 10_000]),
        )

    def any_records(self, shard: str) -> list[Record]:
        random, position, records = self.random, 0, []
        for _ in range(random.randint(1, 60)):
            position += random.choice([1, 1, 1, 4])
            records.append(
                Record(
                    position,
                    f"key-{random.randint(0, 12)}",
                    # Now and then exactly at the end of a window.
                    (WALL_MS + random.randint(-150_000, 150_000)) // GRAIN_MS * GRAIN_MS,
                    random.choice([10, 50, 100, 100, 400, 1_200]),
                    b"",
                )
            )
        return records

    def start(self) -> None:
        """A router starts on what the store holds."""
        self.engine = StreamEngine(self.spec, RunAhead(self.random.choice([20, 50]), 6_000))
        self.open: list[e.Command] = []
        self.seen = {shard: self.store[shard].position for shard in self.lineage}
        self.quiet_wall_ms: dict[str, int] = {}
        self.ended: set[str] = set()
        for shard, parents in self.lineage.items():
            self.feed(e.ShardOpened(shard, self.store[shard], parents))

    @property
    def wall_ms(self) -> int:
        return WALL_MS + self.now_ms

    def feed(self, event: e.Event) -> None:
        for command in self.engine.handle(event, self.now_ms, self.wall_ms):
            self.open.append(command)
            if isinstance(command, e.Invoke):
                self.check_invoke(command)
            if isinstance(command, e.Fetch):
                self.check_fetch(command)
        invokes = [(c.shard, c.lane) for c in self.open if isinstance(c, e.Invoke)]
        assert len(invokes) == len(set(invokes)), "D6"
        fetches = [c.shard for c in self.open if isinstance(c, e.Fetch)]
        assert len(fetches) == len(set(fetches)), "one fetch per shard"

    # Checks.

    def check_fetch(self, fetch: e.Fetch) -> None:
        for parent in self.lineage[fetch.shard]:
            assert self.is_done(parent), "P28"

    def check_invoke(self, invoke: e.Invoke) -> None:
        spec, shard, batch = self.spec, invoke.shard, invoke.records
        self.windows[shard].check_invoke(invoke, self.store[shard])
        if not batch:
            if invoke.window.is_final and spec.tumbling_window_ms and not self.has_changed:
                self.check_final_call(invoke)
            return
        if not self.crashes and not self.has_changed:
            assert len(batch) <= spec.batch_size, "D11"
        frame_bytes = ENVELOPE_BYTES
        if invoke.window is not None:
            frame_bytes = window_frame_bytes(shard, spec.source_arn) + len(invoke.window.state)
        assert frame_bytes + sum(r.size_bytes for r in batch) <= EVENT_BYTES_MAX, "D11"
        if spec.retries_max >= 0:
            assert invoke.attempt <= 1 + spec.retries_max, "D10"
        if spec.record_age_ms_max >= 0:
            assert all(self.wall_ms - r.arrival_ms < spec.record_age_ms_max for r in batch), "D10"
        positions = [r.position for r in batch]
        assert positions == sorted(set(positions)), "D5"
        keys = {r.key for r in batch}
        for earlier in self.records[shard]:
            if earlier.key in keys and earlier.position < positions[-1]:
                is_inside = earlier.position in positions
                assert is_inside or self.is_finished(shard, earlier.position), "D5"
        assert not any(self.is_stored(shard, r) for r in batch), "D12"
        if not self.crashes:
            assert not any(self.is_finished(shard, r.position) for r in batch), "D12"

    def check_final_call(self, invoke: e.Invoke) -> None:
        shard = invoke.shard
        waiting = [
            record.arrival_ms
            for record in self.records[shard]
            if record.position <= self.seen[shard] and not self.is_stored(shard, record)
        ]
        check_final(
            invoke.window,
            waiting[0] if waiting else None,
            self.quiet_wall_ms.get(shard),
            is_ended=shard in self.ended,
        )

    has_changed = False

    def is_finished(self, shard: str, position: int) -> bool:
        return position in self.finished[shard]

    def is_stored(self, shard: str, record: Record) -> bool:
        progress = self.store[shard]
        lane = lane_of(record.key, progress.factor)
        positions = [lp.position for lp in progress.lanes if lp.lane == lane]
        return record.position <= max([progress.position, *positions])

    def is_done(self, shard: str) -> bool:
        return self.store[shard].position >= self.records[shard][-1].position

    def apply(self, update) -> None:
        """What a store does with a step; checks that it covers nothing unfinished."""
        old = self.store[update.shard]
        lanes = {} if old.factor != update.factor else {lp.lane: lp for lp in old.lanes}
        if before := lanes.get(update.lane.lane):
            assert update.lane.position >= before.position, "D4"
        if (window := last_window(old)) is not None:  # it outlives its lane map
            lanes.setdefault(0, LaneProgress(0, old.position, window=window))
        lanes[update.lane.lane] = update.lane
        new = ShardProgress(
            max(old.position, update.position), update.factor, tuple(lanes.values())
        )
        self.store[update.shard] = new
        book, handled = self.windows[update.shard], set()
        book.apply(old, new)
        for record in self.records[update.shard]:
            if self.is_stored(update.shard, record):
                assert self.is_finished(update.shard, record.position), "D2, D3"
                if (update.shard, record.position) not in self.discarded:
                    handled.add(record.position)
        book.check_all(new, handled)

    # Steps.

    def step(self) -> None:
        random = self.random
        due_ms = self.engine.next_wakeup_ms()
        if self.is_faulty and random.random() < 0.03:
            self.disturb()
        elif self.open and (due_ms is None or random.random() < 0.8):
            self.answer(self.open.pop(random.randrange(len(self.open))))
        elif due_ms is not None:
            self.now_ms = max(self.now_ms, due_ms)
            self.feed(e.Tick())

    def disturb(self) -> None:
        random = self.random
        match random.choice(["crash", "settings", "drain", "late"]):
            case "crash":
                self.crash()
            case "settings":
                self.has_changed = True
                self.spec = self.any_spec()
                self.feed(e.SettingsChanged(self.spec))
            case "drain":
                self.feed(e.DrainRequested())
                while not self.engine.is_drained:
                    waiting = [c for c in self.open if not isinstance(c, e.Fetch)]
                    if waiting:
                        self.open.remove(waiting[0])
                        self.answer(waiting[0])
                    else:
                        self.now_ms = max(self.now_ms, self.engine.next_wakeup_ms())
                        self.feed(e.Tick())
                assert not any(isinstance(c, e.Invoke) for c in self.open)
                if random.random() < 0.5:
                    self.feed(e.Resumed())
                else:
                    self.crash()
            case _:
                self.now_ms += random.randint(1, 20_000)
                self.feed(e.Tick())

    def crash(self) -> None:
        self.crashes += 1
        for command in self.open:
            if self.random.random() < 0.5:
                if isinstance(command, e.SaveProgress):
                    self.apply(command.update)
                elif isinstance(command, e.Discard):
                    self.apply_discard(command)
        if self.random.random() < 0.2:
            self.spec = self.any_spec()
            self.has_changed = True
        self.start()

    def apply_discard(self, command: e.Discard) -> None:
        shard = command.update.shard
        for record in command.records:
            assert (shard, record.position) not in self.discarded, "D7"
            self.discarded.append((shard, record.position))
            self.finished[shard].add(record.position)
        self.apply(command.update)

    def answer(self, command: e.Command) -> None:
        fails = self.is_faulty and self.random.random() < 0.1
        number = command.command_id
        match command:
            case e.Fetch():
                self.feed(e.FetchFailed(number, "x") if fails else self.noted_fetch(command))
            case e.Invoke():
                outcome = self.any_outcome(command)
                outcome = self.windows[command.shard].answer(command, outcome)
                self.feed(e.InvocationFinished(number, outcome))
            case e.SaveProgress():
                if fails:
                    self.feed(e.ProgressFailed(number, "x"))
                else:
                    self.apply(command.update)
                    self.feed(e.ProgressStored(number))
            case e.Discard():
                if fails:
                    self.feed(e.DiscardFailed(number, "x"))
                else:
                    self.apply_discard(command)
                    self.feed(e.DiscardStored(number))

    def noted_fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        """A fetch that brings nothing has waited for it."""
        answer = self.fetch(fetch)
        if answer.records or answer.read_to > fetch.after:
            self.quiet_wall_ms.pop(fetch.shard, None)
            self.seen[fetch.shard] = max(self.seen[fetch.shard], answer.read_to)
        else:
            self.now_ms += fetch.wait_ms
            self.quiet_wall_ms[fetch.shard] = self.wall_ms
        if answer.is_end:
            self.ended.add(fetch.shard)
        return answer

    def fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        later = [r for r in self.records[fetch.shard] if r.position > fetch.after]
        found: list[Record] = []
        size_bytes = 0
        for record in later[: self.random.randint(1, fetch.records_max)]:
            size_bytes += record.size_bytes
            if found and size_bytes > fetch.bytes_max:
                break
            found.append(record)
        is_all = len(found) == len(later)
        read_to = found[-1].position if found else fetch.after
        if is_all:
            read_to = max(read_to, self.read_to[fetch.shard])
        return e.RecordsFetched(
            fetch.command_id, tuple(found), read_to, is_all and fetch.shard == "0"
        )

    def any_outcome(self, command: e.Invoke):
        random, size = self.random, len(command.records)
        kind = random.choice(["ok", "ok", "partly", "failed", "invalid", "not run"])
        if kind == "partly" and not size:
            kind = "failed"
        done = size
        if not self.is_faulty or kind == "ok":
            outcome = Succeeded()
        elif kind == "partly":
            picked = sorted(random.sample(range(size), random.randint(1, size)))
            outcome, done = PartlySucceeded(tuple(picked)), picked[0]
        elif kind == "not run":
            outcome, done = NotRun("throttled"), 0
        else:
            outcome, done = Failed("Error", kind == "invalid"), 0
        for record in command.records[:done]:
            self.finished[command.shard].add(record.position)
        return outcome

    def run(self) -> None:
        for _ in range(self.random.randint(0, 400)):
            self.step()
        self.run_to_the_end()

    def run_to_the_end(self) -> None:
        """No more faults: everything is finished and stored."""
        self.is_faulty = False
        for _ in range(STEPS_MAX):
            if all(self.is_settled(shard) for shard in self.records):
                break
            self.step()
        for shard, records in self.records.items():
            assert self.is_settled(shard), "every record ends (D1)"
            assert self.finished[shard] == {r.position for r in records}

    def is_settled(self, shard: str) -> bool:
        window = last_window(self.store[shard])
        is_window_open = window is not None and window.is_open
        return self.store[shard].position >= self.read_to[shard] and not is_window_open


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_every_record_ends_once_and_in_order_whatever_happens(seed):
    World(Random(seed)).run()


class Skipping(World):
    """A mutant of the store's answer: one record is lost on the way in."""

    def fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        answer = super().fetch(fetch)
        if len(answer.records) < 2:
            return answer
        return msgspec.structs.replace(answer, records=answer.records[1:])


class Swapping(World):
    """Two records change places."""

    def fetch(self, fetch: e.Fetch) -> e.RecordsFetched:
        answer = super().fetch(fetch)
        return msgspec.structs.replace(answer, records=answer.records[::-1])


def run_seeds(world: type[World]) -> None:
    for seed in range(5):
        world(Random(seed)).run()


def test_the_checks_see_a_lost_record():
    with pytest.raises(AssertionError):
        run_seeds(Skipping)


def test_the_engine_refuses_records_out_of_order():
    with pytest.raises(EngineError, match="read after"):
        run_seeds(Swapping)


def test_a_stored_lane_position_above_the_shards_is_not_repeated():
    """D12: lanes run ahead of each other; a restart repeats only what was in flight."""
    world = World(Random(1))
    world.store["0"] = ShardProgress(
        0, world.spec.factor, (LaneProgress(0, world.records["0"][-1].position),)
    )
    for record in world.records["0"]:
        if lane_of(record.key, world.spec.factor) == 0:
            world.finished["0"].add(record.position)
    world.start()
    world.run()
