"""One router after the other on the same store: it starts, drains, crashes, starts again."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.dispatch.dispatcher import Dispatcher
from router.mapping import engine as e
from router.mapping.budget import Budget
from router.mapping.shell import Shell
from router.model.concurrency import Allotment
from router.model.errors import NotInvoked, StoreError
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.progress import ProgressUpdate, ShardProgress
from router.telemetry.mapping_metrics import MappingMetrics
from tests.simulation.durable import Letter, SlowProgress
from tests.simulation.function import Reply, read_event
from tests.simulation.letters import SlowOutbox
from tests.simulation.shard_state import Violation
from tests.simulation.watched import Watched, WorldAround

if TYPE_CHECKING:
    from tests.simulation.world import World

DRAIN_S = 900.0
"""As `manager.DRAIN_S`: a drain may last as long as a function may run."""

FUNCTION = FunctionVersion(
    name="simulated",
    arn="arn:aws:lambda:us-east-1:000000000000:function:simulated",
    runtime="python3.11",
    handler="app.handler",
    code_path="",
    code_hash="",
)
RIVAL = FunctionVersion(
    name="rival", arn="", runtime="python3.11", handler="app.handler", code_path="", code_hash=""
)
"""Of another mapping, which wants the same slots."""

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


class SharedBudget(Budget):
    """The bound on all mappings, where what the others hold is the world's whim."""

    __slots__ = ("room",)

    def __init__(self) -> None:
        super().__init__()
        self.mappings = 1
        self.room: int | None = None

    @property
    def room_bytes(self) -> int | None:
        """See `Budget.room_bytes`."""
        return self.room


