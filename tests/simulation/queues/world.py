"""A router on a queue, without a clock: the production shell, engine and dispatcher.

The queue, the function and the faults are made up, everything random comes from the run's seed.
As for streams there are two phases: *safety* with the faults the options ask for, then *liveness*
without, in which every message must be handled, filtered out, or dead by the redrive policy.
"""

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from router.dispatch.dispatcher import Dispatcher
from router.mapping import engine as e
from router.mapping import queue_events as q
from router.mapping.queue_engine import QueueEngine
from router.model import limits
from router.model.errors import NotInvoked
from router.model.function import InvokeReply, InvokeRequest
from router.telemetry.mapping_metrics import MappingMetrics
from tests.simulation.lives import DRAIN_S, FUNCTION, RIVAL, SharedBudget
from tests.simulation.loop import VirtualLoop
from tests.simulation.parts import Parts
from tests.simulation.queues.book import FUNCTION_MS, QueueBook
from tests.simulation.queues.function import QueueFunction, read_names
from tests.simulation.queues.options import QueueOptions, draw_spec
from tests.simulation.queues.source import SimulatedQueue, SizedFormat
from tests.simulation.shard_state import Violation

EPOCH_MS = 1_790_000_000_000
MINUTE_MS = 60_000
STEPS_KEPT = 50
BUSY_TICKS_MAX = 200

CHANGEABLE = (
    "batch_size", "window_ms", "is_reporting_failures", "filters", "concurrency_max",
    "backoff_ms_max",
)  # fmt: skip
"""Settings that an update of a running mapping may touch."""

TIMED = msgspec.structs.replace(FUNCTION, timeout_ms=FUNCTION_MS)


class WatchedQueueEngine:
    """A queue engine as the shell sees it, with the book listening at the door."""

    def __init__(self, engine: QueueEngine, world: "QueueWorld") -> None:
        self._engine = engine
        self._world = world
        self._busy_ticks = 0
        self._busy_ms = -1

    def handle(self, event: q.Event, now_ms: int, wall_ms: int) -> list[q.Command]:
        """As the engine; everything said is checked."""
        world = self._world
        try:
            world.book.heard(event)
            world.note(event)
            commands = self._engine.handle(event, now_ms, wall_ms)
            for command in commands:
                world.note(command)
            world.book.said(commands)
            world.book.drained(self._engine.is_drained)
            self._see_spinning(event, commands, now_ms)
        except Exception as error:
            world.fail(error)
            raise
        return commands

    def _see_spinning(self, event: q.Event, commands: list[q.Command], now_ms: int) -> None:
        if commands or not isinstance(event, e.Tick) or now_ms != self._busy_ms:
            self._busy_ticks, self._busy_ms = 0, now_ms
        self._busy_ticks += 1
        if self._busy_ticks > BUSY_TICKS_MAX:
            raise Violation("L3", "the engine asks for ticks and does nothing")
        if self._engine.held_bytes < 0:
            raise Violation("L2", f"{self._engine.held_bytes} bytes are held")

    def __getattr__(self, name: str) -> Any:
        """All else as the engine."""
        return getattr(self._engine, name)


