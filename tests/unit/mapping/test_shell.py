"""The shell carries out every command and answers each with exactly one fact, failure included."""

import asyncio
import time
from collections import deque

import msgspec
import pytest

from router.mapping import engine as e
from router.mapping.budget import Budget
from router.mapping.driver import SystemClock
from router.mapping.filtering import FAMILIES, MatchDocument
from router.mapping.shell import Shell
from router.model.errors import EngineError, NotInvoked, StoreError
from router.model.failure import FailureRecord
from router.model.function import FunctionVersion, InvokeReply
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Failed, NotRun, Succeeded
from router.model.progress import LaneProgress, ProgressUpdate
from router.model.record import Fetched, Record
from router.store.base import EnqueuedMessage
from router.telemetry.mapping_metrics import MappingMetrics
from tests.patience import PATIENCE_S, until

ARN = "arn:aws:router:us-east-1:000000000000:webhook/w"
RECORD = Record(1, "k", int(time.time() * 1000), 100, b"{}", "id-1")
UPDATE = ProgressUpdate(shard="s", position=1, factor=1, lane=LaneProgress(0, 1))
FETCH = e.Fetch(1, "s", 0, 10, 1000)
INVOKE = e.Invoke(2, "s", 0, (RECORD,), 1)
SAVE = e.SaveProgress(3, UPDATE)
DISCARD = e.Discard(4, (RECORD,), "RetryAttemptsExhausted", 1, Failed("E"), UPDATE)
FUNCTION = FunctionVersion(
    name="f", arn="arn:f", runtime="python3.11", handler="a.b", code_path="/c", code_hash="0"
)


class ScriptedEngine:
    """Notes what it is told and asks for what it was given."""

    def __init__(self):
        self.told = []
        self.commands = deque()
        self.is_drained = False
        self.held_bytes = 0
        self.wakeup_ms = None

    def handle(self, event, now_ms, wall_ms):
        self.told.append(event)
        if self.commands and isinstance(self.commands[0], Exception):
            raise self.commands.popleft()
        return [self.commands.popleft()] if self.commands else []

    def next_wakeup_ms(self):
        return self.wakeup_ms


class World:
    """What a shell acts on; each part raises `failure` when there is one."""

    def __init__(self):
        self.engine = ScriptedEngine()
        self.budget = Budget(1 << 40)
        self.granted = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.saved, self.discarded, self.requests = [], [], []
        self.target = None
        self.broken = 0
        self.shell = Shell(
            MappingSpec(
                uuid="u", name="shell-test", function_arn="arn:f", source_arn=ARN,
                destination_arn="arn:aws:sqs:us-east-1:000000000000:q",
            ),
            self.engine, source=self, source_format=self, progress=self, runner=self,
            mailbox=self, resolve=lambda: FUNCTION, clock=SystemClock(), budget=self.budget,
            numbers=MappingMetrics("shell-test", "u", "f", ARN), on_broken=self.on_broken,
        )  # fmt: skip

    def on_broken(self):
        self.broken += 1

    async def _act(self):
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def fetch(self, shard, after, records_max, bytes_max, wait_ms, aside):
        self.granted.append(aside.take(bytes_max))
        await self._act()
        return Fetched([RECORD], 1)

    async def invoke_for(self, claimant, request):
        self.requests.append(request)
        await self._act()
        return InvokeReply(payload=b"null")

    def build_event(self, spec, command):
        return b"{}"

    def interpret(self, spec, command, reply):
        return Succeeded()

    def failure_record(self, command, discarded):
        return FailureRecord(discarded.request_id.encode(), "key", b"origin")

    def route(self, row):
        return self.target

    async def save(self, uuid, update):
        await self._act()
        self.saved.append(update)

    async def discard(self, uuid, update, row, message):
        await self._act()
        self.discarded.append((update, row, message))

    async def do(self, *commands):
        """Have the engine ask for these; the facts it was told after them."""
        self.engine.told.clear()
        for command in commands:
            self.engine.commands.append(command)
            self.shell._feed(e.Tick())
        await self.answers(len(commands))
        return [fact for fact in self.engine.told if not isinstance(fact, e.Tick)]

    async def answers(self, count):
        async with asyncio.timeout(PATIENCE_S):
            while sum(not isinstance(fact, e.Tick) for fact in self.engine.told) < count:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)


@pytest.fixture
async def world():
    world = World()
    yield world
    world.gate.set()
    await world.shell.stop()
    world.shell._numbers.remove()


