"""Routers of one consumer group, without a clock: the production kind, shell, engine and commits.

Only the client library and the cluster behind it are made up (`client.py`, `cluster.py`); each
router has a store of its own. Two phases as everywhere: *safety* with the faults the options ask
for, then *liveness*, in which all must be finished and committed.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from router.mapping import engine as e
from router.mapping.kinds.kind import Order, Past
from router.model import limits
from router.model.errors import RouterError, StoreError
from router.model.function import InvokeReply, InvokeRequest
from router.model.progress import ProgressUpdate, ShardProgress
from router.sources.kafka import member
from router.store.base import EnqueuedMessage, OutboxRow
from router.telemetry.mapping_metrics import MappingMetrics
from tests.simulation.durable import Letter, SlowProgress, Store
from tests.simulation.lives import DRAIN_S, FUNCTION, SharedBudget
from tests.simulation.options import FAILURES_ARN, FAILURES_QUEUE
from tests.simulation.parts import Parts
from tests.simulation.shard_state import Violation
from tests.simulation.topics.book import RouterBook, TopicBook
from tests.simulation.topics.client import FakeConsumer
from tests.simulation.topics.cluster import Cluster, name_of
from tests.simulation.topics.function import TopicFunction, read_event
from tests.simulation.topics.loop import LifeOf, LoopOfLives
from tests.simulation.topics.options import TopicOptions, draw_spec

EPOCH_MS = 1_790_000_000_000
MINUTE_MS = 60_000
STEPS_KEPT = 50
BACKLOG_MAX = 600
"""Senders wait while so many records are not finished."""

SETTLE_MS = 4 * limits.BACKOFF_MS_MAX
"""A session, a rebalance, waits of the client and of an engine that failed often."""

CHANGEABLE = ("batch_size", "window_ms", "is_reporting_failures", "filters", "factor")

ACCESS = SimpleNamespace(servers=("127.0.0.1:9092",), options=dict)


class WatchedEngine:
    """A stream engine as the shell sees it, with the book listening at the door."""

    def __init__(self, engine: Any, router: "Router") -> None:
        self._engine = engine
        self._router = router

    def handle(self, event: e.Event, now_ms: int, wall_ms: int) -> list[e.Command]:
        """As the engine; everything said is checked."""
        router = self._router
        try:
            router.book.heard(event)
            router.note(event)
            commands: list[e.Command] = self._engine.handle(event, now_ms, wall_ms)
            for command in commands:
                router.note(command)
            router.book.said(commands)
        except Exception as error:
            router.world.fail(error)
            raise
        return commands

    def __getattr__(self, name: str) -> Any:
        """All else as the engine."""
        return getattr(self._engine, name)


class Router:
    """One router of the group: its store outlives its lives. Implements `durable.StoreFaults`."""

    def __init__(self, world: "TopicWorld", number: int) -> None:
        self.world = world
        self.number = number
        self.store = Store(world.wall_ms)
        self.is_cut = False
        self.life: LifeOf | None = None
        self.kind_life: Any = None
        self.consumers: list[FakeConsumer] = []
        self.book = RouterBook(world.book, number)
        self.commit_failures = 0
        self._progress: Any = None
        self._is_ending = False
        self._running = 0
        self._stored_ms = 0

    def note(self, step: Any) -> None:
        """Remember a step for the report of a failure."""
        self.world.note(step, self.number)

    # Life

    @property
    def is_up(self) -> bool:
        """Running, and not about to end."""
        return self.kind_life is not None and not self._is_ending

    def start(self) -> None:
        """A router begins on its own store."""
        if self.life is not None:
            return
        self.note("starts")
        self.life = LifeOf(self)
        self.consumers = []
        self._is_ending = False
        self._running = 0
        self.book = RouterBook(self.world.book, self.number)
        self.store.reopen()
        self.world.loop.run_as(self.life, self._begin())

    async def _begin(self) -> None:
        world = self.world
        self._progress = SlowProgress(self.store, self)
        self._progress.load = self._load
        self._progress.start = self._start
        dispatcher = world.parts.dispatcher(self, world.options.slots)
        dispatcher.register(world.spec.uuid)
        kind = world.parts.kafka_kind(
            SimpleNamespace(progress=self._progress, metadata=SimpleNamespace(apply=self._apply)),
            SimpleNamespace(servers=lambda _: ACCESS.servers, access=lambda _: ACCESS, look_s=30.0),
            dispatcher,
            self,
            world,
            SharedBudget(),
        )
        order = Order(
            spec=world.spec,
            past=Past(),
            numbers=MappingMetrics(world.spec.name, world.spec.uuid, "simulated", ""),
            resolve=lambda: FUNCTION,
            on_broken=self._broken,
            last_result="",
        )
        # As `KafkaKind.begin`, with the book at the engine's door before anything begins.
        make = world.parts.kafka_kind.begin.__globals__["KafkaLife"]
        life = make(kind, order)
        life.shell._engine = WatchedEngine(life.engine, self)
        await life.begin()
        self.kind_life = life
        if life.spec != world.spec:
            await life.follow(world.spec)

    def _broken(self) -> None:
        shell = self.kind_life.shell if self.kind_life is not None else None
        text = shell.last_error if shell is not None else ""
        self.world.fail(Violation("", f"the shell broke by itself: {text}"))

    def crash(self) -> bool:
        """`kill -9`."""
        if self.life is None:
            return False
        self.note("CRASH")
        if self.book.invokes:
            self.world.seen.add("crash_with_open_invocation")
        if self._progress is not None:
            self._progress.crash(lambda: self.world.rng.random() < 0.5)
        self._die()
        return True

    def _die(self) -> None:
        assert self.life is not None
        self.life.is_over = True
        for consumer in self.consumers:
            if consumer.member_id and not consumer._is_stopped:
                consumer.died()
        self.life = self.kind_life = None
        self._is_ending = False

    def end(self, then: Callable[[], None]) -> None:
        """In good order: drain, commit, leave."""
        if self.is_up and self.life is not None:
            self._is_ending = True
            self.world.loop.run_as(self.life, self._end(then))

    async def _end(self, then: Callable[[], None]) -> None:
        life = self.kind_life
        is_over = await life.drain(DRAIN_S)
        if not is_over:
            self.world.fail(Violation("S1", f"a drain takes more than {DRAIN_S} s"))
        await life.stop()
        self._die()
        then()

    def cut(self, is_cut: bool) -> None:
        """The way to the cluster is gone, or free again; what it has it goes on with."""
        self.is_cut = is_cut
        self.note("CUT OFF" if is_cut else "healed")
        for consumer in self.consumers:
            if is_cut and consumer.member_id:
                consumer.died()
            elif not is_cut:
                consumer.healed()

    def gave_up(self, *, is_good: bool) -> None:
        """Its partitions were revoked."""
        self.world.seen.add("rebalanced")
        try:
            self.book.gave_up(is_good=is_good and not self.world.cluster.is_away)
        except Violation as violation:
            self.world.fail(violation)

    # Its store (`durable.StoreFaults`, `Mailbox`)

    async def _load(self, mapping: str) -> dict[str, ShardProgress]:
        self.may_fail()
        return self.store.load(mapping)

    async def _start(self, mapping: str, positions: dict[str, int]) -> None:
        await self.pause(self.store_ms())
        self.store.start(mapping, positions)

    async def _apply(self, changes: Any) -> None:
        """What is covered by commits is forgotten."""
        await self.pause(self.store_ms())
        self.may_fail()
        for change in changes:
            self.store.drop(change.mapping)

    def route(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `shell.Mailbox`."""
        if row.destination != FAILURES_ARN:
            self.world.fail(Violation("D7", f"sent to {row.destination}"))
        return EnqueuedMessage(queue=FAILURES_QUEUE, body=row.body.decode())

    def store_ms(self) -> int:
        """See `StoreFaults`."""
        world = self.world
        return world.rng.randint(0, 0 if world.is_calm else world.options.store_ms_max)

    def may_fail(self) -> None:
        """See `StoreFaults`."""
        if self.world.chance(self.world.options.store_error_percent):
            raise StoreError("the disk is not there")

    def dies_at(self, point: str) -> bool:
        """See `StoreFaults`: crashes fall anywhere here."""
        return False

    def fail(self, error: Exception) -> None:
        """See `StoreFaults`."""
        self.world.fail(error)

    async def pause(self, after_ms: int) -> None:
        """See `StoreFaults`: one writer, one write after the other."""
        now_ms = self.world.now_ms()
        self._stored_ms = max(self._stored_ms + 1, now_ms + after_ms)
        await self.world.loop.pause(self._stored_ms - now_ms)

    async def never(self) -> None:
        """See `StoreFaults`."""

    def became_durable(
        self, update: ProgressUpdate, stored: ShardProgress | None, letter: Letter | None
    ) -> None:
        """See `StoreFaults`: an on-failure record is kept."""
        commands = [
            it
            for it in self.book.open.values()
            if isinstance(it, e.Discard) and it.update is update
        ]
        if not commands or letter is None or stored is None:
            self.world.fail(Violation("D7", f"stored of {update}: {stored}, {letter}"))
            return
        try:
            self.world.book.discarded(self.book, commands[0])
        except Violation as violation:
            self.world.fail(violation)

    # The pool (`dispatcher.InvokePool`)

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """An environment runs the function."""
        world = self.world
        self._running += 1
        try:
            if self._running > world.options.slots:
                raise Violation("L1", f"{self._running} run, the limit is {world.options.slots}")
            world.function.fake.may_not_run()
            shard, offsets = read_event(request.payload)
            command = world.book.running(self.book, shard, offsets)
            answer = world.function.answer(shard, offsets)
            await world.loop.pause(answer.reply.after_ms)
            failed = answer.failed(self.kind_life.spec if self.kind_life else world.spec, offsets)
            world.book.ended(self.book, command.command_id, failed)
        except Violation as error:
            world.fail(error)
            raise
        finally:
            self._running -= 1
        if self.is_cut:
            world.seen.add("zombie_finished_something")
        return answer.wire