class QueueWorld:
    """Time, and everything that happens in it."""

    def __init__(self, options: QueueOptions, rng: random.Random, parts: Parts) -> None:
        self.options = options
        self.rng = rng
        self.parts = parts
        self.loop = VirtualLoop(rng, options.tick_late_ms_max)
        self.trace: deque[tuple[int, Any]] = deque(maxlen=STEPS_KEPT)
        self.seen: set[str] = set()
        self.spec = options.spec
        self.window_ms_max = self.spec.window_ms
        self.is_calm = False
        self._is_awake = False
        """Up again for good."""
        self.function = QueueFunction(options, rng)
        self.source = SimulatedQueue(self)
        self.book = QueueBook(options, self.seen, self.now_ms, self._hidden_until_ms)
        self.shell: Any = None
        self.budget = SharedBudget()
        self._engine: Any = None
        self._running = 0
        self._then: Callable[[], None] | None = None
        self._count = 0

    @property
    def records(self) -> int:
        """Messages that came."""
        return len(self.book.messages)

    @property
    def duplicates(self) -> int:
        """Messages handed over after they were handled."""
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
        try:
            self.loop.later(0, self.start, is_of_life=False)
            for _ in range(self.options.starts_with):
                self.send()
            self.loop.later(1, self.source.arrive, is_of_life=False)
            self._plan()
            self.loop.run_until(self.options.minutes * MINUTE_MS, lambda: False)
            self._calm_down()
            self._run_for(self._budget_ms(), lambda: self._is_awake and self._is_settled)
            self.book.check_settled(self.function.poison)
            self._end()
        finally:
            self.loop.end()

    @property
    def _is_settled(self) -> bool:
        return self.is_up and self.book.is_settled

    def _budget_ms(self) -> int:
        """What is hidden comes back, and waits for its window; what is poison is spent."""
        options = self.options
        hidden_ms = options.visibility_s * 1_000 + self.window_ms_max + FUNCTION_MS + 30_000
        rounds = 3 + (options.receives_max or 0)
        return rounds * (hidden_ms + limits.BACKOFF_MS_MAX) + self.book.backlog * 400

    def send(self) -> None:
        """One more message, before anything begins."""
        self.source.send()

    def _calm_down(self) -> None:
        """No more faults, no more messages; whoever is down or paused comes back."""
        self.is_calm = self.function.fake.is_calm = True
        self.loop.late_ms_max = 0
        self.loop.later(0, self._be_up, is_of_life=False)

    def _be_up(self) -> None:
        self.resume()
        self.change_room(None)
        self._is_awake = True

    def _end(self) -> None:
        self.drain(lambda: None)
        self._run_for(MINUTE_MS, lambda: self.shell is None)
        if self.shell is not None:
            raise Violation("S1", "settled, but does not end its drain")

    def _run_for(self, after_ms: int, is_over: Callable[[], bool]) -> None:
        self.loop.run_until(self.loop.now_ms + after_ms, is_over)

    # Small things

    def chance(self, percent: int) -> bool:
        """Whether a fault strikes."""
        return not self.is_calm and percent > 0 and self.rng.random() * 100 < percent

    async def pause(self, ms_max: int) -> None:
        """Calls take their time."""
        await self.loop.pause(self.rng.randint(0, 1 if self.is_calm else ms_max))

    def note(self, step: Any) -> None:
        """Remember a step for the report of a failure."""
        self.trace.append((self.loop.now_ms, step))

    def fail(self, error: BaseException) -> None:
        """End the run with this: the shell would take it for a reason to start again."""
        if self.loop.failure is None:
            self.loop.failure = error

    def is_poison(self, number: int) -> bool:
        """Drawn when a message is sent."""
        if self.rng.random() * 1_000 >= self.options.poison_per_mille:
            return False
        return bool(number % 2) or not self.options.is_dead_exactly_poison

    def _hidden_until_ms(self, name: str) -> int:
        found = (one for one in self.source.queue.messages if one.id == name)
        return next((one.visible_ms for one in found), 0)

    # The router

    @property
    def is_up(self) -> bool:
        """Running, and not about to end."""
        return self.shell is not None and self._then is None

    def start(self) -> None:
        """A router begins."""
        if self.shell is not None:
            return
        options = self.options
        self._count += 1
        self._running = 0
        self.note(f"life {self._count} starts")
        self.book.started(self.spec)
        engine = self.parts.queue_engine(self.spec, options.slots, options.receive_max)
        self._engine = WatchedQueueEngine(engine, self)
        dispatcher = self.parts.dispatcher(self, options.slots)
        dispatcher.register(self.spec.uuid)
        self.budget = SharedBudget()
        source_format = SizedFormat(self.spec.source_arn)
        source_format.sizes = self.source.sizes
        self.shell = self.parts.queue_shell(
            self.spec,
            self._engine,
            source=self.source,
            source_format=source_format,
            runner=dispatcher,
            resolve=lambda: TIMED,
            numbers=MappingMetrics(self.spec.name, self.spec.uuid, "simulated", ""),
            clock=self,
            budget=self.budget,
            on_broken=self._broken,
        )
        self.shell.start()
        if options.rival_percent:
            dispatcher.register("rival")
            self.loop.create_task(self._rival(dispatcher))

    def _broken(self) -> None:
        self.fail(Violation("", f"the shell broke by itself: {self.shell.last_error}"))

    def crash(self) -> None:
        """`kill -9`, and another one later."""
        if self.shell is None:
            return
        self.note("CRASH")
        self.book.crashed()
        self._die()
        after_ms = self.rng.choice((0, 50, 5_000))
        self.loop.later(after_ms, self.start, is_of_life=False)

    def _die(self) -> None:
        self.loop.die()
        self.source.forget_readers()
        self.shell = self._engine = self._then = None

    def drain(self, then: Callable[[], None]) -> bool:
        """Start nothing new; what follows when all has ended. False when it cannot begin."""
        if self.shell is None or self._then is not None:
            return False
        self._then = then
        self.loop.create_task(self._drain(self.shell, self._engine))
        return True

    async def _drain(self, shell: Any, engine: WatchedQueueEngine) -> None:
        is_over = await shell.drain(DRAIN_S)
        if not shell.is_draining:
            return  # resumed
        if not is_over:
            self.fail(Violation("S1", f"a drain takes more than {DRAIN_S} s"))
            return
        if not engine.is_drained or engine.held_records or engine.held_bytes:
            self.fail(Violation("S1", "a drain that says it is over, and is not"))
        then, self._then = self._then, None
        await shell.stop()
        self._die()
        if then is not None:
            then()

    def resume(self) -> None:
        """Enabled again: a drain that is not over ends, a router that has ended starts anew."""
        if self.shell is None:
            self.start()
        elif self._then is not None:
            self.seen.add("paused_and_resumed")
            self._then = None
            self.shell.resume()

    # Troubles

    def _plan(self) -> None:
        options, end_ms = self.options, self.options.minutes * MINUTE_MS
        plan: list[tuple[int, Callable[[], object]]] = [
            (options.crashes, self.crash),
            (options.drains, self._restart),
            (options.pauses, self._pause),
            (options.settings_changes, self._change),
            (options.room_changes, self._change_room),
        ]
        for count, strike in plan:
            for _ in range(count):
                self.loop.later(
                    self.rng.randrange(1, end_ms), self._unless_calm(strike), is_of_life=False
                )

    def _unless_calm(self, strike: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            if not self.is_calm:
                strike()

        return act

    def _restart(self) -> None:
        def again() -> None:
            self.seen.add("drained_and_restarted")
            self.start()

        self.drain(again)

    def _pause(self) -> None:
        """Disabled and enabled again, at times before the drain is over."""
        if self.drain(lambda: None):
            after_ms = self.rng.choice((0, 1, 100, 20_000))
            self.loop.later(after_ms, self._unless_calm(self.resume), is_of_life=False)

    def _change(self) -> None:
        fresh = draw_spec(self.rng, is_fifo=self.options.is_fifo)
        names = self.rng.sample(CHANGEABLE, self.rng.randint(1, 3))
        changes = {name: getattr(fresh, name) for name in names}
        if self.spec.pollers is not None:
            changes.pop("concurrency_max", None)
        spec = msgspec.structs.replace(self.spec, **changes)
        if spec.batch_size > 10 and not spec.window_ms:  # refused by the API
            spec = msgspec.structs.replace(spec, batch_size=10)
        self.spec = spec
        self.window_ms_max = max(self.window_ms_max, spec.window_ms)
        if self.shell is not None:
            self.shell.change_settings(spec)

    def _change_room(self) -> None:
        self.change_room(self.rng.choice((None, 1, 500, 100_000, 64 << 20)))

    def change_room(self, room_bytes: int | None) -> None:
        """Other mappings hold more, or less, than before."""
        self.budget.room = room_bytes
        if self.shell is not None:
            self.shell.see_room()

    # The pool (`dispatcher.InvokePool`)

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """An environment runs the function."""
        self._running += 1
        try:
            if self._running > self.options.slots:
                raise Violation("L1", f"{self._running} run, the limit is {self.options.slots}")
            if request.function is RIVAL:
                await self.loop.pause(self.rng.randint(0, 5_000))
                return InvokeReply(payload=b"null")
            self.function.fake.may_not_run()
            return await self._run(request)
        except Violation as error:
            self.fail(error)
            raise
        finally:
            self._running -= 1

    async def _run(self, request: InvokeRequest) -> InvokeReply:
        names, groups = read_names(request.payload)
        command = self.book.running(names)
        answer = self.function.answer(names, groups)
        await self.loop.pause(answer.reply.after_ms)
        failed = answer.failed(self.spec, names)
        self.book.ended(command.command_id, failed, is_valid=not answer.reply.is_refused)
        return answer.wire

    async def _rival(self, dispatcher: Dispatcher) -> None:
        """Another mapping of the same router."""
        while not self.is_calm:
            await self.loop.pause(self.rng.randint(1, 1_000))
            if self.chance(self.options.rival_percent):
                request = InvokeRequest(function=RIVAL, invoked_arn="", request_id="", payload=b"")
                self.loop.create_task(self._run_rival(dispatcher, request))

    async def _run_rival(self, dispatcher: Dispatcher, request: InvokeRequest) -> None:
        with contextlib.suppress(NotInvoked):
            await dispatcher.invoke_for("rival", request)