@pytest.mark.parametrize(
    ("command", "failure", "fact"),
    [
        (FETCH, None, e.RecordsFetched(1, (RECORD,), 1)),
        (FETCH, StoreError("down"), e.FetchFailed(1, "store_error")),
        (INVOKE, None, e.InvocationFinished(2, Succeeded())),
        (INVOKE, NotInvoked("throttled"), e.InvocationFinished(2, NotRun("throttled"))),
        (SAVE, None, e.ProgressStored(3)),
        (SAVE, StoreError("down"), e.ProgressFailed(3, "store_error")),
        (DISCARD, None, e.DiscardStored(4)),
        (DISCARD, StoreError("down"), e.DiscardFailed(4, "store_error")),
    ],
)
async def test_each_command_is_answered_by_one_fact(world, command, failure, fact):
    world.failure = failure
    assert await world.do(command) == [fact]


async def test_a_failing_command_leaves_its_neighbours_alone(world):
    world.gate.clear()
    world.engine.commands.append(FETCH)
    world.shell._feed(e.Tick())
    await asyncio.sleep(0)
    world.gate.set()
    world.failure = StoreError("down")
    assert e.ProgressFailed(3, "store_error") in await world.do(SAVE)
    world.failure = None
    assert await world.do(INVOKE) == [e.InvocationFinished(2, Succeeded())]


@pytest.mark.parametrize("command", [FETCH, INVOKE, SAVE, DISCARD])
async def test_a_surprise_breaks_this_mapping_and_nothing_else(world, command):
    world.failure = RuntimeError("a bug")
    world.engine.commands.append(command)
    world.shell._feed(e.Tick())
    async with asyncio.timeout(PATIENCE_S):
        while not world.broken:
            await asyncio.sleep(0.001)
    assert world.broken == 1
    assert world.shell.is_broken
    assert world.shell.last_result.startswith("PROBLEM")
    told = len(world.engine.told)
    world.shell._feed(e.Tick())
    assert len(world.engine.told) == told
    assert await world.shell.drain(PATIENCE_S)


async def test_a_contradiction_breaks_it_too(world):
    world.engine.commands.append(EngineError("cannot follow"))
    world.shell._feed(e.Tick())
    assert world.broken == 1


async def test_d7_a_discard_goes_by_the_mailbox_or_else_by_the_outbox(world):
    await world.do(DISCARD)
    _, row, message = world.discarded[-1]
    assert message is None
    assert row.destination.endswith(":q")
    assert (row.records, row.mapping_uuid, row.lane) == (1, "u", "s")
    assert (row.object_key, row.origin) == ("key", b"origin")
    assert row.letter_id != row.body.decode()
    world.target = EnqueuedMessage(queue="q", body="b", delay_s=0, retention_s=60)
    await world.do(DISCARD)
    _, row, message = world.discarded[-1]
    assert row is None
    assert message is world.target


async def test_the_result_says_what_operators_must_know(world):
    assert world.shell.last_result == "No records processed"
    await world.do(INVOKE)
    assert world.shell.last_result == "OK"
    world.failure = NotInvoked("throttled")
    await world.do(INVOKE)
    assert world.shell.last_result == "OK", "waiting for a turn is no problem"
    world.failure = NotInvoked("function_missing", "f is gone")
    await world.do(INVOKE)
    assert world.shell.last_result == "PROBLEM: Function call failed"


async def test_s1_a_drain_waits_for_what_runs_and_ends_open_fetches(world):
    world.gate.clear()
    for command in (FETCH, INVOKE):
        world.engine.commands.append(command)
        world.shell._feed(e.Tick())
    await asyncio.sleep(0.01)
    draining = asyncio.create_task(world.shell.drain(PATIENCE_S))
    await world.answers(2)
    assert e.DrainRequested() in world.engine.told
    assert e.RecordsFetched(1, (), 0) in world.engine.told
    assert not draining.done()
    world.engine.is_drained = True
    world.gate.set()
    assert await draining


async def test_s2_a_drain_that_takes_too_long_is_cut_and_stop_ends_everything(world):
    world.gate.clear()
    world.engine.commands.append(INVOKE)
    world.shell._feed(e.Tick())
    await asyncio.sleep(0.01)
    assert not await world.shell.drain(0.02)
    assert world.shell.in_flight == 1
    await world.shell.stop()
    assert world.shell.in_flight == 0
    told = len(world.engine.told)
    world.gate.set()
    await asyncio.sleep(0.01)
    assert len(world.engine.told) == told, "a fact after the end"


async def test_l3_a_drain_ends_when_the_mapping_breaks_in_the_middle_of_it(world):
    """Else a mapping that is disabled or deleted waits as long as any function may run."""
    world.gate.clear()
    world.failure = KeyError("surprise")
    world.engine.commands.append(INVOKE)
    world.shell._feed(e.Tick())
    draining = asyncio.create_task(world.shell.drain(600))
    await asyncio.sleep(0.01)
    assert not draining.done()
    world.gate.set()
    assert await asyncio.wait_for(draining, PATIENCE_S)
    assert world.shell.is_broken


