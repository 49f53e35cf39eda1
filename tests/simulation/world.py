"""A router without a clock: one heap of (virtual ms, tie-break, action) around one engine.

Everything random comes from one generator, seeded with the run's seed: first all options, then
all choices. The engine and the reply interpreter are the production ones, the rest is fake.
Two phases: *safety*, with the faults the options ask for; then *liveness*, without faults, in
which everything must settle within the longest back-off + the longest window + 60 s.
"""

import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import msgspec

from router.mapping import engine as e
from router.mapping.shard import RunAhead
from router.model import limits
from router.model.mapping_spec import MappingSpec
from router.model.outcome import NotRun
from router.model.progress import ShardProgress
from tests.simulation.checker import Checker
from tests.simulation.fakes import FakeFunction, FakeShard, FakeStore, Reply
from tests.simulation.heads import Kind, Verdict
from tests.simulation.options import Options, draw_spec
from tests.simulation.shard_state import Violation

EPOCH_MS = 1_790_000_000_000
MINUTE_MS = 60_000
SETTLE_MS = limits.BACKOFF_MS_MAX + 60_000
"""Liveness: what is allowed on top of the longest window."""
BUSY_TICKS_MAX = 200
"""Ticks in a row at one virtual moment that bring nothing: the engine is spinning."""
STEPS_KEPT = 50

MakeEngine = Callable[[MappingSpec, RunAhead], e.Engine]

CRASH_POINTS = (
    "any moment",
    "invocation open",
    "failure not stored",
    "save stored, not answered",
    "discard asked",
    "discard stored, not answered",
    "discard stored, not answered",
)
"""Where a crash may fall; the rarest is wished for twice."""


