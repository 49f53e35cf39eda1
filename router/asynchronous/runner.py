"""Takes events from the queue, has them run, and stores what came of it.

    queue ─► claim ─► attempt (its turn, the function as it is now) ─► decide ─► put back | finish
      ▲                                                                             │
      └─────────────── one transaction a cycle: ends of the last, claims of the next ┘

What is in memory is claimed in the store; when the router dies it is run again.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from router.asynchronous import decide
from router.asynchronous.attempt import Ran, Stopped, Stopping, Targets, Turns, attempt, claimant_of
from router.asynchronous.decide import Again, Over, Rules, Waits, rules_of
from router.asynchronous.endings import Mailbox, Ways, finished
from router.asynchronous.lines import CYCLE_EVENTS_MAX, Lines
from router.dispatch.traces import new_trace
from router.model.destination import kind_of, parse_destination
from router.model.errors import RECURSIVE_TEXT, NotFound, RouterError
from router.model.trace_header import LOOP_INVOCATIONS_MAX, count_of, step
from router.outcomes.invocation_record import STOPPED_CODE, Ended, HoldUp, Response
from router.store.asynchronous import AsyncStore, Claim, Cycle, Finished, PutBack, QueuedEvent
from router.telemetry import metrics
from router.telemetry.chaos import chaos_point

log = structlog.get_logger()

LEASE_MARGIN_MS: Final = 60_000
"""How long a claim holds beyond the function's timeout (7.1)."""

NEWCOMER: Final = "async"
"""Who never runs anything, so that of the concurrency something is left for a function whose
first event comes when another one's hold all they can have (L4)."""

STOPPED: Final = HoldUp(STOPPED_CODE, RECURSIVE_TEXT)
"""Why an event of a loop was not run."""

STORE_WAIT_S: Final = 1.0
"""How long after a failure the store is asked again."""

BLOCKED_WAIT_MS: Final = 1_000
"""How often an end is tried again for whose records the outbox has no room."""

FUNCTION_MISSING: Final = "FunctionMissing"
"""Why an event of a deleted function is dropped, as metrics and logs name it."""


class Clock(Protocol):
    """Both clocks, in milliseconds."""

    def now_ms(self) -> int:
        """Monotonic."""

    def wall_ms(self) -> int:
        """Since the epoch."""


class _Held:
    """An event in memory."""

    __slots__ = ("asked_ms", "event", "has_begun", "task")

    def __init__(self, event: QueuedEvent, asked_ms: int) -> None:
        self.event = event
        self.asked_ms = asked_ms
        """When the queue was asked for it."""
        self.has_begun = False
        self.task: asyncio.Task[None] | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.event.payload)


class _Back(msgspec.Struct, frozen=True):
    """An event on its way back; when it is due by the clock that nobody sets."""

    due_ms: int
    attempts: int
    held_up: int
    response: bytes | None