async def test_it_wakes_when_the_engine_wants_to(world):
    world.engine.wakeup_ms = world.shell._clock.now_ms() + 30
    world.shell._feed(e.Resumed())
    world.engine.wakeup_ms = None
    await until(lambda: world.engine.told == [e.Resumed(), e.Tick()])


async def test_a_turn_of_the_loop_passes_between_an_outcome_and_its_progress(world):
    """Log lines are written when a turn ends: a kill cannot lose that of a stored batch."""
    order = []

    def interpret(*_):
        asyncio.get_running_loop().call_soon(order.append, "line")
        return Succeeded()

    async def save(*_):
        order.append("save")

    world.interpret, world.save = interpret, save
    world.engine.commands.extend([INVOKE, SAVE])
    world.shell._feed(e.Tick())
    await world.answers(2)
    assert order == ["line", "save"]
    assert world.engine.told[1:] == [e.InvocationFinished(2, Succeeded()), e.ProgressStored(3)]


async def test_a_drain_ends_fetches_and_not_what_follows_from_them(world):
    may_end = asyncio.Event()

    async def invoke_for(_claimant, request):
        world.requests.append(request)
        await may_end.wait()
        return InvokeReply(payload=b"null")

    world.invoke_for = invoke_for
    world.engine.commands.extend([FETCH, INVOKE])
    world.shell._feed(e.Tick())
    async with asyncio.timeout(PATIENCE_S):
        while not world.requests:
            await asyncio.sleep(0.001)
    world.shell.begin_drain()
    await asyncio.sleep(0.01)
    may_end.set()
    await world.answers(3)
    assert world.engine.told[1:] == [
        e.RecordsFetched(1, (RECORD,), 1),
        e.DrainRequested(),
        e.InvocationFinished(2, Succeeded()),
    ]


@pytest.mark.parametrize(("taken", "last_arrival_ms"), [([3], None), ([1], 3_000), ([], 3_000)])
async def test_filtered_records_are_read_and_not_told(world, taken, last_arrival_ms):
    """P20: `read_to` covers them. A window must know how far the stream's time has come."""
    records = [Record(number, "k", number * 1_000, 100, b"{}") for number in (1, 2, 3)]

    async def fetch(*_about):
        return Fetched(records, 3)

    world.fetch = fetch
    world.filters = FAMILIES["webhook"]
    world.match_document = lambda shard, record, reads_payload: MatchDocument(
        {"n": record.position}
    )
    wanted = msgspec.structs.replace(world.shell._spec, filters=(f'{{"n":{[0, *taken]}}}',))
    world.shell.change_settings(wanted)
    passed = tuple(record for record in records if record.position in taken)
    assert await world.do(FETCH) == [
        e.RecordsFetched(1, passed, 3, last_arrival_ms=last_arrival_ms)
    ]


async def test_a_shared_alias_runs_a_batch_in_parts_each_on_its_version(world):
    other = msgspec.structs.replace(FUNCTION, version="2")
    records = tuple(
        msgspec.structs.replace(RECORD, position=position, key=key)
        for position, key in enumerate("abac", 1)
    )
    built = []
    world.build_event = lambda spec, command: built.append(command.records) or b"{}"
    world.shell._choose = lambda: lambda key: other if key == "b" else FUNCTION
    (answer,) = await world.do(e.Invoke(1, "s", 0, records, 1))
    assert answer.outcome == Succeeded()
    assert [request.function for request in world.requests] == [FUNCTION, other]
    assert [[record.position for record in part] for part in built] == [[1, 3, 4], [2]]
    assert len({request.request_id for request in world.requests}) == 2
    assert world.shell.in_flight == 0


async def test_a_window_of_a_shared_alias_stays_with_one_version(world):
    """Its state goes from one call to the next."""
    asked = []
    world.shell._choose = lambda: lambda key: asked.append(key) or FUNCTION
    window = e.InvokeWindow(0, 1_000, b"{}", is_final=True)
    await world.do(e.Invoke(1, "s", 3, (), 1, window))
    assert asked == ["s\x003"]
    assert len(world.requests) == 1


async def test_a_version_that_is_gone_stops_nothing(world):
    def choose(key):
        raise NotInvoked("function_missing", "f:2 does not exist")

    world.shell._choose = lambda: choose
    (answer,) = await world.do(e.Invoke(1, "s", 0, (RECORD,), 1))
    assert answer.outcome == NotRun("function_missing")