class World:
    """Time, and everything that happens in it."""

    def __init__(self, options: Options, rng: random.Random, make_engine: MakeEngine) -> None:
        self.options = options
        self.rng = rng
        self.now_ms = 0
        self.wall_skew_ms = 0
        self.steps = 0
        self.trace: deque[tuple[int, Any]] = deque(maxlen=STEPS_KEPT)
        self.spec = options.spec
        self.window_ms_max = options.spec.window_ms
        self.store = FakeStore()
        self.function = FakeFunction(options, rng)
        self.shards: dict[str, FakeShard] = {}
        self.checker = Checker(
            set(),
            tick_ms=options.tick_late_ms_max + 1,
            run_ahead=(options.run_ahead_records, options.run_ahead_bytes),
        )
        self._run_ahead = RunAhead(options.run_ahead_records, options.run_ahead_bytes)
        self._make_engine = make_engine
        self._engine: e.Engine | None = None
        self._life = 0
        self._heap: list[tuple[int, float, int, Callable[[], None]]] = []
        self._order = 0
        self._tick = 0
        self._busy_ticks = 0
        self._is_calm = False
        self._is_draining = False
        self._then: Callable[[], None] | None = None
        self._waiting: dict[str, tuple[e.Fetch, int]] = {}
        self._writes: dict[int, e.SaveProgress | e.Discard] = {}
        self._running = 0
        self._queue: deque[e.Invoke] = deque()
        self._armed: str | None = None
        self._is_change_due = False

    @property
    def wall_ms(self) -> int:
        """What the wall clock says now."""
        return EPOCH_MS + self.now_ms + self.wall_skew_ms

    # Phases

    def run(self) -> None:
        """Both phases."""
        self._build()
        self._run_until(self.options.minutes * MINUTE_MS, lambda: False)
        self._calm_down()
        budget_ms = SETTLE_MS + self.window_ms_max + self.checker.backlog * 6
        self._run_until(self.now_ms + budget_ms, lambda: self.checker.is_settled)
        self.checker.check_settled()
        self._drain(lambda: None)
        self._run_until(self.now_ms + MINUTE_MS, lambda: self._then is None)
        if self._then is not None:
            raise Violation("S1", "settled, but does not end its drain")
        if self.options.is_fault_free:
            self.checker.seen.add("fault_free")
            if self.checker.duplicates:
                raise Violation("D12", f"{self.checker.duplicates} duplicates without a fault")

    def _build(self) -> None:
        options = self.options
        for index in range(options.shards):
            self._new_shard(f"shard-{index}", ())
        self._start()
        names = list(self.shards)
        for _ in range(options.starts_with):
            self._append(self.rng.choice(names))
        self._later(1, self._arrive, is_of_life=False)
        end_ms = options.minutes * MINUTE_MS
        plan: list[tuple[int, Callable[[], None]]] = [
            (options.crashes, self._arm_crash),
            (options.drains, lambda: self._drain(self._restart)),
            (options.pauses, self._pause),
            (options.settings_changes, self._plan_change),
            (options.wall_jumps, self._jump),
            (options.splits, self._split),
            (options.room_changes, self._change_room),
        ]
        for count, action in plan:
            for _ in range(count):
                self._later(self.rng.randrange(1, end_ms), action, is_of_life=False)
        if options.retention_ms:
            self._later(1_000, self._trim, is_of_life=False)

    def _calm_down(self) -> None:
        """No more faults, no more records; whoever is down or paused comes back."""
        self._is_calm = True
        self.function.is_calm = True
        self._armed = None
        if self._engine is None:
            self._start()
        if self._is_draining:
            self._resume()
        if self.options.room_changes:
            self._feed(e.RoomChanged(None))

    def _run_until(self, end_ms: int, is_over: Callable[[], bool]) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end_ms:
            if is_over():
                return
            self.now_ms, _, _, action = heappop(heap)
            self.steps += 1
            action()
        if not is_over():
            self.now_ms = end_ms

    def _later(self, after_ms: int, action: Callable[[], None], *, is_of_life: bool = True) -> None:
        """Do it then; what belongs to a router's life is forgotten when it dies."""
        life = self._life
        self._order += 1

        def act() -> None:
            if not is_of_life or life == self._life:
                action()

        heappush(self._heap, (self.now_ms + after_ms, self.rng.random(), self._order, act))

    def _chance(self, percent: int) -> bool:
        return not self._is_calm and percent > 0 and self.rng.random() * 100 < percent

    # The source

    def _new_shard(self, name: str, parents: tuple[str, ...]) -> None:
        shard = FakeShard(name, parents)
        # The store does not know the lane map of a shard nobody has read yet.
        progress = ShardProgress(0, self.rng.choice((1, self.spec.factor)))
        self.shards[name] = shard
        self.store.progress[name] = progress
        self.checker.opened_shard(name, parents, progress)

    def _arrive(self) -> None:
        """Records come in bursts; most of the time there is a lull."""
        if self._is_calm:
            return
        options, rng = self.options, self.rng
        count = rng.randint(1, options.burst_max)
        names = [name for name, shard in self.shards.items() if not shard.is_closed]
        for _ in range(count):
            self._append(rng.choice(names))
        lull_ms = int(rng.expovariate(options.records_per_s / count) * 1_000)
        self._later(lull_ms + 1, self._arrive, is_of_life=False)

    def _append(self, name: str) -> None:
        shard = self.shards[name]
        record = shard.append(self.options, self.rng, self.wall_ms)
        if self.rng.random() * 1_000 < self.options.poison_per_mille:
            self.function.poison.add((name, record.position))
        self.checker.appended(name, record)
        self._wake(name)

    def _wake(self, name: str) -> None:
        if (waiting := self._waiting.pop(name, None)) is not None:
            self._later(self.rng.randint(0, 2), lambda: self._answer_fetch(waiting[0]))

    def _trim(self) -> None:
        if self._is_calm:
            return
        for name, shard in self.shards.items():
            shard.trim(self.wall_ms - self.options.retention_ms)
            self.checker.trimmed(name, shard.trimmed_to)
        self._later(1_000, self._trim, is_of_life=False)

    def _split(self) -> None:
        """One shard closes, two take over (lineage)."""
        if self._is_calm:
            return
        name = self.rng.choice([name for name, shard in self.shards.items() if not shard.is_closed])
        self.shards[name].is_closed = True
        self.trace.append((self.now_ms, f"{name} is closed"))
        for half in ("a", "b"):
            child = f"{name}{half}"
            self._new_shard(child, (name,))
            if self._engine is not None:
                self.checker.books[child].started(
                    self.spec, self.store.progress[child], self.now_ms
                )
                self._feed(self._opened(child))
        if self.checker.books[name].undone:
            self.checker.seen.add("child_shard_waited")
        self._wake(name)

    # The router's lives

    def _start(self) -> None:
        self._life += 1
        self._is_draining = False
        self._then = None
        self._engine = self._make_engine(self.spec, self._run_ahead)
        self.trace.append((self.now_ms, f"life {self._life} starts: {self.store.progress}"))
        self.checker.started(self.spec, self.store.progress, self.now_ms)
        for name in list(self.shards):
            self._feed(self._opened(name))

    def _opened(self, name: str) -> e.ShardOpened:
        return e.ShardOpened(name, self.store.progress[name], self.shards[name].parents)

    def _arm_crash(self) -> None:
        """The next time the router gets to this point, it dies there."""
        if self._is_calm:
            return
        self._armed = self.rng.choice(CRASH_POINTS)
        self._crash_at("any moment")

    def _crash_at(self, point: str) -> bool:
        if self._armed != point or self._engine is None:
            return False
        self.trace.append((self.now_ms, f"CRASH at: {point}"))
        self._armed = None
        self.checker.crashed()
        for command in self._writes.values():
            if self.rng.random() < 0.5:
                self._apply(command)
        self._stop()
        self._later(self.rng.choice((0, 50, 5_000)), self._start_again, is_of_life=False)
        return True

    def _start_again(self) -> None:
        if self._engine is None:
            self._start()

    def _stop(self) -> None:
        self._engine = None
        self._life += 1
        self._waiting.clear()
        self._writes.clear()
        self._queue.clear()
        self._running = 0
        self._then = None
        self._is_draining = False

    def _restart(self) -> None:
        self.checker.seen.add("drained_and_restarted")
        self._stop()
        self._start()

    def _drain(self, then: Callable[[], None]) -> None:
        if self._engine is None or self._is_draining:
            return
        self._is_draining = True
        self._then = then
        self._feed(e.DrainRequested())
        for fetch, _ in list(self._waiting.values()):
            self._feed(e.FetchFailed(fetch.command_id, "draining"))
        self._waiting.clear()

    def _pause(self) -> None:
        """Disabled and enabled again, at times before the drain is over."""
        if self._engine is None or self._is_draining or self._is_calm:
            return
        self._drain(lambda: None)
        self._later(self.rng.choice((1, 100, 20_000)), self._resume)

    def _resume(self) -> None:
        if self._engine is not None and self._is_draining:
            self.checker.seen.add("paused_and_resumed")
            self._is_draining = False
            self._then = None
            self._feed(e.Resumed())

    def _plan_change(self) -> None:
        """Settings change now or in the middle of the next invocation."""
        if self.rng.random() < 0.5:
            self._change_settings()
        else:
            self._is_change_due = True

    def _change_settings(self) -> None:
        if self._is_calm:
            return
        fresh = draw_spec(self.rng)
        names = self.rng.sample(
            (
                "batch_size",
                "window_ms",
                "factor",
                "retries_max",
                "record_age_ms_max",
                "is_bisecting",
                "is_reporting_failures",
            ),
            self.rng.randint(1, 4),
        )
        changes = {name: getattr(fresh, name) for name in names}
        self.spec = msgspec.structs.replace(self.spec, **changes)
        self.window_ms_max = max(self.window_ms_max, self.spec.window_ms)
        if self._engine is not None:
            self._feed(e.SettingsChanged(self.spec))

    def _change_room(self) -> None:
        """All mappings together hold more, or less, than before."""
        if self._engine is None or self._is_calm:
            return
        self._feed(e.RoomChanged(self.rng.choice((None, 1, 500, 5_000, 100_000, 64 << 20))))

    def _jump(self) -> None:
        if self._is_calm:
            return
        self.wall_skew_ms += self.rng.choice((-86_400_000, -3_600_000, 3_600_000, 86_400_000))
        self.trace.append((self.now_ms, f"wall clock jumps to {self.wall_ms}"))
        self.checker.seen.add("wall_jump")

    def _aim_at_age(self) -> None:
        """Let a record reach exactly the age limit now, or a millisecond later."""
        age_ms_max = self.spec.record_age_ms_max
        if age_ms_max < 0 or not self._chance(self.options.age_edge_percent):
            return
        book = self.checker.books[self.rng.choice(list(self.shards))]
        position = next(iter(book.undone), None)
        if position is not None:
            limit_ms = book.records[position].arrival_ms + age_ms_max
            self.wall_skew_ms += limit_ms - self.wall_ms - self.rng.choice((0, 1))
            self.checker.seen.add("age_on_edge")

    # The shell

    def _feed(self, event: e.Event) -> None:
        engine = self._engine
        assert engine is not None
        checker = self.checker
        checker.heard(event, self.now_ms)
        self.trace.append((self.now_ms, event))
        commands = engine.handle(event, self.now_ms, self.wall_ms)
        if commands:
            self._busy_ticks = 0
            for command in commands:
                self.trace.append((self.now_ms, command))
            checker.said(commands, self.now_ms, self.wall_ms)
        is_drained = engine.is_drained
        checker.drained(is_drained)
        self._arm_tick(engine.next_wakeup_ms())
        for command in commands:
            self._carry_out(command)
        if is_drained and self._then is not None:
            then, self._then = self._then, None
            then()

    def _arm_tick(self, wakeup_ms: int | None) -> None:
        self._tick += 1
        if wakeup_ms is None:
            return
        tick = self._tick
        late_ms = self.rng.randint(0, self.options.tick_late_ms_max)

        def act() -> None:
            if tick == self._tick:
                self._busy_ticks += 1
                if self._busy_ticks > BUSY_TICKS_MAX:
                    raise Violation("L3", "the engine asks for ticks and does nothing")
                self._aim_at_age()
                self._feed(e.Tick())

        self._later(max(0, wakeup_ms + late_ms - self.now_ms), act)

    def _carry_out(self, command: e.Command) -> None:
        match command:
            case e.Fetch():
                self._later(self._fetch_ms(), lambda: self._fetch(command))
            case e.Invoke():
                self._later(0, lambda: self._dispatch(command))
            case e.SaveProgress() | e.Discard():
                self._writes[command.command_id] = command
                store_ms = 0 if self._is_calm else self.options.store_ms_max
                self._later(self.rng.randint(0, store_ms), lambda: self._write(command))

    def _fetch_ms(self) -> int:
        return self.rng.randint(0, 1 if self._is_calm else self.options.fetch_ms_max)

    def _fetch(self, command: e.Fetch) -> None:
        if self._chance(self.options.fetch_error_percent):
            self._feed(e.FetchFailed(command.command_id, "unreachable"))
        elif self._chance(self.options.fetch_empty_percent):
            self._feed(e.RecordsFetched(command.command_id, (), command.after))
        else:
            self._answer_fetch(command)

    def _answer_fetch(self, command: e.Fetch) -> None:
        shard = self.shards[command.shard]
        records_max = command.records_max
        if self._chance(self.options.fetch_short_percent):
            records_max = self.rng.randint(1, min(3, records_max))
        records, read_to = shard.read(command.after, records_max, command.bytes_max)
        is_end = shard.is_closed and read_to == shard.last
        if records or is_end or read_to > command.after or self._is_draining:
            self._feed(e.RecordsFetched(command.command_id, records, read_to, is_end))
            return
        self._waiting[command.shard] = (command, self.now_ms)
        self._later(command.wait_ms, lambda: self._fetch_waited(command))

    def _fetch_waited(self, command: e.Fetch) -> None:
        waiting = self._waiting.get(command.shard)
        if waiting is not None and waiting[0] is command:
            del self._waiting[command.shard]
            self._feed(e.RecordsFetched(command.command_id, (), command.after))

    def _dispatch(self, command: e.Invoke) -> None:
        if self.function.is_throttled():
            self._refuse(command)
        elif not self._is_calm and self._running >= self.options.concurrency_max:
            self.checker.seen.add("concurrency_limit_reached")
            if self.options.does_limit_wait:
                self._queue.append(command)
            else:
                self._refuse(command)
        else:
            self._invoke(command)

    def _refuse(self, command: e.Invoke) -> None:
        self.checker.ended(command.command_id, Verdict(Kind.NOT_RUN))
        self._feed(e.InvocationFinished(command.command_id, NotRun("throttled")))

    def _invoke(self, command: e.Invoke) -> None:
        self._running += 1
        self.checker.running(command)
        reply = self.function.reply(command.shard, command.records)
        self._later(reply.after_ms, lambda: self._invoked(command, reply))
        if self._is_change_due:
            self._is_change_due = False
            self._later(reply.after_ms // 2, self._change_settings)
        if self._armed == "invocation open":
            self._later(reply.after_ms // 2, self._crash_in_invocation)

    def _crash_in_invocation(self) -> None:
        self._crash_at("invocation open")

    def _invoked(self, command: e.Invoke, reply: Reply) -> None:
        self._running -= 1
        if self._queue:
            waiting = self._queue.popleft()
            self._later(0, lambda: self._invoke(waiting))
        verdict = reply.verdict(self.spec)
        outcome = reply.outcome(self.spec, command.records)
        self.checker.ended(command.command_id, verdict)
        self._feed(e.InvocationFinished(command.command_id, outcome))
        if verdict.kind is not Kind.FINISHED:
            self._crash_at("failure not stored")

    def _write(self, command: e.SaveProgress | e.Discard) -> None:
        is_discard = isinstance(command, e.Discard)
        if is_discard and self._crash_at("discard asked"):
            return
        del self._writes[command.command_id]
        if self._chance(self.options.store_error_percent):
            if is_discard:
                self.checker.seen.add("discard_not_stored")
                self._feed(e.DiscardFailed(command.command_id, "store_error"))
            else:
                self.checker.seen.add("progress_not_stored")
                self._feed(e.ProgressFailed(command.command_id, "store_error"))
            return
        self._apply(command)
        if is_discard:
            if self._crash_at("discard stored, not answered"):
                self.checker.seen.add("crash_between_discard_and_answer")
                return
        elif self._crash_at("save stored, not answered"):
            self.checker.seen.add("crash_between_save_and_answer")
            return
        done = e.DiscardStored if is_discard else e.ProgressStored
        self._later(self.rng.randint(0, 1), lambda: self._feed(done(command.command_id)))

    def _apply(self, command: e.SaveProgress | e.Discard) -> None:
        self.checker.applied(command, self.store.apply(command.update))
