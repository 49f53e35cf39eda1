"""A made-up world around the production runner of events: virtual time, faults, kills.

The store, the functions and the callers are made up; runner, lines, rules and dispatcher are the
production ones. Every event that was accepted must come to one end, which what happened to it
explains (`functions-and-invocation.md` 7.1).
"""

import itertools
import json
import random
from collections import Counter, defaultdict

import msgspec

from router.asynchronous.decide import Waits
from router.asynchronous.lines import Lines
from router.asynchronous.runner import Runner
from router.dispatch.dispatcher import Dispatcher
from router.model.errors import NotFound, NotInvoked, StoreError
from router.model.event_invoke import EventInvoke
from router.model.function import FunctionVersion, InvokeReply
from router.store.asynchronous import Cycle, EventsWaiting, NewEvent, QueuedEvent, Taken
from tests.simulation.loop import VirtualLoop

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
TURN_MS = 31_000
"""How long an event may wait for its turn."""

BAD_MS = 600_000
"""How long faults go on; then all must settle."""


class Options(msgspec.Struct, frozen=True):
    """What a seed draws before anything happens."""

    functions: tuple[str, ...]
    limit: int
    events: int
    error_share: float
    throttle_share: float
    start_failure_share: float
    break_share: float
    slow_ms: int
    store_ms: int
    store_failure_share: float
    kills: int
    stops: int
    jumps: int
    refused_share: float
    has_deletion: bool
    has_zero: bool
    retries_max: int
    age_s_max: int
    held_bytes_max: int

    @classmethod
    def draw(cls, rng: random.Random) -> "Options":
        def some(share: float, value: float) -> float:
            return value if rng.random() < share else 0

        # The longest outlives its own claim, of 63 s.
        slow_ms = rng.choice([1, 100, 5_000, 90_000])
        return cls(
            functions=("f", "g", "h", "i")[: rng.randint(1, 4)],
            limit=rng.choice([1, 2, 5, 40]),
            events=rng.choice([5, 50, 200]) if slow_ms < 9_000 else 5,
            error_share=rng.choice([0, 0.2, 0.6, 1]),
            throttle_share=some(0.3, rng.choice([0.1, 0.5])),
            start_failure_share=some(0.2, 0.2),
            break_share=some(0.1, 0.1),
            slow_ms=slow_ms,
            store_ms=rng.choice([0, 3, 50]),
            store_failure_share=some(0.3, 0.2),
            kills=int(some(0.5, rng.randint(1, 5))),
            stops=int(some(0.3, rng.randint(1, 3))),
            jumps=int(some(0.3, rng.randint(1, 3))),
            refused_share=some(0.2, 0.3),
            has_deletion=rng.random() < 0.2,
            has_zero=rng.random() < 0.2,
            retries_max=rng.randint(0, 2),
            age_s_max=rng.choice([60, 90, 300, 21_600]),
            held_bytes_max=rng.choice([10, 1_000, 1 << 20]),
        )


class Row(msgspec.Struct):
    """One event in the store."""

    event: NewEvent
    id: int
    due_ms: int
    accepted_ms: int
    is_claimed: bool = False
    attempts: int = 0
    held_up: int = 0
    response: bytes | None = None


class Run(msgspec.Struct, frozen=True):
    """One time that a function had an event."""

    began_ms: int
    ended_ms: int
    is_error: bool


