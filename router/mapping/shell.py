"""The driver of a mapping engine: carries out its commands and tells it the facts.

It decides nothing: `driver.py` has the loop, here is what the commands mean for streams.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec
import structlog

from router.dispatch.request_ids import RequestIds
from router.mapping import engine as e
from router.mapping import shares
from router.mapping.budget import Aside, Budget
from router.mapping.driver import Clock, Driver
from router.mapping.journal import Journal
from router.mapping.shares import Choose, all_one
from router.mapping.view import problem_of
from router.model.errors import NotInvoked, RouterError
from router.model.failure import FailureRecord
from router.model.function import FunctionVersion, InvokeReply, InvokeRequest
from router.model.mapping_spec import MappingSpec
from router.model.outcome import Outcome, not_invoked
from router.model.progress import ProgressUpdate
from router.model.record import Fetched
from router.outcomes.failure_record import Discarded
from router.sources.sieve import Documents, Sieve
from router.store.base import EnqueuedMessage, OutboxRow
from router.telemetry.chaos import chaos_point
from router.telemetry.mapping_metrics import MappingMetrics

log = structlog.get_logger()


class Source(Protocol):
    """Where records come from."""

    async def fetch(
        self, shard: str, after: int, records_max: int, bytes_max: int, wait_ms: int, aside: Aside
    ) -> Fetched:
        """Records after a position, and how far was read; empty when a wait ran out.

        What a read brings into memory is taken from `aside` before, and given back while waiting.
        """


class Runner(Protocol):
    """Runs functions in a mapping's turn: `dispatch.dispatcher.Dispatcher`."""

    async def invoke_for(self, claimant: str, request: InvokeRequest) -> InvokeReply:
        """Raises `NotInvoked`."""


class SourceFormat(Documents, Protocol):
    """What a kind of source needs said in its own words."""

    def build_event(self, spec: MappingSpec, command: e.Invoke) -> bytes:
        """The event JSON of a batch, or of a window's own call."""

    def interpret(self, spec: MappingSpec, command: e.Invoke, reply: InvokeReply) -> Outcome:
        """What a reply means."""

    def failure_record(self, command: e.Discard, discarded: Discarded) -> FailureRecord:
        """The on-failure record of a discarded batch, as the mapping's destination wants it."""


class Checkpoints(Protocol):
    """Where it is stored how far a mapping came: a `ProgressStore`, or the source itself."""

    async def save(self, mapping: str, update: ProgressUpdate) -> None:
        """Make a step durable. Raises `RouterError`."""

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """Make a step durable together with its on-failure record. Raises `RouterError`."""


class Mailbox(Protocol):
    """Says how an on-failure record travels to a destination."""

    def route(self, row: OutboxRow) -> EnqueuedMessage | None:
        """A message for an embedded queue that exists, None for everything else."""