class TopicWorld:
    """Time, and everything that happens in it."""

    def __init__(self, options: TopicOptions, rng: random.Random, parts: Parts) -> None:
        self.options = options
        self.rng = rng
        self.parts = parts
        self.loop = LoopOfLives(rng, options.tick_late_ms_max)
        self.trace: deque[tuple[int, Any]] = deque(maxlen=STEPS_KEPT)
        self.seen: set[str] = set()
        self.spec = options.spec
        self.is_calm = False
        self.waiting: list[asyncio.Future[None]] = []
        self.book = TopicBook(options, self.seen, self.now_ms)
        self.cluster = Cluster(options, rng, self.loop, self._committed)
        for partition in range(options.partitions):
            self.book.place(name_of(partition))
        self.function = TopicFunction(options, rng)
        self.routers = [Router(self, number) for number in range(options.routers)]

    @property
    def records(self) -> int:
        """That the topic has."""
        return sum(len(place.keys) for place in self.book.places.values())

    @property
    def duplicates(self) -> int:
        """Records handed over after they were finished."""
        return self.book.duplicates

    # The clock

    def now_ms(self) -> int:
        """Monotonic."""
        return self.loop.now_ms

    def wall_ms(self) -> int:
        """What the wall clock says."""
        return EPOCH_MS + self.loop.now_ms

    # Phases

    def run(self) -> None:
        """Both phases."""
        made = self.parts.kafka_member
        named = made.open.__globals__  # of a mutant: not those of the real module
        kept = member.Member, named["AIOKafkaConsumer"], named["probe"]
        member.Member = made
        named["AIOKafkaConsumer"], named["probe"] = FakeConsumer, self._probe
        try:
            self._run()
        finally:
            member.Member, named["AIOKafkaConsumer"], named["probe"] = kept
            self.loop.end()
            for router in self.routers:
                router.store.close()

    def _run(self) -> None:
        for router in self.routers:
            self.loop.later(self.rng.choice((0, 0, 5_000)), router.start, is_of_life=False)
        for _ in range(self.options.starts_with):
            self.append()
        self.loop.later(1, self._arrive, is_of_life=False)
        self._plan()
        self.loop.run_until(self.options.minutes * MINUTE_MS, lambda: False)
        self._calm_down()
        budget_ms = SETTLE_MS + 2 * self.spec.window_ms + self.book.backlog * 500
        self._run_for(budget_ms, lambda: self._is_settled)
        if not all(router.is_up for router in self.routers):
            raise Violation("S1", "a router that was to come up did not")
        self.book.check_settled()
        self._end()

    @property
    def _is_settled(self) -> bool:
        return all(router.is_up for router in self.routers) and self.book.is_settled

    def _calm_down(self) -> None:
        """No more faults, no more records; whoever is down or cut off comes back."""
        self.is_calm = self.function.fake.is_calm = True
        self.loop.late_ms_max = 0
        self.cluster.is_away = False
        for router in self.routers:
            self.loop.later(0, router.start, is_of_life=False)
            self.loop.later(0, lambda router=router: router.cut(False), is_of_life=False)

    def _end(self) -> None:
        left = list(self.routers)
        for router in self.routers:
            router.end(lambda router=router: left.remove(router))
        self._run_for(MINUTE_MS, lambda: not left)
        if left:
            raise Violation("S1", "settled, but does not end its drain")

    def _run_for(self, after_ms: int, is_over: Callable[[], bool]) -> None:
        self.loop.run_until(self.loop.now_ms + after_ms, is_over)

    # Records

    def append(self) -> None:
        """One more record in some partition."""
        options, rng = self.options, self.rng
        partition = rng.randrange(len(self.cluster.logs))
        index = min(rng.randrange(options.keys), rng.randrange(options.keys))
        key: bytes | None = b"k%d" % index
        if self.chance(options.keyless_percent):
            key = None
        is_gap = self.chance(options.gap_percent)
        offset = self.cluster.append(partition, key, self.wall_ms(), is_gap=is_gap)
        self.book.appended(name_of(partition), offset, key)
        if rng.random() * 1_000 < options.poison_per_mille:
            self.function.fake.poison.add((name_of(partition), offset))
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def _arrive(self) -> None:
        if self.is_calm:
            return
        count = self.rng.randint(1, self.options.burst_max)
        for _ in range(min(count, BACKLOG_MAX - self.book.backlog)):
            self.append()
        lull_ms = int(self.rng.expovariate(self.options.records_per_s / count) * 1_000)
        self.loop.later(lull_ms + 1, self._arrive, is_of_life=False)

    def _committed(self, name: str, offset: int, metadata: str) -> None:
        self.note(f"committed {name}: {offset} {metadata[:40]}")
        try:
            self.book.committed(name, offset, metadata)
        except Violation as violation:
            self.fail(violation)

    async def _probe(self, access: Any, topic: str) -> list[int]:
        """See `probe.probe`: the partitions of the topic."""
        await self.loop.pause(self.broker_ms())
        if self.cluster.is_away or self._current().is_cut:
            raise member.SourceProblem(member.PASSING, "no broker answers")
        return list(range(len(self.cluster.logs)))

    def _current(self) -> Router:
        from tests.simulation.topics.loop import LIFE

        life = LIFE.get()
        assert life is not None
        router: Router = life.router
        return router

    # Small things

    def chance(self, percent: int) -> bool:
        """Whether a fault strikes."""
        return not self.is_calm and percent > 0 and self.rng.random() * 100 < percent

    def broker_ms(self) -> int:
        """How long an answer takes."""
        return self.rng.randint(0, 1 if self.is_calm else self.options.broker_ms_max)

    def note(self, step: Any, number: int | None = None) -> None:
        """Remember a step for the report of a failure."""
        self.trace.append((self.loop.now_ms, step if number is None else Step(number, step)))

    def fail(self, error: BaseException) -> None:
        """End the run with this: a router would take it for a reason to start again."""
        if self.loop.failure is None:
            self.loop.failure = error

    # Troubles

    def _plan(self) -> None:
        options, end_ms = self.options, self.options.minutes * MINUTE_MS
        plan: list[tuple[int, Callable[[], object]]] = [
            (options.crashes, self._crash),
            (options.rolls, self._roll),
            (options.cuts, self._cut),
            (options.outages, self._outage),
            (options.growths, self._grow),
            (options.settings_changes, self._change),
        ]
        for count, strike in plan:
            for _ in range(count):
                self._at(self.rng.randrange(1, end_ms), strike)

    def _at(self, after_ms: int, strike: Callable[[], object]) -> None:
        def act() -> None:
            if not self.is_calm:
                strike()

        self.loop.later(after_ms, act, is_of_life=False)

    def _crash(self) -> None:
        router = self.rng.choice(self.routers)
        if router.crash():
            self._at(self.rng.choice((0, 500, 20_000)), router.start)

    def _roll(self) -> None:
        router = self.rng.choice(self.routers)

        def again() -> None:
            self.seen.add("rolled")
            self.loop.later(self.rng.choice((0, 3_000)), router.start, is_of_life=False)

        router.end(again)

    def _cut(self) -> None:
        router = self.rng.choice(self.routers)
        if not router.is_cut and router.is_up:
            router.cut(True)
            self._at(self.rng.choice((2_000, 8_500, 12_000, 30_000)), lambda: router.cut(False))

    def _outage(self) -> None:
        self.cluster.is_away = True
        self.note("THE CLUSTER IS AWAY")
        self._at(self.rng.choice((1_000, 5_000, 30_000)), self._back)

    def _back(self) -> None:
        self.cluster.is_away = False
        self.note("the cluster is back")
        for router in self.routers:
            for consumer in router.consumers:
                consumer.healed()

    def _grow(self) -> None:
        self.book.place(name_of(len(self.cluster.logs)))
        self.cluster.grow()
        self.seen.add("partition_came")

    def _change(self) -> None:
        fresh = draw_spec(self.rng)
        names = self.rng.sample(CHANGEABLE, self.rng.randint(1, 2))
        changes = {name: getattr(fresh, name) for name in names}
        self.spec = msgspec.structs.replace(self.spec, **changes)
        self.book.changed(self.spec)
        for router in self.routers:
            if router.kind_life is not None and router.life is not None:
                self.loop.run_as(router.life, self._follow(router))

    async def _follow(self, router: Router) -> None:
        try:
            await router.kind_life.follow(self.spec)
        except RouterError as error:
            self.fail(error)


class Step(msgspec.Struct, frozen=True):
    """What a router's engine heard or said."""

    router: int
    what: Any

    def __str__(self) -> str:
        from tests.simulation.run import shorten

        return f"router {self.router}: {shorten(self.what)}"