class Lives:
    """The router: at most one at a time. What it asks of its world is answered here."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._loop = world.loop
        self._rng: random.Random = world.rng
        self._seen = world.seen
        self.shell: Shell | None = None
        self._engine: Watched
        self.budget = SharedBudget()
        self._progress: SlowProgress | None = None
        self._armed: str | None = None
        self._count = 0
        self._running = self._running_rivals = 0
        self._reserved: int | None = None
        """What the rival's function has, since when, and who of it waits."""
        self._reserved_ms = 0
        self._waiting_rivals: dict[asyncio.Task[None], None] = {}
        self._then: Callable[[], None] | None = None
        self.on_next_invoke: Callable[[], None] | None = None
        """Strikes in the middle of the next invocation."""

    @property
    def is_ending(self) -> bool:
        """A drain is not over."""
        return self._then is not None

    # It lives

    def start(self) -> None:
        """A router begins on what the store holds."""
        world, options = self._world, self._world.options
        if self.shell is not None:
            return
        if world.troubles.is_deleted:
            world.troubles.create()
        self._count += 1
        self._running = self._running_rivals = 0
        self._reserved = None
        self._waiting_rivals = {}
        world.store.reopen()
        stored = world.store.load(world.spec.uuid)
        world.note(f"life {self._count} starts: {stored}")
        around = WorldAround(
            checker=world.checker,
            note=world.note,
            aim_at_age=world.troubles.aim_at_age,
            heard=self._heard,
            wall_ms=world.wall_ms,
            fail=self.fail,
        )
        engine = self._engine = Watched(world.parts.engine(world.spec, world.run_ahead), around)
        dispatcher = world.parts.dispatcher(self, options.concurrency_max)
        dispatcher.register(world.spec.uuid)
        self._progress = SlowProgress(world.store, self)
        self.budget = SharedBudget()
        self.shell = world.parts.shell(
            world.spec,
            engine,
            source=world.stream,
            source_format=world.parts.format(),
            progress=self._progress,
            runner=dispatcher,
            budget=self.budget,
            mailbox=world.letters,
            resolve=lambda: FUNCTION,
            numbers=MappingMetrics(world.spec.name, world.spec.uuid, "simulated", ""),
            clock=world,
            on_broken=lambda: self.fail(Violation("", "the shell broke by itself")),
        )
        outbox = SlowOutbox(world.store, world.letters, self)
        courier = world.parts.courier(outbox, {"sqs": world.letters}, world.wall_ms)
        self._loop.create_task(courier.run())
        world.checker.started(world.spec, stored, world.now_ms())
        self.shell.start([self._opened(name, stored) for name in world.stream.shards])
        if options.rival_percent:
            dispatcher.register("rival")
            self._loop.create_task(self._rival(dispatcher))
            if options.is_reserving:
                self._loop.create_task(self._reserve(dispatcher))

    def _opened(self, name: str, stored: dict[str, ShardProgress]) -> e.ShardOpened:
        return e.ShardOpened(name, stored[name], self._world.stream.shards[name].parents)

    def open_shard(self, name: str) -> None:
        """A shard that came while the router runs."""
        world = self._world
        if self.shell is not None and not world.troubles.is_deleted:
            stored = world.store.load(world.spec.uuid)
            world.checker.books[name].started(world.spec, stored[name], world.now_ms())
            self.shell.start([self._opened(name, stored)])

    def settings_changed(self) -> None:
        """Whoever runs hears of them."""
        if self.shell is not None and not self._world.troubles.is_deleted:
            self.shell.change_settings(self._world.spec)

    def change_room(self, room_bytes: int | None) -> None:
        """Other mappings hold more, or less, than before."""
        self.budget.room = room_bytes
        if self.shell is not None:
            self.shell.see_room()

    def fail(self, error: Exception) -> None:
        """See `StoreFaults`."""
        if self._loop.failure is None:
            self._loop.failure = error

    # It ends

    def drain(self, then: Callable[[], None]) -> bool:
        """Start nothing new; what follows when all has ended. False when it cannot begin."""
        if self.shell is None or self.is_ending:
            return False
        self._then = then
        self._loop.create_task(self._drain(self.shell, self._engine))
        return True

    async def _drain(self, shell: Shell, engine: Watched) -> None:
        is_over = await shell.drain(DRAIN_S)
        if not shell.is_draining:
            return  # resumed
        if is_over and not engine.is_drained:
            self.fail(Violation("S1", "a drain that says it is over, and is not"))
        if not is_over:
            self.fail(Violation("S1", f"a drain takes more than {DRAIN_S} s"))
            return
        then, self._then = self._then, None
        await shell.stop()
        self._die()
        if then is not None:
            then()

    def resume(self) -> None:
        """Enabled again: a drain that is not over ends, a router that has ended starts anew."""
        if self.shell is None:
            self.start()
        elif self.is_ending and not self._world.troubles.is_deleted:
            self._seen.add("paused_and_resumed")
            self._then = None
            self.shell.resume()

    def calm_down(self) -> None:
        """Be up, and stay so."""
        self._armed = None
        self._loop.later(0, self.resume, is_of_life=False)

    @property
    def is_up(self) -> bool:
        """Running, and not about to end."""
        return self.shell is not None and not self.is_ending

    def arm_crash(self) -> None:
        """The next time the router gets to this point, it dies there."""
        self._armed = self._rng.choice(CRASH_POINTS)
        self.dies_at("any moment")

    def dies_at(self, point: str) -> bool:
        """See `StoreFaults`."""
        if self._armed != point or self.shell is None:
            return False
        world = self._world
        world.note(f"CRASH at: {point}")
        self._seen.add(f"crash at: {point}")
        self._armed = None
        world.checker.crashed()
        assert self._progress is not None
        self._progress.crash(lambda: self._rng.random() < 0.5)
        self._die()
        after_ms = self._rng.choice((0, 50, 5_000))
        self._loop.later(after_ms, self.start, is_of_life=False)
        return True

    def _die(self) -> None:
        self._loop.die()
        self._world.stream.forget_readers()
        self.shell = self._progress = self._then = None

    def _heard(self, event: e.Event) -> None:
        if self._armed == "failure not stored" and self._world.checker.has_just_failed(event):
            self._loop.call_soon(self.dies_at, "failure not stored")

    # The pool (`dispatcher.InvokePool`)

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """An environment runs the function."""
        world = self._world
        is_rival = request.function is RIVAL
        self._running += 1
        self._running_rivals += is_rival
        try:
            self._keep_to_limits(is_rival=is_rival)
            if is_rival:
                await self._loop.pause(self._rng.randint(0, 5_000))
                return InvokeReply(payload=b"null")
            world.function.may_not_run()
            return await self._run(request)
        except Violation as error:
            self.fail(error)
            raise
        finally:
            self._running -= 1
            self._running_rivals -= is_rival
            if self._waiting_rivals and world.options.is_reserving:
                self._loop.call_soon(self._give_up_one)

    def _keep_to_limits(self, *, is_rival: bool) -> None:
        limit = self._world.options.concurrency_max
        if self._running > limit:
            raise Violation("L1", f"{self._running} invocations, the limit is {limit}")
        if self._running == limit:
            self._seen.add("concurrency_limit_reached")
        if self._reserved is None or self._world.now_ms() == self._reserved_ms:
            return  # or what begins now had its turn before
        mine, slots = self._running - self._running_rivals, limit - self._reserved
        if is_rival:
            mine, slots = self._running_rivals, self._reserved
        if mine > slots:
            raise Violation("L1", f"{mine} invocations begun, there are {slots} slots for them")
        if mine == slots:
            self._seen.add("reservation_used_up")

    async def _run(self, request: InvokeRequest) -> InvokeReply:
        world = self._world
        call = read_event(request.payload)
        command = world.checker.running(call)
        reply = world.function.reply(call)
        self._strike_in(reply)
        await self._loop.pause(reply.after_ms)
        verdict = reply.verdict(world.spec, is_window=call.window is not None)
        world.checker.ended(command.command_id, verdict)
        return reply.wire

    def _strike_in(self, reply: Reply) -> None:
        if self.on_next_invoke is not None:
            strike, self.on_next_invoke = self.on_next_invoke, None
            self._loop.later(reply.after_ms // 2, strike, is_of_life=False)
        if self._armed == "invocation open":
            self._loop.later(reply.after_ms // 2, lambda: self.dies_at("invocation open") and None)

    async def _rival(self, dispatcher: Dispatcher) -> None:
        """Another mapping of the same router."""
        world = self._world
        while not world.is_calm:
            await self._loop.pause(self._rng.randint(1, 1_000))
            if world.chance(world.options.rival_percent):
                request = InvokeRequest(function=RIVAL, invoked_arn="", request_id="", payload=b"")
                task = self._loop.create_task(self._run_rival(dispatcher, request))
                self._waiting_rivals[task] = None
                task.add_done_callback(lambda task: self._waiting_rivals.pop(task, None) and None)

    async def _run_rival(self, dispatcher: Dispatcher, request: InvokeRequest) -> None:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotInvoked):
            await dispatcher.invoke_for(
                "rival", request, on_turn=lambda: self._waiting_rivals.pop(task, None) and None
            )

    def _give_up_one(self) -> None:
        """One waits no more, perhaps just as its turn has come."""
        if self._waiting_rivals:
            next(iter(self._waiting_rivals)).cancel()

    async def _reserve(self, dispatcher: Dispatcher) -> None:
        """The rival's function is given a reservation, of nothing at all too, and loses it."""
        world = self._world
        rng = random.Random(f"reservations {world.options.seed} {self._count}")
        while not world.is_calm:
            await self._loop.pause(rng.randint(1, 4_000))
            most = world.options.concurrency_max - 1
            self._reserved = rng.choice((None, 0, min(1, most))) if not world.is_calm else None
            self._reserved_ms = world.now_ms()
            given = {} if self._reserved is None else {RIVAL.name: Allotment(self._reserved)}
            dispatcher.allot(given)

    # The store's faults (`durable.StoreFaults`)

    def store_ms(self) -> int:
        """See `StoreFaults`."""
        return self._rng.randint(0, 0 if self._world.is_calm else self._world.options.store_ms_max)

    def may_fail(self) -> None:
        """See `StoreFaults`."""
        if self._world.chance(self._world.options.store_error_percent):
            raise StoreError("the disk is not there")

    async def pause(self, after_ms: int) -> None:
        """See `StoreFaults`."""
        await self._loop.pause(after_ms)

    async def never(self) -> None:
        """See `StoreFaults`."""
        await self._loop.create_future()

    def became_durable(
        self, update: ProgressUpdate, stored: ShardProgress | None, letter: Letter | None
    ) -> None:
        """See `StoreFaults`."""
        checker = self._world.checker
        command = checker.applied(update, stored)
        if isinstance(command, e.Discard):
            self._world.letters.written(command, letter, checker.destination_of(command))
