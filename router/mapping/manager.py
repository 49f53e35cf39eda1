"""Runs the mappings that exist: begins, changes, drains and ends their lives.

The catalog says what should be; this makes it so, one step at a time per mapping, and tells the
API each mapping's state (`event-source-mappings.md` 1.6). What runs behind a mapping is its kind
of source's own (`kinds/`).
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from router.mapping.budget import Budget
from router.mapping.journal import NOTHING_YET
from router.mapping.kinds.kind import Assigned, Dependent, Kinds, Life, Order, Past
from router.mapping.kinds.stream import StreamKind
from router.mapping.shares import Choose, draw_of
from router.mapping.tape import Tape
from router.mapping.view import LastError, MappingView, ShardPlace, by_age
from router.model.errors import Conflict, RouterError, StoreError
from router.model.function import FunctionVersion
from router.model.mapping_spec import MappingSpec, spec_of
from router.model.resources import Mapping
from router.store.base import Change, Delete, DropProgress, DropStream, Put
from router.store.catalog import Catalog
from router.telemetry import metrics
from router.telemetry.mapping_metrics import MappingMetrics
from router.telemetry.slices import Slices

log = structlog.get_logger()

RESTART_S = 5.0
"""How long a broken mapping rests before it starts again from what is stored."""

ROOM_LOOK_S = 1.0
"""How often mappings that have less room than they would like see whether there is more."""

DRAIN_S = 900.0
"""How long a disabled or deleted mapping may drain: the longest function timeout."""

SOURCES = frozenset({"webhook", "queue"})
"""Kinds of resources that mappings read: when one changes, whoever reads it follows."""


class MappingStatus(msgspec.Struct, frozen=True):
    """What the API says about a mapping besides its settings."""

    state: str
    transition_reason: str
    """Empty: what a user did. Else a code of 1.7, such as EVENT_SOURCE_AUTHN_ERROR."""
    last_processing_result: str


class FunctionLookup(Protocol):
    """Finds the version to run: `functions.resolve.FunctionResolver`."""

    def get_for_mapping(
        self, name: str, qualifier: str | None, *, draw: float | None = None
    ) -> FunctionVersion:
        """A weighted alias goes by `draw`. Raises `NotInvoked`."""

    def is_shared(self, name: str, qualifier: str | None) -> bool:
        """Whether the qualifier is an alias that has weights now."""


class Claims(Protocol):
    """The dispatcher, which wants to know who may ask for slots."""

    def register(self, claimant: str) -> None:
        """A mapping that may ask for slots."""

    def unregister(self, claimant: str) -> None:
        """A mapping that will not ask again."""


class _Run:
    """One mapping as it is known here, running or not."""

    def __init__(self, *, is_over: bool) -> None:
        self.lock = asyncio.Lock()
        self.state = "Creating"
        self.life: Life | None = None
        self.past = Past(is_over=is_over)
        self.numbers: MappingMetrics | None = None
        self.last_result = NOTHING_YET
        self.last_error: LastError | None = None
        self.lag: int | None = 0
        """Records of the source that are not finished, as measured last; None: nobody knows."""
        self.may_resume = False
        """It is being disabled: its life drains, and goes on when it is enabled again."""
        self.trace_salt: bytes | None = None
        """Its next engine has a tape."""


class MappingManager:
    """All mappings of this router."""

    def __init__(
        self,
        catalog: Catalog,
        kinds: Kinds,
        streams: StreamKind,
        dispatcher: Claims,
        functions: FunctionLookup,
        *,
        budget: Budget,
        region: str,
        account: str,
        backoff_ms_max: int,
    ) -> None:
        self._catalog = catalog
        self._kinds = kinds
        self.streams = streams
        """The kind that keeps positions in the store: how far mappings have come is asked there."""
        self._dispatcher = dispatcher
        self._functions = functions
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
            return MappingStatus(state, "", NOTHING_YET)
        result = run.life.last_result if run.life else run.last_result
        reason = run.life.transition_reason if isinstance(run.life, Dependent) else ""
        if trouble := self.trouble(uuid):
            result = f"PROBLEM: {trouble}"
        return MappingStatus(run.state, reason, result)

    def trouble(self, uuid: str) -> str:
        """What keeps a mapping from its source now; empty for none, and where it does not run."""
        run = self._runs.get(uuid)
        life = run.life if run is not None else None
        return life.trouble if isinstance(life, Dependent) else ""

    def load(self, uuid: str) -> tuple[int | None, int]:
        """Lag as measured last, and invocations in flight."""
        run = self._runs.get(uuid)
        if run is None:
            return 0, 0
        return run.lag, run.life.in_flight if run.life is not None else 0

    def view(self, uuid: str) -> MappingView:
        """A mapping at work; `measure` first for its lag."""
        run = self._runs.get(uuid)
        life = run.life if run is not None else None
        if run is None or life is None:
            last_error = run.last_error if run is not None else None
            lag = run.lag if run is not None else 0
            return MappingView(lag=lag, in_flight=0, held_records=0, last_error=last_error)
        return MappingView(
            lag=run.lag,
            in_flight=life.in_flight,
            held_records=life.held_records,
            last_error=life.last_error,
            lanes=tuple(sorted(life.lanes(), key=by_age)),
        )

    def places(self, uuid: str) -> Sequence[ShardPlace]:
        """How far a mapping came in the shards that are given to it; none for other kinds."""
        run = self._runs.get(uuid)
        life = run.life if run is not None else None
        return life.places() if isinstance(life, Assigned) else ()

    async def trace(self, uuid: str, duration_s: float, salt: bytes) -> Tape:
        """Start the mapping anew with a tape, and return it after a while (`router trace`).

        Running invocations end first, as for an update. Raises `Conflict` when it is not running.
        """
        run = self._runs.get(uuid)
        if run is None or run.life is None or uuid not in self._catalog.mappings:
            raise Conflict("only a mapping that is enabled can be traced")
        async with run.lock:
            run.trace_salt = salt
            try:
                await self._end(run)
                await self._bring_about(uuid, run)
            finally:
                run.trace_salt = None
            tape = None if run.life is None else run.life.tape
        if tape is None:
            raise Conflict("the mapping was disabled meanwhile")
        try:
            await asyncio.sleep(duration_s)
        finally:
            tape.is_on = False
        return tape

    def is_draining(self, uuid: str) -> bool:
        """Whether a deleted mapping still runs."""
        return uuid in self._runs and uuid not in self._catalog.mappings

    async def drain(self, timeout_s: float) -> bool:
        """Stop taking in, let running invocations end; False when time ran out (S1, S2)."""
        self._is_stopping = True
        for run in self._runs.values():
            run.past.is_over = True
        lives = [run.life for run in self._runs.values() if run.life is not None]
        try:
            ended = await asyncio.gather(*(life.drain(timeout_s) for life in lives))
        finally:
            await self.stop()
        return all(ended)

    async def stop(self) -> None:
        """End all at once; what runs is cut off and will be repeated, whatever becomes of it."""
        self._is_stopping = True
        lives = [run.life for run in self._runs.values() if run.life is not None]
        await asyncio.gather(*(life.stop() for life in lives))
        for task in self._tasks:
            task.cancel()

    async def finished_shards(self, arn: str) -> set[str]:
        """Closed shards of a stream that no mapping has anything to do in. Raises `StoreError`.

        None while a mapping of it is between two lives. Ask while nothing may change.
        """
        if self._is_any_between_lives(arn):
            return set()
        finished = await self.streams.finished_shards(arn)
        return set() if self._is_any_between_lives(arn) else finished

    def _is_any_between_lives(self, arn: str) -> bool:
        runs = (
            self._runs.get(mapping.uuid)
            for mapping in self._catalog.mappings.values()
            if mapping.event_source_arn == arn
        )
        return any(run and (run.past.is_forgotten or run.lock.locked()) for run in runs)

    async def measure(self) -> None:
        """Refresh lag and buffer gauges. Raises `StoreError`.

        Of a source that cannot be asked nobody knows the lag, and its gauge stays what it was.
        """
        metrics.BUFFER_BYTES.set(self._budget.held_bytes)
        metrics.BUFFER_LIMIT.set(self._budget.bytes_max)
        looks: dict[str, Any] = {}
        slices = Slices()
        for uuid, run in list(self._runs.items()):
            if slices.is_due:
                await slices.breathe()
            mapping, numbers = self._catalog.mappings.get(uuid), run.numbers
            if mapping is None or numbers is None:
                continue
            try:
                run.lag = await self._kinds.kind_of(mapping).lag(self._spec(mapping), looks)
            except StoreError:
                raise
            except RouterError as error:
                run.lag = None
                log.debug("lag_not_known", mapping=mapping.name, error=str(error))
            if run.lag is not None:
                numbers.lag.set(run.lag)
            numbers.buffered.set(run.life.held_records if run.life is not None else 0)

    async def show(self, wall_ms: int) -> None:
        """Refresh the gauges of what mappings hold; `measure` first."""
        slices = Slices()
        for uuid, run in list(self._runs.items()):
            if run.numbers is not None and uuid in self._runs:
                lanes = () if run.life is None else run.life.lanes()
                run.numbers.show(
                    lanes,
                    wall_ms,
                    is_in_trouble=bool(self.trouble(uuid)),
                    is_at_end=run.lag == 0 and not lanes,
                )
            if slices.is_due:
                await slices.pause()

    # Following the catalog

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, DropProgress | DropStream):
                self._mark_forgotten(change)
            elif isinstance(change, Put) and change.resource.kind == "mapping":
                self._announce(change.resource.name)
                self._spawn(change.resource.name)
            elif isinstance(change, Put) and change.resource.kind in SOURCES:
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
                is_meant = run.life is not None and run.life.spec.source_arn == change.stream
                run.past.is_source_new = run.past.is_source_new or is_meant
            if is_meant:
                run.past.is_forgotten = True
                self._spawn(uuid)

    def _run_of(self, uuid: str) -> _Run:
        run = self._runs.get(uuid)
        if run is None:
            run = self._runs[uuid] = _Run(is_over=self._is_stopping)
        return run

    def _announce(self, uuid: str) -> None:
        """The state the API answers at once, before anything has happened."""
        mapping = self._catalog.mappings[uuid]
        is_new = uuid not in self._runs
        run = self._run_of(uuid)
        if is_new:
            run.state = "Creating" if mapping.is_enabled else "Disabled"
        elif mapping.is_enabled:
            if run.life is not None and run.may_resume:
                run.life.resume()
                run.state = "Enabling"
                return
            if run.life is not None and run.life.spec == self._spec(mapping):
                return  # nothing that runs: tags, or the same once more
            run.state = "Updating" if run.life is not None else "Enabling"
        else:
            run.state = "Disabling" if run.life is not None else "Disabled"

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
                if run.life is not None:
                    run.life.see_room()

    async def _reconcile_later(self, uuid: str, delay_s: float) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        await self._reconcile(uuid)

    async def _reconcile(self, uuid: str) -> None:
        run = self._run_of(uuid)
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
        if run.past.is_forgotten:
            await self._end(run)
            run.past.is_forgotten = False
        spec = self._spec(mapping)
        if run.life is not None and run.life.is_broken:
            await self._end(run)
        run.numbers = self._numbers_of(run, spec)
        if not mapping.is_enabled:
            if not await self._end(run, may_resume=True):
                return  # enabled meanwhile; who did that has the next turn
            run.state = "Disabled"
        else:
            await self._bring_to(run, mapping, spec)
            run.state = "Enabled"
        run.numbers.set_state(run.state)

    def _numbers_of(self, run: _Run, spec: MappingSpec) -> MappingMetrics:
        function = _name_of(spec.function_arn)
        if run.numbers is None:
            return MappingMetrics(spec.name, spec.uuid, function, spec.source_name)
        run.numbers.describe(function, spec.source_name)
        return run.numbers

    async def _bring_to(self, run: _Run, mapping: Mapping, spec: MappingSpec) -> None:
        """Make an enabled mapping run with these settings."""
        if run.life is not None and not run.life.can_become(spec):
            await self._end(run)
        if run.life is None:
            await self._begin(run, mapping, spec)
        else:
            await run.life.follow(spec)

    async def _begin(self, run: _Run, mapping: Mapping, spec: MappingSpec) -> None:
        self._dispatcher.register(spec.uuid)
        order = Order(
            spec=spec,
            past=run.past,
            numbers=self._numbers_of(run, spec),
            resolve=self._resolver(spec.uuid),
            slowest=self._slowest(spec.uuid),
            choose=self._chooser(spec.uuid),
            on_broken=lambda: self._spawn(spec.uuid, RESTART_S),
            last_result=run.last_result,
            last_error=run.last_error,
            trace_salt=run.trace_salt,
        )
        # Counted before it takes its part of the budget.
        self._budget.mappings += 1
        try:
            run.life = await self._kinds.kind_of(mapping).begin(order)
        finally:
            if run.life is None:
                self._budget.mappings -= 1

    def _resolver(self, uuid: str) -> Callable[[], FunctionVersion]:
        def resolve() -> FunctionVersion:
            mapping = self._catalog.mappings.get(uuid)
            name = mapping.function if mapping is not None else ""
            qualifier = mapping.qualifier if mapping is not None else None
            return self._functions.get_for_mapping(name, qualifier)

        return resolve

    def _slowest(self, uuid: str) -> Callable[[], FunctionVersion]:
        def slowest() -> FunctionVersion:
            mapping = self._catalog.mappings.get(uuid)
            if mapping is None:
                return self._functions.get_for_mapping("", None)
            ends = (0.0, math.nextafter(1.0, 0.0))  # whatever is drawn falls to one of theirs
            versions = (
                self._functions.get_for_mapping(mapping.function, mapping.qualifier, draw=draw)
                for draw in ends
            )
            return max(versions, key=lambda version: version.timeout_ms)

        return slowest

    def _chooser(self, uuid: str) -> Callable[[], Choose | None]:
        def choose() -> Choose | None:
            mapping = self._catalog.mappings.get(uuid)
            if mapping is None or mapping.qualifier is None:
                return None
            name, qualifier = mapping.function, mapping.qualifier
            if not self._functions.is_shared(name, qualifier):
                return None
            return lambda key: self._functions.get_for_mapping(
                name, qualifier, draw=draw_of(uuid, key)
            )

        return choose

    async def _end(self, run: _Run, *, may_resume: bool = False) -> bool:
        """Drain and stop; False when it was resumed in the middle and goes on."""
        if (life := run.life) is not None:
            run.may_resume = may_resume
            await life.drain(DRAIN_S)
            run.may_resume = False
            if not life.is_draining and not life.is_broken:
                return False
            await life.stop()
            run.last_result, run.last_error = life.last_result, life.last_error
            self._budget.mappings -= 1
        run.life = None
        return True

    def _spec(self, mapping: Mapping) -> MappingSpec:
        return spec_of(mapping, self._region, self._account, self._backoff_ms_max)


def _name_of(arn: str) -> str:
    return arn.split(":function:", 1)[-1].split(":", 1)[0]