class Runner:
    """Runs what the queue holds. `run` it until `drain`."""

    def __init__(
        self,
        store: AsyncStore,
        targets: Targets,
        turns: Turns,
        mailbox: Mailbox,
        clock: Clock,
        waits: Waits,
        *,
        lines: Lines | None = None,
    ) -> None:
        """`lines`: other limits than the usual ones."""
        self._store = store
        self._targets = targets
        self._turns = turns
        self._mailbox = mailbox
        self._clock = clock
        self._waits = waits
        self._lines = Lines() if lines is None else lines
        self._held: dict[int, _Held] = {}
        self._finished: dict[int, Finished] = {}
        self._put_back: dict[int, _Back] = {}
        self._blocked: dict[int, Finished] = {}
        """Over, but there is no room yet for what goes on its way."""
        self._blocked_ms = 0
        """When that is tried again."""
        self._woken = asyncio.Event()
        self._measured: set[str] = set()
        """Functions whose gauge is not at rest."""
        self._has_events = False
        """Some function has ever had one."""
        self._is_draining = False
        self._is_idle = asyncio.Event()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Response).decode

    # The cycle

    async def run(self) -> None:
        """Run events, for ever."""
        self._store.subscribe(self._arrived)
        for function in self._store.waiting():
            self._arrived(function)
        while True:
            await self._rest()
            await self._cycle()

    async def drain(self, timeout_s: float) -> bool:
        """Take up nothing more, let what runs end; False when time ran out.

        What waits for its turn goes back to the queue. What is cut runs again after a restart.
        """
        self._is_draining = True
        for event_id, held in self._held.items():
            is_settled = event_id in self._finished or event_id in self._put_back
            if not held.has_begun and not is_settled and held.task is not None:
                held.task.cancel()
                self._go_back(held, 0, held.event.attempts, held.event.held_up)
        self._wake()
        try:
            async with asyncio.timeout(timeout_s):
                while self._held:
                    self._is_idle.clear()
                    await self._is_idle.wait()
        except TimeoutError:
            pass
        return not self._held

    async def measure(self) -> None:
        """Bring the gauges up to date. Raises `StoreError`."""
        overdue_ms = await self._store.overdue_ms(self._clock.wall_ms())
        waiting = self._store.waiting()
        for function in self._measured | waiting.keys():
            events = waiting[function].events if function in waiting else 0
            metrics.ASYNC_WAITING.labels(function).set(events)
            metrics.ASYNC_OVERDUE.labels(function).set(overdue_ms.get(function, 0) / 1000)
        self._measured = set(waiting)

    async def stop(self) -> None:
        """End what still runs; its events stay in the queue."""
        self._is_draining = True
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _arrived(self, function: str) -> None:
        """There are events for a function."""
        if not self._has_events:
            self._has_events = True
            self._turns.register(NEWCOMER)
        self._lines.arrived(function, self._clock.now_ms())
        self._wake()

    def _wake(self) -> None:
        self._woken.set()

    async def _rest(self) -> None:
        """Until there is something to do."""
        if not self._finished and not self._put_back:
            next_ms = None if self._is_draining else self._lines.next_ms()
            if self._blocked:
                next_ms = min(self._blocked_ms, next_ms or self._blocked_ms)
            if next_ms is None:
                await self._woken.wait()
            elif (rest_ms := next_ms - self._clock.now_ms()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest_ms / 1000):
                        await self._woken.wait()
        self._woken.clear()
        # Whatever ends in the same turn of the loop shares the transaction.
        await asyncio.sleep(0)

    async def _cycle(self) -> None:
        """One transaction: what is over, what goes back, what comes."""
        if self._blocked and self._clock.now_ms() >= self._blocked_ms:
            self._finished |= self._blocked
            self._blocked.clear()
        over = list(self._finished.values())[:CYCLE_EVENTS_MAX]
        now_ms, wall_ms = self._clock.now_ms(), self._clock.wall_ms()
        back = [
            PutBack(
                event_id, wall_ms + one.due_ms - now_ms, one.attempts, one.held_up, one.response
            )
            for event_id, one in itertools.islice(self._put_back.items(), CYCLE_EVENTS_MAX)
        ]
        claims = self._claims()
        if not over and not back and not claims:
            return
        try:
            chaos_point("before_async_cycle")
            cycle = await self._store.cycle(over, back, claims, wall_ms)
            chaos_point("after_async_cycle")
        except RouterError as error:
            log.warning("async_cycle_failed", error=str(error))
            now_ms = self._clock.now_ms()
            for claim in claims:
                self._lines.not_taken(claim.function, now_ms)
            await asyncio.sleep(STORE_WAIT_S)
            return
        self._settle(cycle, over, back)
        self._take(cycle, now_ms)

    def _claims(self) -> list[Claim]:
        if self._is_draining:
            return []
        wall_ms = self._clock.wall_ms()
        return [
            Claim(
                wanted.function,
                wanted.events_max,
                wanted.bytes_max,
                wall_ms + self._targets.timeout_ms(wanted.function) + LEASE_MARGIN_MS,
            )
            for wanted in self._lines.wanted(self._clock.now_ms())
        ]

    def _settle(self, cycle: Cycle, over: Sequence[Finished], back: Sequence[PutBack]) -> None:
        """What the transaction brought to its end is in memory no more."""
        refused = set(cycle.refused)
        for one in over:
            del self._finished[one.id]
            if one.id in refused:
                self._blocked[one.id] = one
                continue
            for event in one.events:
                metrics.ASYNC_RECEIVED.labels(event.function).inc()
            self._forget(one.id)
        if refused:
            self._blocked_ms = self._clock.now_ms() + BLOCKED_WAIT_MS
            log.warning("async_ends_wait", events=len(refused))
        for again in back:
            due_ms = self._put_back.pop(again.id).due_ms
            self._lines.arrived(self._held[again.id].event.function, due_ms)
            self._forget(again.id)

    def _take(self, cycle: Cycle, asked_ms: int) -> None:
        """Set about what came."""
        for taken in cycle.taken:
            # A claim that ran out while its event was in hand is nobody else's.
            new = [event for event in taken.events if event.id not in self._held]
            next_ms = None if taken.due_in_ms is None else asked_ms + taken.due_in_ms
            sizes = [len(event.payload) for event in new]
            self._lines.taken(taken.function, sizes, next_ms)
            if new:
                self._turns.register(claimant_of(taken.function))
            for event in new:
                held = self._held[event.id] = _Held(event, asked_ms)
                held.task = asyncio.create_task(self._handle(held))

    def _forget(self, event_id: int) -> None:
        held = self._held.pop(event_id)
        function = held.event.function
        self._lines.left(function, held.size_bytes)
        if not self._lines.holds(function):
            self._turns.unregister(claimant_of(function))
        if not self._held:
            self._is_idle.set()

    # One event

    async def _handle(self, held: _Held) -> None:
        """From the claim to what is to be stored. Loses nothing, whatever happens."""
        try:
            await self._attempt(held)
        except Exception as error:
            log.error("async_attempt_broke", function=held.event.function, exc_info=error)
            self._go_back(held, self._waits.held_up_ms_max, held.event.attempts, held.event.held_up)
        self._wake()

    def _rules(self, held: _Held) -> Rules:
        return rules_of(self._targets.config(held.event.function, held.event.qualifier))

    def _age_ms(self, held: _Held) -> int:
        return held.event.age_ms + self._clock.now_ms() - held.asked_ms

    async def _attempt(self, held: _Held) -> None:
        event = held.event
        if not self._targets.exists(event.function):
            self._drop(held)
            return
        reserved = self._targets.reserved(event.function)
        over = decide.before_attempt(self._rules(held), self._age_ms(held), reserved)
        if over is not None:
            await self._end_unrun(held, over, HoldUp("429", "Rate Exceeded."))
            return
        try:
            result = await attempt(event, self._targets, self._turns, self._beginning(held))
        finally:
            if held.has_begun:
                self._lines.ran(event.function)
        match result:
            case Stopping():
                self._go_back(held, 0, event.attempts, event.held_up)
            case Stopped():
                await self._end_unrun(held, Over(decide.RETRIES_EXHAUSTED), STOPPED)
            case HoldUp():
                self._lines.held_up(event.function, self._clock.now_ms())
                await self._held_up(held, result)
            case Ran() if result.response.is_error:
                self._failed(held, result)
            case Ran():
                ended = self._ended(held, decide.SUCCESS, event.attempts + 1, result.response)
                self._end(held, ended, result.dead_letter_arn)

    def _beginning(self, held: _Held) -> Callable[[], None]:
        def began() -> None:
            held.has_begun = True
            self._lines.began(held.event.function)
            metrics.ASYNC_AGE.labels(held.event.function).observe(self._age_ms(held) / 1000)
            self._wake()

        return began

    def _failed(self, held: _Held, ran: Ran) -> None:
        attempts = held.event.attempts + 1
        decision = decide.after_error(self._rules(held), self._waits, attempts, self._age_ms(held))
        if isinstance(decision, Again):
            response = self._encode(ran.response)
            self._go_back(held, decision.wait_ms, attempts, 0, response)
            return
        ended = self._ended(held, decision.condition, attempts, ran.response)
        self._end(held, ended, ran.dead_letter_arn)

    async def _held_up(self, held: _Held, hold_up: HoldUp) -> None:
        event, times = held.event, held.event.held_up + 1
        decision = decide.after_hold_up(
            self._rules(held), self._waits, times, self._age_ms(held), event.request_id
        )
        if isinstance(decision, Again):
            self._go_back(held, decision.wait_ms, event.attempts, times)
        else:
            await self._end_unrun(held, decision, hold_up)

    # Its end

    def _go_back(
        self,
        held: _Held,
        wait_ms: int,
        attempts: int,
        held_up: int,
        response: bytes | None = None,
    ) -> None:
        due_ms = self._clock.now_ms() + wait_ms
        self._put_back[held.event.id] = _Back(due_ms, attempts, held_up, response)

    async def _end_unrun(self, held: _Held, over: Over, hold_up: HoldUp) -> None:
        """It is over without one more attempt; what the last one said is in the store."""
        event, response = held.event, None
        if event.has_response:
            kept = await self._store.response(event.id)
            response = None if kept is None else self._decode(kept)
        dead_letter_arn = ""
        with contextlib.suppress(NotFound):
            version = self._targets.version(event.function, event.qualifier)
            dead_letter_arn = version.dead_letter_arn
        ended = self._ended(held, over.condition, event.attempts, response)
        self._end(held, ended, dead_letter_arn, hold_up)

    def _ended(
        self, held: _Held, condition: str, invoke_count: int, response: Response | None
    ) -> Ended:
        event = held.event
        return Ended(
            request_id=event.request_id,
            function=event.function,
            function_arn=self._targets.arn(event.function, event.qualifier or "$LATEST"),
            condition=condition,
            invoke_count=invoke_count,
            payload=event.payload,
            response=response,
            wall_ms=self._clock.wall_ms(),
        )

    def _end(
        self, held: _Held, ended: Ended, dead_letter_arn: str, hold_up: HoldUp | None = None
    ) -> None:
        event = held.event
        config = self._targets.config(event.function, event.qualifier)
        is_success = ended.condition == decide.SUCCESS
        destination = None
        if config is not None:
            destination = config.on_success if is_success else config.on_failure
        arn = self._targets.arn(event.function, None)
        trace_header = step(event.trace_id, arn, new_trace).header
        if hold_up is STOPPED and self._goes_round(destination, trace_header):
            destination = None
        if not is_success:
            metrics.ASYNC_DROPPED.labels(event.function, ended.condition).inc()
            log.warning(
                "async_event_given_up",
                function=event.function,
                request_id=event.request_id,
                condition=ended.condition,
                attempts=ended.invoke_count,
                destination=destination,
                dead_letter=dead_letter_arn or None,
            )
        ways = Ways(destination, dead_letter_arn)
        self._finished[event.id] = finished(
            event.id, ended, ways, self._mailbox, trace_header=trace_header, hold_up=hold_up
        )

    def _goes_round(self, destination: str | None, trace_header: str) -> bool:
        """Whether it is a function of the same loop: records of stops would go round for ever."""
        if destination is None or kind_of(destination) != "function":
            return False
        function = parse_destination(destination).name
        times = count_of(trace_header, self._targets.arn(function, None))
        return times >= LOOP_INVOCATIONS_MAX and not self._targets.may_loop(function)

    def _drop(self, held: _Held) -> None:
        """Its function was deleted."""
        event = held.event
        metrics.ASYNC_DROPPED.labels(event.function, FUNCTION_MISSING).inc()
        log.warning(
            "async_event_given_up",
            function=event.function,
            request_id=event.request_id,
            condition=FUNCTION_MISSING,
            attempts=event.attempts,
        )
        self._finished[event.id] = Finished(event.id)
