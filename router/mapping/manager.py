"""Runs the mappings that exist: starts, updates, drains and ends their shells.

The catalog says what should be; this makes it so, one step at a time per mapping, and tells the
API each mapping's state (`event-source-mappings.md` 1.6).
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Protocol

import msgspec
import structlog

from router.mapping import engine as e
from router.mapping.budget import Budget
from router.mapping.journal import NOTHING_YET
from router.mapping.shell import Clock, Mailbox, Runner, Shell, Source, SourceFormat
from router.mapping.stream_engine import StreamEngine
from router.mapping.trace import Tape, TracedEngine
from router.model.arn import function_arn
from router.model.errors import Conflict, RouterError
from router.model.function import FunctionVersion
from router.model.mapping_spec import MappingSpec
from router.model.progress import ShardProgress
from router.model.resources import Mapping
from router.model.shard import StreamShard
from router.store.base import Change, Delete, DropProgress, DropStream, Put, Store
from router.store.catalog import Catalog
from router.telemetry import metrics
from router.telemetry.mapping_metrics import MappingMetrics

log = structlog.get_logger()

RESTART_S = 5.0
"""How long a broken mapping rests before it starts again from what is stored."""

ROOM_LOOK_S = 1.0
"""How often mappings that have less room than they would like see whether there is more."""

DRAIN_S = 900.0
"""How long a disabled or deleted mapping may drain: the longest function timeout."""


class MappingStatus(msgspec.Struct, frozen=True):
    """What the API says about a mapping besides its settings."""

    state: str
    transition_reason: str
    last_processing_result: str


class FunctionLookup(Protocol):
    """Finds the version to run: `functions.resolve.FunctionResolver`."""

    def get_for_mapping(self, name: str, qualifier: str | None) -> FunctionVersion:
        """Raises `NotInvoked`."""


class TurnTaker(Runner, Protocol):
    """The dispatcher, which also wants to know who may ask."""

    def register(self, claimant: str) -> None:
        """A mapping that may ask for slots."""

    def unregister(self, claimant: str) -> None:
        """A mapping that will not ask again."""


class Connector(Protocol):
    """Makes sources and formats for event source ARNs."""

    def source(self, arn: str) -> Source:
        """The source behind an ARN."""

    def format(self, arn: str) -> SourceFormat:
        """How its events look."""

    def shards(self, arn: str) -> Sequence[StreamShard]:
        """Its shards, parents before their children; none when it does not exist."""


class _Run:
    """One mapping as it runs."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.state = "Creating"
        self.shell: Shell | None = None
        self.engine: StreamEngine | None = None
        self.spec: MappingSpec | None = None
        self.shards: tuple[str, ...] = ()
        """Opened in the engine: finished ones too, until the source forgets them."""
        self.numbers: MappingMetrics | None = None
        self.last_result = NOTHING_YET
        self.lag = 0
        """Records of the source that are not finished, as measured last."""
        self.may_resume = False
        """It is being disabled: its shell drains, and goes on when it is enabled again."""
        self.is_forgotten = False
        """Its progress was dropped: what its shell still holds is about an earlier life."""
        self.trace_salt: bytes | None = None
        """Its next engine has a tape."""
        self.is_source_new = False
        """Its stream was dropped and begins again, so that LATEST has nothing to skip."""