class Shell(Driver[e.Event, e.Command]):
    """One running mapping on a stream. `start`, then `drain`, then `stop`."""

    def __init__(
        self,
        spec: MappingSpec,
        engine: e.Engine,
        *,
        source: Source,
        source_format: SourceFormat,
        progress: Checkpoints,
        runner: Runner,
        mailbox: Mailbox,
        resolve: Callable[[], FunctionVersion],
        choose: Callable[[], Choose | None] = all_one,
        numbers: MappingMetrics,
        clock: Clock,
        budget: Budget,
        on_broken: Callable[[], None],
    ) -> None:
        super().__init__(spec, engine, clock, budget, on_broken)
        self._source = source
        self._format = source_format
        self._progress = progress
        self._runner = runner
        self._mailbox = mailbox
        self._resolve = resolve
        self._choose = choose
        self._numbers = numbers
        self._sieve = Sieve(spec, source_format, numbers)
        self._request_ids = RequestIds()
        self._last_request: dict[tuple[str, int], str] = {}
        self._journal = Journal(numbers, self._log)

    # Life

    def start(self, shards: Sequence[e.ShardOpened]) -> None:
        """Open shards and begin on them; more may follow at any time."""
        self.see_room()
        for opened in shards:
            self._journal.opened(opened)
            self._feed(opened)

    def revoke_shards(self, shards: Collection[str]) -> None:
        """These shards are somebody else's now; they may come back (`start`)."""
        for shard in shards:
            self._feed(e.ShardRevoked(shard))
        self._leave(shards)

    def forget_shards(self, shards: Collection[str]) -> None:
        """The source has forgotten shards that are finished."""
        for shard in shards:
            self._feed(e.ShardForgotten(shard))
        self._leave(shards)

    def _leave(self, shards: Collection[str]) -> None:
        self._journal.forgotten(shards)
        lanes = [lane for lane in self._last_request if lane[0] in shards]
        for lane in lanes:
            del self._last_request[lane]

    def change_settings(self, spec: MappingSpec) -> None:
        """New settings, from each lane's next batch on; filters from the next answer of a source.

        Raises `PatternError` for filters nobody can use, and changes nothing.
        """
        self._sieve.change(spec)
        self._spec = spec
        self._feed(e.SettingsChanged(spec))

    @property
    def last_result(self) -> str:
        """LastProcessingResult."""
        return self._journal.last_result

    @last_result.setter
    def last_result(self, text: str) -> None:
        """As it was before a restart."""
        self._journal.last_result = text

    # Commands

    def _is_wait(self, command: e.Command) -> bool:
        return isinstance(command, e.Fetch)

    def _cut_short(self, command: e.Command) -> e.Event:
        after = command.after if isinstance(command, e.Fetch) else 0
        return e.RecordsFetched(command.command_id, (), after)

    async def _answer(self, command: e.Command) -> e.Event:
        match command:
            case e.Fetch():
                return await self._fetch(command)
            case e.Invoke():
                return await self._invoke(command)
            case e.SaveProgress():
                return await self._save(command)
            case e.Discard():
                return await self._discard(command)

    async def _fetch(self, command: e.Fetch) -> e.Event:
        aside = Aside(self._budget)
        try:
            return await self._fetch_within(command, aside)
        finally:
            # In this same step the engine takes in what was read, or nothing ever does.
            if aside.size_bytes:
                aside.give_back()

    async def _fetch_within(self, command: e.Fetch, aside: Aside) -> e.Event:
        try:
            found = await self._source.fetch(
                command.shard,
                command.after,
                command.records_max,
                command.bytes_max,
                command.wait_ms,
                aside,
            )
        except RouterError as error:
            self._numbers.poll_errors.inc()
            self.went_wrong(f"cannot read: {error}")
            self._log.warning("fetch_failed", shard=command.shard, error=str(error))
            return e.FetchFailed(command.command_id, error.code)
        records = found.records
        if records:
            chaos_point("after_fetch")
            self._numbers.polled.inc(len(records))
        passed = await self._sieve.sift(command.shard, records)
        is_last_out = records and (not passed or passed[-1] is not records[-1])
        self.see_room()
        return e.RecordsFetched(
            command.command_id,
            passed,
            found.read_to,
            found.is_end,
            last_arrival_ms=records[-1].arrival_ms if is_last_out else None,
        )

    async def _invoke(self, command: e.Invoke) -> e.Event:
        request_id = self._request_ids.next()
        self._last_request[(command.shard, command.lane)] = request_id
        started_ms = self._clock.now_ms()
        self.in_flight += 1
        self._numbers.in_flight.inc()
        error_text: str | None = None
        try:
            choose = self._choose()
            if choose is None:
                outcome, error_text = await self._run(command, request_id, self._resolve())
            else:
                outcome, error_text = await self._run_shared(command, request_id, choose)
        except NotInvoked as error:
            outcome = not_invoked(error)
            error_text = str(error)
        finally:
            self.in_flight -= 1
            self._numbers.in_flight.dec()
        chaos_point("after_invoke")
        if problem := problem_of(outcome, error_text):
            self.went_wrong(problem)
        self._journal.invoked(
            command,
            outcome,
            duration_ms=self._clock.now_ms() - started_ms,
            wall_ms=self._clock.wall_ms(),
            request_id=request_id,
            error=error_text,
        )
        # A turn of the loop: the line about it is out before its progress can be stored.
        await asyncio.sleep(0)
        return e.InvocationFinished(command.command_id, outcome)

    async def _run_shared(
        self, command: e.Invoke, request_id: str, choose: Choose
    ) -> tuple[Outcome, str | None]:
        """Run a batch for an alias that shares invocations: each key's records on its version."""
        place = f"{command.shard}\0{command.lane}"
        parts = shares.split(command.records, command.shard, choose)
        if command.window is not None or len(parts) < 2:
            # A window's state goes from call to call of its lane: they are one version's.
            function = parts[0].function if command.window is None else choose(place)
            return await self._run(command, request_id, function)
        ran: list[tuple[shares.Part, Outcome]] = []
        error_text: str | None = None
        for part in parts:
            records = tuple(command.records[index] for index in part.indexes)
            mine = msgspec.structs.replace(command, records=records)
            outcome: Outcome
            try:
                outcome, error = await self._run(mine, request_id, part.function)
            except NotInvoked as problem:
                outcome, error = not_invoked(problem), str(problem)
            ran.append((part, outcome))
            error_text = error_text or error
            if shares.is_over(outcome, command.attempt, self._spec):
                break
            request_id = self._request_ids.next()
        return shares.merge(ran, len(command.records), self._spec), error_text

    async def _run(
        self, command: e.Invoke, request_id: str, function: FunctionVersion
    ) -> tuple[Outcome, str | None]:
        """What became of records that one version was given, and the error's text."""
        payload = self._format.build_event(self._spec, command)
        if command.records:
            self._numbers.iterator_age.set(
                max(0, self._clock.wall_ms() - command.records[-1].arrival_ms) / 1000
            )
        chaos_point("before_invoke")
        request = InvokeRequest(
            function=function,
            invoked_arn=self._spec.function_arn,
            request_id=request_id,
            payload=payload,
        )
        reply = await self._runner.invoke_for(self._spec.uuid, request)
        return self._format.interpret(self._spec, command, reply), reply.error_type

    async def _save(self, command: e.SaveProgress) -> e.Event:
        chaos_point("before_settle")
        try:
            await self._progress.save(self._spec.uuid, command.update)
        except RouterError as error:
            self._numbers.commit_errors.inc()
            self.went_wrong(f"cannot store: {error}")
            self._log.warning("progress_not_stored", error=str(error))
            return e.ProgressFailed(command.command_id, error.code)
        self._journal.stored(command.update)
        chaos_point("after_settle")
        return e.ProgressStored(command.command_id)

    async def _discard(self, command: e.Discard) -> e.Event:
        chaos_point("before_discard")
        spec = self._spec
        row: OutboxRow | None = None
        message: EnqueuedMessage | None = None
        if spec.destination_arn is not None:
            row = self._on_failure(spec, spec.destination_arn, command)
            message = self._mailbox.route(row)
            if message is not None:
                row = None
        try:
            await self._progress.discard(spec.uuid, command.update, row, message)
        except RouterError as error:
            self.went_wrong(f"cannot give up: {error}")
            self._log.warning("discard_not_stored", error=str(error))
            return e.DiscardFailed(command.command_id, error.code)
        self._journal.stored(command.update)
        chaos_point("after_discard")
        self._journal.discarded(
            command, spec.destination_arn, is_delivered=message is not None, is_kept=row is not None
        )
        return e.DiscardStored(command.command_id)

    def _on_failure(self, spec: MappingSpec, destination: str, command: e.Discard) -> OutboxRow:
        """What the destination is told of a batch that is given up."""
        wall_ms, update = self._clock.wall_ms(), command.update
        request_id = self._last_request.get((update.shard, update.lane.lane))
        discarded = Discarded(
            spec=spec,
            condition=command.condition,
            invoke_count=command.invoke_count,
            outcome=command.outcome,
            request_id=request_id or self._request_ids.next(),
            letter_id=self._request_ids.next(),
            wall_ms=wall_ms,
        )
        told = self._format.failure_record(command, discarded)
        return OutboxRow(
            mapping=spec.name,
            mapping_uuid=spec.uuid,
            destination=destination,
            letter_id=discarded.letter_id,
            lane=update.shard,
            object_key=told.object_key,
            origin=told.origin,
            body=told.body,
            records=len(command.records),
            next_attempt_ms=wall_ms,
        )