class MemoryStore:
    """Rows that outlive kills. Implements `AsyncStore`."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.rows: dict[int, Row] = {}
        self.ids: set[str] = set()
        self.wake = lambda _function: None
        self.last_id = 0
        self.writes = []
        """What was asked for and is not made."""

    async def enqueue(self, event: NewEvent) -> None:
        await self._write(lambda: event.request_id in self.ids or self._add(event))

    def _add(self, event: NewEvent) -> None:
        self.last_id += 1
        self.ids.add(event.request_id)
        self.rows[self.last_id] = Row(event, self.last_id, event.accepted_ms, event.accepted_ms)
        self.wake(event.function)

    async def cycle(self, finished, put_back, claims, now_ms):
        return await self._write(lambda: self._cycle(finished, put_back, claims, now_ms))

    def _cycle(self, finished, put_back, claims, now_ms):
        refused = [
            one.id for one in finished
            if (one.outbox or one.messages) and self.world.chance(self.world.options.refused_share)
        ]  # fmt: skip
        for one in finished:
            if one.id not in refused and (row := self.rows.pop(one.id, None)) is not None:
                self.ids.discard(row.event.request_id)
                self.world.ended(row, one)
        for back in put_back:
            row = self.rows[back.id]
            row.due_ms, row.is_claimed = back.due_ms, False
            row.attempts, row.held_up = back.attempts, back.held_up
            row.response = back.response if back.response is not None else row.response
        taken = [self._claim(claim, now_ms) for claim in claims]
        return Cycle(taken, refused)

    def _claim(self, claim, now_ms):
        mine = sorted(
            (row for row in self.rows.values() if row.event.function == claim.function),
            key=lambda row: row.due_ms,
        )
        events, left_bytes = [], claim.bytes_max
        for row in mine:
            size = len(row.event.payload)
            if row.due_ms > now_ms or len(events) >= claim.events_max:
                break
            if events and size > left_bytes:
                break
            left_bytes -= size
            row.due_ms, row.is_claimed = claim.until_ms, True
            given = msgspec.structs.asdict(row.event)
            del given["accepted_ms"]
            events.append(
                QueuedEvent(
                    **given, id=row.id, age_ms=max(0, now_ms - row.accepted_ms),
                    attempts=row.attempts, held_up=row.held_up,
                    has_response=row.response is not None,
                )
            )  # fmt: skip
        due_in_ms = min((max(0, row.due_ms - now_ms) for row in mine), default=None)
        return Taken(claim.function, events, due_in_ms)

    async def response(self, event_id):
        return await self._write(lambda: self.rows[event_id].response)

    def waiting(self):
        counts = Counter(row.event.function for row in self.rows.values())
        return {function: EventsWaiting(count, 0) for function, count in counts.items()}

    async def overdue_ms(self, now_ms):
        due = {}
        for row in self.rows.values():
            if row.due_ms < now_ms:
                function = row.event.function
                due[function] = max(due.get(function, 0), now_ms - row.due_ms)
        return due

    def subscribe(self, wake):
        self.wake = wake

    def die(self) -> None:
        """What is not made never is, and nobody is there to be woken."""
        self.writes.clear()
        self.wake = lambda _function: None

    def reopen(self) -> None:
        """Whoever had claims is gone."""
        for row in self.rows.values():
            if row.is_claimed:
                row.due_ms, row.is_claimed = self.world.wall_ms(), False

    def clock_set(self, by_ms: int) -> None:
        """One write like the others: it comes after what was asked for before."""
        for write in list(self.writes):
            write()
        for row in self.rows.values():
            row.due_ms += by_ms
            row.accepted_ms += by_ms

    async def _write(self, change):
        """Made some time after it is asked for, in order; known some time later; or it fails."""
        world, ms_max = self.world, self.world.options.store_ms
        if world.chance(world.options.store_failure_share):
            await world.loop.pause(world.rng.randint(0, ms_max))
            raise StoreError("the disk says no")
        made = []

        def write():
            self.writes.remove(write)
            made.append(change())

        self.writes.append(write)
        await world.loop.pause(world.rng.randint(0, ms_max))
        while not made:
            self.writes[0]()
        await world.loop.pause(world.rng.randint(0, ms_max))
        return made[0]


class World:
    """One run. `settle` raises for what no rule explains."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.rng = random.Random(seed)
        self.options = options or Options.draw(self.rng)
        self.loop = VirtualLoop(self.rng)
        self.wall_ahead_ms = 10**12
        self.store = MemoryStore(self)
        self.is_bad = True
        self.functions = set(self.options.functions)
        self.zero: set[str] = set()
        self.was_zero: set[str] = set()
        self.deleted: set[str] = set()
        self.kills = self.lives = 0
        self.held_up: dict[str, tuple[int, int]] = {}
        """Request id → life and time of the last hold-up."""
        self.sent_ms: dict[str, int] = {}
        self.is_up = False
        self.running: Counter[str] = Counter()
        self.accepted: dict[str, int] = {}
        """Request id → virtual time."""
        self.runs: dict[str, list[Run]] = defaultdict(list)
        self.cut: Counter[str] = Counter()
        """Runs that a kill ended."""
        self.ends: dict[str, dict] = {}
        self.conditions: Counter[str] = Counter()
        self.sent = 0

    def require(self, is_so: object, text: str) -> None:
        """Fails the run, whoever catches what is raised here."""
        if not is_so:
            self.loop.failure = AssertionError(text)
            raise self.loop.failure

    def chance(self, share: float) -> bool:
        return self.is_bad and self.rng.random() < share

    # Clock

    def now_ms(self) -> int:
        return self.loop.now_ms

    def wall_ms(self) -> int:
        return self.loop.now_ms + self.wall_ahead_ms

    # Targets

    def exists(self, function):
        return function in self.functions

    def version(self, function, qualifier):
        if function not in self.functions:
            raise NotFound("no such function")
        return FunctionVersion(
            name=function, arn=ARN + function, runtime="python3.11", handler="a.b",
            code_path="/x", code_hash="h", dead_letter_arn=f"arn:aws:sns:::{function}",
        )  # fmt: skip

    def config(self, function, qualifier):
        return EventInvoke(
            function=function, qualifier="$LATEST", retries_max=self.options.retries_max,
            age_s_max=self.options.age_s_max, on_success="arn:aws:s3:::told",
            on_failure="arn:aws:s3:::told", last_modified_ms=0,
        )  # fmt: skip

    def reserved(self, function):
        return 0 if function in self.zero else None

    def arn(self, function, qualifier):
        return f"{ARN}{function}:{qualifier or '$LATEST'}"

    def may_loop(self, function):
        return False

    def timeout_ms(self, function):
        return 3_000

    def route(self, row):
        """No queue is this router's."""
        return

    # The pool

    async def invoke(self, request):
        request_id = request.request_id
        self.require(sum(self.running.values()) < self.options.limit, "L1")
        self.require(request_id not in self.running, "an event runs twice at once")
        self._hold_up(request_id)
        if self.chance(self.options.break_share):
            raise RuntimeError("a bug of the pool")
        began_ms = self.loop.now_ms
        self.running[request_id] += 1
        await self.loop.pause(self.rng.randint(0, self.options.slow_ms))
        del self.running[request_id]
        is_error = self.chance(self.options.error_share)
        self.runs[request_id].append(Run(began_ms, self.loop.now_ms, is_error))
        payload = b'{"errorMessage":"no"}' if is_error else b"{}"
        return InvokeReply(payload=payload, error_type="Error" if is_error else None)

    def _hold_up(self, request_id: str) -> None:
        """Throttled or not started, and not asked for again at once."""
        before = self.held_up.pop(request_id, None)
        if before is not None and before[0] == self.lives:
            self.require(self.loop.now_ms - before[1] >= 1_000, "tried again at once")
        for share, reason in (
            (self.options.throttle_share, "throttled"),
            (self.options.start_failure_share, "start_failed"),
        ):
            if self.chance(share):
                self.held_up[request_id] = (self.lives, self.loop.now_ms)
                raise NotInvoked(reason)

    # What happens

    def start(self) -> None:
        self.is_up = True
        self.lives += 1
        self.store.reopen()
        dispatcher = Dispatcher(self, self.options.limit)
        lines = Lines(self.options.held_bytes_max)
        self.runner = Runner(self.store, self, dispatcher, self, self, Waits(), lines=lines)
        self.loop.create_task(self.runner.run())

    def send(self, function: str | None = None) -> None:
        if not self.is_up:
            return
        self.sent += 1
        self.sent_ms[f"r{self.sent}"] = self.loop.now_ms
        name = function or self.rng.choice(self.options.functions)
        event = NewEvent(
            request_id=f"r{self.sent}", function=name,
            payload=b'"' + b"x" * self.rng.choice([1, 8]) + b'"', accepted_ms=self.wall_ms(),
        )  # fmt: skip

        async def accept() -> None:
            began_ms = self.loop.now_ms
            try:
                await self.store.enqueue(event)
            except StoreError:
                return
            self.accepted[event.request_id] = began_ms

        self.loop.create_task(accept())

    def kill(self) -> None:
        if self.is_up:
            self.kills += 1
            self.die()

    def die(self) -> None:
        self.is_up = False
        self.loop.die()
        self.store.die()
        self.cut.update(self.running.keys())
        self.running.clear()
        self.loop.later(self.rng.randint(0, 5_000), self.start, is_of_life=False)

    def stop(self) -> None:
        """In good order: what runs ends, what waits goes back, and nothing is uncounted."""

        async def drain() -> None:
            is_whole = await self.runner.drain(60.0)
            if self.options.store_failure_share == self.options.refused_share == 0:
                claimed = [row for row in self.store.rows.values() if row.is_claimed]
                self.require(is_whole and not self.running and not claimed, "S1")
            self.die()
            self.kills += not is_whole

        if self.is_up:
            self.loop.create_task(drain())

    def jump(self) -> None:
        """As the maintenance does: what is stored moves along at once."""
        by_ms = self.rng.choice([-1, 1]) * 86_400_000
        self.wall_ahead_ms += by_ms
        self.store.clock_set(by_ms)

    def run(self) -> None:
        """Everything, to the end. Raises `AssertionError`, `Violation`."""
        options, later = self.options, self.loop.later
        later(0, self.start, is_of_life=False)
        for _ in range(options.events):
            later(self.rng.randint(0, BAD_MS // 2), self.send, is_of_life=False)
        hits = ((self.kill, options.kills), (self.stop, options.stops), (self.jump, options.jumps))
        for action, times in hits:
            for _ in range(times):
                later(self.rng.randint(0, BAD_MS), action, is_of_life=False)
        victim = self.rng.choice(options.functions)
        if options.has_deletion:
            later(self.rng.randint(0, BAD_MS), lambda: self.delete(victim), is_of_life=False)
        if options.has_zero:
            later(self.rng.randint(0, BAD_MS // 2), lambda: self.forbid(victim), is_of_life=False)
        later(BAD_MS, self.calm, is_of_life=False)
        self.loop.run_until(BAD_MS, lambda: False)
        self.loop.run_until(BAD_MS + 1_500_000 + 2 * self.options.events * self.options.slow_ms,
                            lambda: not self.store.rows)  # fmt: skip
        self.loop.run_until(self.loop.now_ms + 5_000, lambda: False)
        self.loop.end()
        self.check()

    def delete(self, function: str) -> None:
        self.functions.discard(function)
        self.deleted.add(function)

    def forbid(self, function: str) -> None:
        self.zero.add(function)
        self.was_zero.add(function)

    def calm(self) -> None:
        self.is_bad = False
        self.zero.clear()

    # What must hold

    def ended(self, row: Row, finished) -> None:
        """An event comes to its end, in the store: once, and explained."""
        request_id, require = row.event.request_id, self.require
        require(request_id not in self.ends, "an event ended twice")
        letters = [one for one in finished.outbox if not one.attributes]
        told = json.loads(letters[0].body)["requestContext"] if letters else {}
        self.ends[request_id] = told
        condition = told.get("condition", "FunctionMissing")
        self.conditions[condition] += 1
        runs = self.runs[request_id]
        if told:
            lost = len(runs) - told["approximateInvokeCount"]
            require(0 <= lost <= self.kills, "only a kill makes an attempt uncounted")
        require(len(runs) <= self.options.retries_max + 1 + self.kills, "D10")
        if row.event.function not in self.deleted:
            has_dead_letter = any(one.attributes for one in finished.outbox)
            require(has_dead_letter == (condition != "Success"), "its dead letter")
        self._require_reason(row, told, condition)
        self._require_times(request_id)

    def _require_reason(self, row: Row, told: dict, condition: str) -> None:
        runs, function = self.runs[row.event.request_id], row.event.function
        match condition:
            case "FunctionMissing":
                is_so = function in self.deleted
            case "Success":
                is_so = not runs[-1].is_error
            case "RetriesExhausted":
                count = self.options.retries_max + 1
                is_so = told["approximateInvokeCount"] == count and runs[-1].is_error
            case "ZeroReservedConcurrency":
                is_so = function in self.was_zero
            case _:
                ahead_ms = 120_000 if any(run.is_error for run in runs) else 2_000
                age_ms = self.wall_ms() - row.accepted_ms + ahead_ms + self._slack_ms()
                is_so = age_ms >= self.options.age_s_max * 1000
        self.require(is_so, f"{condition} has no reason")

    def _require_times(self, request_id: str) -> None:
        runs, require = self.runs[request_id], self.require
        for run in runs:
            old_ms = run.began_ms - self.sent_ms[request_id]
            require(old_ms <= self.options.age_s_max * 1000 + TURN_MS, "run beyond its age")
        waits = (60_000, 120_000)
        for (before, after), wait_ms in zip(itertools.pairwise(runs), waits, strict=False):
            if not self.kills and before.is_error:
                late_ms = after.began_ms - before.ended_ms - wait_ms
                require(late_ms >= 0, "a retry came too early")
                require(late_ms < 2_000 or not self._is_smooth, "a retry came late")

    @property
    def _is_smooth(self) -> bool:
        """Nothing but errors of the function."""
        options = self.options
        faults = (
            options.throttle_share, options.start_failure_share, options.break_share,
            options.store_failure_share, options.kills, options.stops, options.refused_share,
        )  # fmt: skip
        return options.limit == 40 and options.slow_ms <= 100 and not any(faults)

    def _slack_ms(self) -> int:
        return 2 * self.options.store_ms + 60_000 * bool(self.options.store_failure_share)

    def check(self) -> None:
        assert not self.store.rows, f"{len(self.store.rows)} events never came to an end"
        assert self.accepted.keys() <= self.ends.keys(), "D1: an accepted event is lost"
        assert not self.runner._lines.held, "L2: something stays in memory"
        assert not self.runner._held