class MappingManager:
    """All mappings of this router."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        dispatcher: TurnTaker,
        connector: Connector,
        functions: FunctionLookup,
        mailbox: Mailbox,
        clock: Clock,
        *,
        budget: Budget,
        region: str,
        account: str,
        backoff_ms_max: int,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._dispatcher = dispatcher
        self._connector = connector
        self._functions = functions
        self._mailbox = mailbox
        self._clock = clock
        self._budget = budget
        self._region = region
        self._account = account
        self._backoff_ms_max = backoff_ms_max
        self._runs: dict[str, _Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def start(self) -> None:
        """Start what is enabled, and follow the catalog from now on."""
        self._catalog.listen(self._hear)
        self._keep(self._see_room())
        await asyncio.gather(*(self._reconcile(uuid) for uuid in list(self._catalog.mappings)))

    def status(self, uuid: str) -> MappingStatus:
        """State and result of a mapping; `Deleting` when it is on its way out or gone."""
        mapping, run = self._catalog.mappings.get(uuid), self._runs.get(uuid)
        if run is None:
            if mapping is None:
                state = "Deleting"
            else:
                state = "Creating" if mapping.is_enabled else "Disabled"
            return MappingStatus(state, "User action", NOTHING_YET)
        result = run.shell.last_result if run.shell else run.last_result
        return MappingStatus(run.state, "User action", result)

    def load(self, uuid: str) -> tuple[int, int]:
        """Lag as measured last, and invocations in flight."""
        run = self._runs.get(uuid)
        if run is None:
            return 0, 0
        return run.lag, run.shell.in_flight if run.shell is not None else 0

    async def trace(self, uuid: str, duration_s: float, salt: bytes) -> Tape:
        """Start the mapping anew with a tape, and return it after a while (`router trace`).

        Running invocations end first, as for an update. Raises `Conflict` when it is not running.
        """
        run = self._runs.get(uuid)
        if run is None or run.shell is None or uuid not in self._catalog.mappings:
            raise Conflict("only a mapping that is enabled can be traced")
        async with run.lock:
            run.trace_salt = salt
            try:
                await self._end(run)
                await self._bring_about(uuid, run)
            finally:
                run.trace_salt = None
            engine = run.engine
        if not isinstance(engine, TracedEngine):
            raise Conflict("the mapping was disabled meanwhile")
        try:
            await asyncio.sleep(duration_s)
        finally:
            engine.tape.is_on = False
        return engine.tape

    def is_draining(self, uuid: str) -> bool:
        """Whether a deleted mapping still runs."""
        return uuid in self._runs and uuid not in self._catalog.mappings

    async def drain(self, timeout_s: float) -> bool:
        """Stop taking in, let running invocations end; False when time ran out (S1, S2)."""
        self._is_stopping = True
        shells = [run.shell for run in self._runs.values() if run.shell is not None]
        ended = await asyncio.gather(*(shell.drain(timeout_s) for shell in shells))
        await asyncio.gather(*(shell.stop() for shell in shells))
        for task in self._tasks:
            task.cancel()
        return all(ended)

    async def finished_positions(self, arn: str) -> dict[str, int]:
        """Per shard of a stream, the position every mapping on it has finished.

        A stream without a mapping is finished nowhere. Raises `StoreError`.
        """
        shards = self._shard_names(arn)
        lowest: dict[str, int] = {}
        for mapping in list(self._catalog.mappings.values()):
            if mapping.event_source_arn != arn:
                continue
            for shard, position in (await self.positions(mapping.uuid, shards)).items():
                lowest[shard] = min(position, lowest.get(shard, position))
        return {shard: lowest.get(shard, 0) for shard in shards}

    async def finished_shards(self, arn: str) -> set[str]:
        """Closed shards of a stream that no mapping has anything to do in. Raises `StoreError`.

        A mapping that has not begun has nothing to finish. Ask while nothing may change.
        """
        finished = {shard.name for shard in self._connector.shards(arn) if shard.is_closed}
        stats = await self._store.streams.stats(arn)
        last = {row.shard: row.last_position for row in stats}
        for mapping in list(self._catalog.mappings.values()):
            if mapping.event_source_arn != arn:
                continue
            run = self._runs.get(mapping.uuid)
            if run is not None and (run.is_forgotten or run.lock.locked()):
                return set()  # it is between two lives
            if run is not None and run.engine is not None:
                finished = {shard for shard in finished if run.engine.is_finished(shard)}
            elif stored := await self._store.progress.load(mapping.uuid):
                finished = {
                    shard
                    for shard in finished
                    if shard in stored and stored[shard].is_finished(last.get(shard, 0))
                }
        return finished

    def _shard_names(self, arn: str) -> tuple[str, ...]:
        return tuple(shard.name for shard in self._connector.shards(arn))

    async def positions(self, uuid: str, shards: Sequence[str]) -> dict[str, int]:
        """How far a mapping has finished each shard, also while it does not run."""
        run = self._runs.get(uuid)
        if run is not None and run.engine is not None and not run.is_forgotten:
            return {shard: run.engine.position(shard) for shard in shards}
        stored = await self._store.progress.load(uuid)
        return {shard: stored[shard].position if shard in stored else 0 for shard in shards}

    async def measure(self) -> None:
        """Refresh lag and buffer gauges."""
        metrics.BUFFER_BYTES.set(self._budget.held_bytes)
        metrics.BUFFER_BYTES_LIMIT.set(self._budget.bytes_max)
        stats: dict[str, dict[str, int]] = {}
        for uuid, run in list(self._runs.items()):
            mapping, numbers = self._catalog.mappings.get(uuid), run.numbers
            if mapping is None or numbers is None:
                continue
            arn = mapping.event_source_arn
            if arn not in stats:
                rows = await self._store.streams.stats(arn)
                stats[arn] = {row.shard: row.last_position for row in rows}
            last = {it: stats[arn].get(it, 0) for it in self._shard_names(arn)}
            positions = await self.positions(uuid, tuple(last))
            run.lag = sum(max(0, last[shard] - positions[shard]) for shard in last)
            numbers.lag.set(run.lag)
            numbers.buffered.set(run.engine.held_records if run.engine is not None else 0)

    # Following the catalog

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, DropProgress | DropStream):
                self._mark_forgotten(change)
            elif isinstance(change, Put) and change.resource.kind == "mapping":
                self._announce(change.resource.name)
                self._spawn(change.resource.name)
            elif isinstance(change, Put) and change.resource.kind == "webhook":
                for uuid in list(self._runs):
                    self._spawn(uuid)
            elif isinstance(change, Delete) and change.kind == "mapping":
                if change.name in self._runs:
                    self._runs[change.name].state = "Deleting"
                self._spawn(change.name)

    def _mark_forgotten(self, change: DropProgress | DropStream) -> None:
        """Whoever reads by what was dropped must end before it may start anew."""
        for uuid, run in self._runs.items():
            if isinstance(change, DropProgress):
                is_meant = uuid == change.mapping
            else:
                is_meant = run.spec is not None and run.spec.source_arn == change.stream
                run.is_source_new = run.is_source_new or is_meant
            if is_meant:
                run.is_forgotten = True
                self._spawn(uuid)

    def _announce(self, uuid: str) -> None:
        """The state the API answers at once, before anything has happened."""
        mapping = self._catalog.mappings[uuid]
        run = self._runs.get(uuid)
        if run is None:
            run = self._runs[uuid] = _Run()
            run.state = "Creating" if mapping.is_enabled else "Disabled"
        elif mapping.is_enabled:
            if run.shell is not None and run.may_resume:
                run.shell.resume()
                run.state = "Enabling"
                return
            run.state = "Updating" if run.shell is not None else "Enabling"
        else:
            run.state = "Disabling" if run.shell is not None else "Disabled"

    def _spawn(self, uuid: str, delay_s: float = 0.0) -> None:
        if self._is_stopping:
            return
        self._keep(self._reconcile_later(uuid, delay_s))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_room(self) -> None:
        """For ever: a mapping that waits for nothing of its own hears when there is room again."""
        room_bytes = self._budget.room_bytes
        while True:
            await asyncio.sleep(ROOM_LOOK_S)
            known, room_bytes = room_bytes, self._budget.room_bytes
            if room_bytes == known:
                continue
            for run in list(self._runs.values()):
                if run.shell is not None:
                    run.shell.see_room()

    async def _reconcile_later(self, uuid: str, delay_s: float) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        await self._reconcile(uuid)

    async def _reconcile(self, uuid: str) -> None:
        run = self._runs.setdefault(uuid, _Run())
        async with run.lock:
            try:
                await self._bring_about(uuid, run)
            except RouterError as error:
                log.error("mapping_not_started", mapping=uuid, error=str(error))
                self._spawn(uuid, RESTART_S)

    async def _bring_about(self, uuid: str, run: _Run) -> None:
        mapping = self._catalog.mappings.get(uuid)
        if mapping is None:
            await self._end(run)
            if run.numbers is not None:
                run.numbers.remove()
            self._dispatcher.unregister(uuid)
            if uuid not in self._catalog.mappings:
                self._runs.pop(uuid, None)
            return
        if run.is_forgotten:
            await self._end(run)
            run.is_forgotten = False
        spec = self._spec(mapping)
        if run.shell is not None and run.shell.is_broken:
            await self._end(run)
        run.numbers = self._numbers_of(run, spec)
        if not mapping.is_enabled:
            if not await self._end(run, may_resume=True):
                return  # enabled meanwhile; who did that has the next turn
            run.state = "Disabled"
        else:
            await self._bring_to(run, spec)
            run.state = "Enabled"
        run.numbers.set_state(run.state)

    def _numbers_of(self, run: _Run, spec: MappingSpec) -> MappingMetrics:
        function = _name_of(spec.function_arn)
        if run.numbers is None:
            return MappingMetrics(spec.name, spec.uuid, function, spec.source_arn)
        run.numbers.describe(function, spec.source_arn)
        return run.numbers

    async def _bring_to(self, run: _Run, spec: MappingSpec) -> None:
        """Make an enabled mapping run with these settings."""
        if run.spec is not None and run.spec.source_arn != spec.source_arn:
            await self._end(run)
        if run.shell is None:
            await self._begin(run, spec)
            return
        if run.engine is not None and run.shards != self._shard_names(spec.source_arn):
            await self._follow(run, spec, run.shell, run.engine)
        if run.spec != spec:
            run.shell.change_settings(spec)
            run.spec = spec

    async def _follow(
        self, run: _Run, spec: MappingSpec, shell: Shell, engine: StreamEngine
    ) -> None:
        """The stream was cut anew: read what came, forget what went, while the rest goes on."""
        known = set(run.shards)
        opened = await self._openings(run, spec, known)
        if self._is_stopping or run.is_forgotten:
            return
        left = known - set(self._shard_names(spec.source_arn))
        gone = {shard for shard in left if engine.is_finished(shard)}
        shell.forget_shards(gone)
        run.shards = tuple(shard for shard in run.shards if shard not in gone)
        run.shards += tuple(shard.shard for shard in opened)
        shell.start(opened)

    async def _openings(
        self, run: _Run, spec: MappingSpec, known: Container[str] = ()
    ) -> list[e.ShardOpened]:
        """The shards of the source that are not known yet, each with where to go on.

        One that comes while this waits is the next round's: its commit asks for one.
        """
        shards = [it for it in self._connector.shards(spec.source_arn) if it.name not in known]
        stored = await self._store.progress.load(spec.uuid)
        missing = [shard for shard in shards if shard.name not in stored]
        if missing:
            # A shard that comes later holds nothing the mapping was meant to skip.
            is_first = not stored and not run.is_source_new
            positions = (
                await self._starting_positions(spec, missing)
                if is_first
                else {shard.name: 0 for shard in missing}
            )
            await self._store.progress.start(spec.uuid, positions)
            stored = await self._store.progress.load(spec.uuid)
            if run.is_forgotten:
                # Dropped while this was under way: what was just fixed is of an earlier life.
                await self._store.metadata.apply([DropProgress(spec.uuid)])
        run.is_source_new = False
        return [
            e.ShardOpened(it.name, stored.get(it.name, ShardProgress(0)), it.parents)
            for it in shards
        ]

    async def _begin(self, run: _Run, spec: MappingSpec) -> None:
        opened = await self._openings(run, spec)
        if self._is_stopping or run.is_forgotten:
            return
        run.shards = tuple(shard.shard for shard in opened)
        self._dispatcher.register(spec.uuid)
        salt = run.trace_salt
        engine = StreamEngine(spec) if salt is None else TracedEngine(spec, None, salt)
        shell = Shell(
            spec,
            engine,
            source=self._connector.source(spec.source_arn),
            source_format=self._connector.format(spec.source_arn),
            progress=self._store.progress,
            runner=self._dispatcher,
            mailbox=self._mailbox,
            resolve=self._resolver(spec.uuid),
            numbers=self._numbers_of(run, spec),
            clock=self._clock,
            budget=self._budget,
            on_broken=lambda: self._spawn(spec.uuid, RESTART_S),
        )
        shell.last_result = run.last_result
        run.shell, run.engine, run.spec = shell, engine, spec
        self._budget.mappings += 1
        shell.start(opened)

    def _resolver(self, uuid: str) -> Callable[[], FunctionVersion]:
        def resolve() -> FunctionVersion:
            mapping = self._catalog.mappings.get(uuid)
            name = mapping.function if mapping is not None else ""
            qualifier = mapping.qualifier if mapping is not None else None
            return self._functions.get_for_mapping(name, qualifier)

        return resolve

    async def _end(self, run: _Run, *, may_resume: bool = False) -> bool:
        """Drain and stop; False when it was resumed in the middle and goes on."""
        if run.shell is not None:
            run.may_resume = may_resume
            await run.shell.drain(DRAIN_S)
            run.may_resume = False
            if not run.shell.is_draining and not run.shell.is_broken:
                return False
            await run.shell.stop()
            run.last_result = run.shell.last_result
            self._budget.mappings -= 1
        run.shell = run.engine = run.spec = None
        return True

    async def _starting_positions(
        self, spec: MappingSpec, shards: Sequence[StreamShard]
    ) -> dict[str, int]:
        """Where a mapping begins that never began before."""
        names = [shard.name for shard in shards]
        if spec.starting_position == "LATEST":
            stats = await self._store.streams.stats(spec.source_arn)
            last = {row.shard: row.last_position for row in stats}
            return {name: last.get(name, 0) for name in names}
        if spec.starting_position == "AT_TIMESTAMP":
            at_ms = spec.starting_timestamp_ms or 0
            return {
                name: await self._store.streams.position_at(spec.source_arn, name, at_ms)
                for name in names
            }
        return dict.fromkeys(names, 0)

    def _spec(self, mapping: Mapping) -> MappingSpec:
        return spec_of(mapping, self._region, self._account, self._backoff_ms_max)


def spec_of(mapping: Mapping, region: str, account: str, backoff_ms_max: int) -> MappingSpec:
    """An engine's settings from the API's."""
    age_s = mapping.record_age_s_max
    return MappingSpec(
        uuid=mapping.uuid,
        name=mapping.name,
        function_arn=function_arn(region, account, mapping.function, mapping.qualifier),
        source_arn=mapping.event_source_arn,
        batch_size=mapping.batch_size,
        window_ms=mapping.window_s * 1000,
        factor=mapping.factor,
        retries_max=mapping.retries_max,
        record_age_ms_max=age_s * 1000 if age_s >= 0 else -1,
        is_bisecting=mapping.is_bisecting,
        is_reporting_failures="ReportBatchItemFailures" in mapping.response_types,
        destination_arn=mapping.destination_arn or None,
        tumbling_window_ms=mapping.tumbling_window_s * 1000,
        filters=mapping.filters,
        starting_position=mapping.starting_position,
        starting_timestamp_ms=mapping.starting_timestamp_ms,
        backoff_ms_max=backoff_ms_max,
    )


def _name_of(arn: str) -> str:
    return arn.split(":function:", 1)[-1].split(":", 1)[0]
