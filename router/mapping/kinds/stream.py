"""Streams kept in the store: the shell on a stream engine, its shards as the catalog has them."""

from collections.abc import Container, Sequence
from typing import Any, Protocol

from router.mapping import engine as e
from router.mapping.budget import Budget
from router.mapping.driver import Clock
from router.mapping.kinds.driven import Driven
from router.mapping.kinds.kind import Order
from router.mapping.shell import Mailbox, Runner, Shell, Source, SourceFormat
from router.mapping.stream_engine import StreamEngine
from router.mapping.trace import TracedEngine
from router.mapping.view import LaneView, view_lanes
from router.model.mapping_spec import MappingSpec
from router.model.progress import ShardProgress
from router.model.shard import StreamShard
from router.store.base import DropProgress, Store
from router.store.catalog import Catalog


class Connector(Protocol):
    """Makes sources and formats for event source ARNs."""

    def source(self, arn: str) -> Source:
        """The source behind an ARN."""

    def format(self, arn: str) -> SourceFormat:
        """How its events look."""

    def shards(self, arn: str) -> Sequence[StreamShard]:
        """Its shards, parents before their children; none when it does not exist."""


class StreamKind:
    """Implements `Kind`. Also knows how far mappings have come, running or not."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        connector: Connector,
        runner: Runner,
        mailbox: Mailbox,
        clock: Clock,
        budget: Budget,
    ) -> None:
        self.connector = connector
        self._catalog = catalog
        self._store = store
        self._runner = runner
        self._mailbox = mailbox
        self._clock = clock
        self._budget = budget
        self._lives: dict[str, StreamLife] = {}

    async def begin(self, order: Order) -> "StreamLife | None":
        """See `Kind.begin`. Reads on from what is stored, else from the starting position."""
        spec = order.spec
        opened = await self.openings(order, spec)
        if not order.past.may_begin:
            return None
        salt = order.trace_salt
        engine = StreamEngine(spec) if salt is None else TracedEngine(spec, None, salt)
        shell = Shell(
            spec,
            engine,
            source=self.connector.source(spec.source_arn),
            source_format=self.connector.format(spec.source_arn),
            progress=self._store.progress,
            runner=self._runner,
            mailbox=self._mailbox,
            resolve=order.resolve,
            choose=order.choose,
            numbers=order.numbers,
            clock=self._clock,
            budget=self._budget,
            on_broken=order.on_broken,
        )
        shell.last_result, shell.last_error = order.last_result, order.last_error
        life = self._lives[spec.uuid] = StreamLife(self, order, shell, engine, opened)
        shell.start(opened)
        return life

    def now_ms(self) -> int:
        """Monotonic milliseconds, as engines count."""
        return self._clock.now_ms()

    def ended(self, life: "StreamLife") -> None:
        """A life is over: what is stored says how far it came."""
        if self._lives.get(life.spec.uuid) is life:
            del self._lives[life.spec.uuid]

    def shard_names(self, arn: str) -> tuple[str, ...]:
        """The shards of a stream as they are now."""
        return tuple(shard.name for shard in self.connector.shards(arn))

    async def openings(
        self, order: Order, spec: MappingSpec, known: Container[str] = ()
    ) -> list[e.ShardOpened]:
        """The shards of the source that are not known yet, each with where to go on.

        One that comes while this waits is the next round's: its commit asks for one.
        """
        past, progress = order.past, self._store.progress
        shards = [it for it in self.connector.shards(spec.source_arn) if it.name not in known]
        stored = await progress.load(spec.uuid)
        missing = [shard for shard in shards if shard.name not in stored]
        if missing:
            # A shard that comes later holds nothing the mapping was meant to skip.
            is_first = not stored and not past.is_source_new
            positions = (
                await self._starting_positions(spec, missing)
                if is_first
                else {shard.name: 0 for shard in missing}
            )
            await progress.start(spec.uuid, positions)
            stored = await progress.load(spec.uuid)
            if past.is_forgotten:
                # Dropped while this was under way: what was just fixed is of an earlier life.
                await self._store.metadata.apply([DropProgress(spec.uuid)])
        past.is_source_new = False
        return [
            e.ShardOpened(it.name, stored.get(it.name, ShardProgress(0)), it.parents)
            for it in shards
        ]

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

    # How far mappings have come

    async def lag(self, spec: MappingSpec, looks: dict[str, Any]) -> int:
        """See `Kind.lag`."""
        arn = spec.source_arn
        if arn not in looks:
            rows = await self._store.streams.stats(arn)
            looks[arn] = {row.shard: row.last_position for row in rows}
        last = {it: looks[arn].get(it, 0) for it in self.shard_names(arn)}
        positions = await self.positions(spec.uuid, tuple(last))
        return sum(max(0, last[shard] - positions[shard]) for shard in last)

    async def positions(self, uuid: str, shards: Sequence[str]) -> dict[str, int]:
        """How far a mapping has finished each shard, also while it does not run."""
        life = self._lives.get(uuid)
        if life is not None and not life.is_forgotten:
            return {shard: life.engine.position(shard) for shard in shards}
        stored = await self._store.progress.load(uuid)
        return {shard: stored[shard].position if shard in stored else 0 for shard in shards}

    async def finished_positions(self, arn: str) -> dict[str, int]:
        """Per shard of a stream, the position every mapping on it has finished.

        A stream without a mapping is finished nowhere. Raises `StoreError`.
        """
        shards = self.shard_names(arn)
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
        finished = {shard.name for shard in self.connector.shards(arn) if shard.is_closed}
        stats = await self._store.streams.stats(arn)
        last = {row.shard: row.last_position for row in stats}
        for mapping in list(self._catalog.mappings.values()):
            if mapping.event_source_arn != arn:
                continue
            if (life := self._lives.get(mapping.uuid)) is not None:
                finished = {shard for shard in finished if life.engine.is_finished(shard)}
            elif stored := await self._store.progress.load(mapping.uuid):
                finished = {
                    shard
                    for shard in finished
                    if shard in stored and stored[shard].is_finished(last.get(shard, 0))
                }
        return finished


class StreamLife(Driven[Shell, StreamEngine]):
    """Implements `Life`."""

    def __init__(
        self,
        kind: StreamKind,
        order: Order,
        shell: Shell,
        engine: StreamEngine,
        opened: Sequence[e.ShardOpened],
    ) -> None:
        self._kind = kind
        self._order = order
        self.shell = shell
        self.engine = engine
        self.spec = order.spec
        self.shards = tuple(shard.shard for shard in opened)
        """Opened in the engine: finished ones too, until the source forgets them."""

    @property
    def is_forgotten(self) -> bool:
        """Its progress was dropped."""
        return self._order.past.is_forgotten

    def lanes(self) -> list[LaneView]:
        """See `Life.lanes`."""
        return view_lanes(self.engine.lanes, self._kind.now_ms())

    def can_become(self, spec: MappingSpec) -> bool:
        """See `Life.can_become`."""
        return spec.source_arn == self.spec.source_arn

    async def follow(self, spec: MappingSpec) -> None:
        """See `Life.follow`."""
        if self.shards != self._kind.shard_names(spec.source_arn):
            await self._follow_shards(spec)
        if self.spec != spec:
            self.shell.change_settings(spec)
            self.spec = spec

    async def _follow_shards(self, spec: MappingSpec) -> None:
        """The stream was cut anew: read what came, forget what went, while the rest goes on."""
        known = set(self.shards)
        opened = await self._kind.openings(self._order, spec, known)
        if not self._order.past.may_begin:
            return
        left = known - set(self._kind.shard_names(spec.source_arn))
        gone = {shard for shard in left if self.engine.is_finished(shard)}
        self.shell.forget_shards(gone)
        self.shards = tuple(shard for shard in self.shards if shard not in gone)
        self.shards += tuple(shard.shard for shard in opened)
        self.shell.start(opened)

    async def stop(self) -> None:
        """See `Life.stop`."""
        await super().stop()
        self._kind.ended(self)
