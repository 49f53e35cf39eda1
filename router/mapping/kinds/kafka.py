"""Kafka: the shell on a stream engine, its shards the partitions its consumer group gives it.

    begin ─► connect ─► fix the start ─► join ─► assigned ─► open shards ─► …
                 ▲                                  │
                 └──── trouble, told by status      └─► revoked: finish, commit, let go ─► assigned

How far the mapping came is in the group's commits; the store keeps on-failure records, and what of
them is not committed yet.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from router.mapping import engine as e
from router.mapping.budget import COPIES, Budget
from router.mapping.driver import Clock
from router.mapping.kinds.driven import Driven
from router.mapping.kinds.kind import Order
from router.mapping.shell import Mailbox, Runner, Shell
from router.mapping.stream_engine import StreamEngine
from router.mapping.trace import TracedEngine
from router.mapping.view import LaneView, ShardPlace, view_lanes
from router.model.backoff import backoff_ms
from router.model.errors import RouterError
from router.model.mapping_spec import MappingSpec
from router.model.progress import ShardProgress
from router.sources.kafka.clusters import Clusters
from router.sources.kafka.format import KafkaFormat
from router.sources.kafka.group_progress import GroupProgress
from router.sources.kafka.opening import go_on
from router.sources.kafka.problem import AUTHENTICATION, PASSING, SourceProblem
from router.sources.kafka.source import KafkaSource
from router.store.base import DropProgress, Store

if TYPE_CHECKING:
    from router.sources.kafka.member import Member

log = structlog.get_logger()

FINISH_S_MAX: Final = 18.0
"""How long running invocations may take when partitions are revoked, before what they did may be
done again by the next owner. The group waits meanwhile (`member.REBALANCE_S`)."""

COMMIT_S_MAX: Final = 5.0
"""Longest wait for the last commit before partitions are let go."""

AHEAD_BYTES_MAX: Final = 16 << 20
AHEAD_DIVISOR: Final = 4
"""What the client of a mapping may read ahead of the engine: so much, and no more than this part
of what is the mapping's own. It counts twice: as the client holds it, and taken apart."""

LOOK_S: Final = 5.0
"""How often a running mapping makes sure that it is in touch with its cluster."""

BEGIN_S_MAX: Final = 5.0
"""How long a mapping that begins waits for its cluster before it goes on in the background."""

CONNECT_MS_MIN: Final = 1_000
CONNECT_MS_MAX: Final = 15_000
"""Waits between attempts to connect."""


class KafkaKind:
    """Implements `Kind`."""

    def __init__(
        self,
        store: Store,
        clusters: Clusters,
        runner: Runner,
        mailbox: Mailbox,
        clock: Clock,
        budget: Budget,
    ) -> None:
        self.store = store
        self.clusters = clusters
        self.runner = runner
        self.mailbox = mailbox
        self.clock = clock
        self.budget = budget
        self._lives: dict[str, KafkaLife] = {}

    async def begin(self, order: Order) -> "KafkaLife | None":
        """See `Kind.begin`. A cluster that cannot be used is told by the life, not raised."""
        life = KafkaLife(self, order)
        await life.begin()
        if not order.past.may_begin:
            await life.stop()
            return None
        self._lives[order.spec.uuid] = life
        return life

    def ended(self, life: "KafkaLife") -> None:
        """A life is over."""
        if self._lives.get(life.spec.uuid) is life:
            del self._lives[life.spec.uuid]

    async def lag(self, spec: MappingSpec, looks: dict[str, Any]) -> int | None:  # noqa: ARG002  protocol
        """See `Kind.lag`. Of the partitions this router has; None while the mapping has none."""
        life = self._lives.get(spec.uuid)
        return None if life is None else life.lag


class KafkaLife(Driven[Shell, StreamEngine]):
    """Implements `Life`, and `member.Rebalances`."""

    def __init__(self, kind: KafkaKind, order: Order) -> None:
        self._kind = kind
        self._order = order
        self.spec = order.spec
        self._trouble: SourceProblem | None = None
        self._member: Member | None = None
        self._partitions: tuple[str, ...] = ()
        """Opened in the engine."""
        self._term = 0
        """Counts rebalances."""
        self._ahead_bytes = 0
        """Set aside in the budget for what the client reads ahead (L2)."""
        self._opening: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._has_tried = asyncio.Event()
        """To connect."""
        self._anew: set[asyncio.Task[None]] = set()
        """Begin partitions again whose topic was made anew."""
        self._is_ending = False
        """The manager drains it: a rebalance in the middle resumes nothing."""
        store, spec = kind.store, self.spec
        self._progress = GroupProgress(
            spec.uuid,
            self._commit,
            store.progress,
            store.metadata.apply,
            on_committed=self._committed,
            on_failed=self._not_committed,
        )
        self._source = KafkaSource(self, kind.clock.wall_ms, self._begun_anew)
        self._format = KafkaFormat(spec.source_arn, ",".join(self._servers()))
        salt, fitted = order.trace_salt, self._fitted(spec)
        self.engine = StreamEngine(fitted) if salt is None else TracedEngine(fitted, None, salt)
        self.shell = Shell(
            fitted,
            self.engine,
            source=self._source,
            source_format=self._format,
            progress=self._progress,
            runner=kind.runner,
            mailbox=kind.mailbox,
            resolve=order.resolve,
            choose=order.choose,
            numbers=order.numbers,
            clock=kind.clock,
            budget=kind.budget,
            on_broken=order.on_broken,
        )
        self.shell.last_result, self.shell.last_error = order.last_result, order.last_error

    def _servers(self) -> tuple[str, ...]:
        try:
            return self._kind.clusters.servers(self.spec)
        except SourceProblem:
            return ()  # told when it connects

    def _fitted(self, spec: MappingSpec) -> MappingSpec:
        """Settings as the engine takes them: an event of Kafka has a longer envelope (D11)."""
        size_bytes = self._format.event_bytes_max(spec.topics[0])
        return msgspec.structs.replace(spec, event_bytes_max=size_bytes)

    # Life

    async def begin(self) -> None:
        """Wait for the first attempt to connect, so that LATEST means now, but not for long."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_in_touch())
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_S_MAX):
                await self._has_tried.wait()

    @property
    def last_result(self) -> str:
        """See `Life.last_result`: what keeps the mapping from its source comes first."""
        return super().last_result if self._trouble is None else self._trouble.result

    @property
    def transition_reason(self) -> str:
        """StateTransitionReason of a source that cannot be used; empty otherwise."""
        return "" if self._trouble is None else self._trouble.reason

    @property
    def trouble(self) -> str:
        """See `Dependent.trouble`."""
        return "" if self._trouble is None else str(self._trouble)

    @property
    def lag(self) -> int | None:
        """Records of its partitions that are not finished; None while it does not know its own."""
        is_told = self._opening is not None and self._opening.done()
        if self._trouble is not None or not is_told:
            return None
        lags = [place.lag or 0 for place in self.places()]
        self._order.numbers.lag_max.set(max(lags, default=0))
        return sum(lags)

    def places(self) -> list[ShardPlace]:
        """See `Assigned.places`; positions are offsets."""
        member = self._member
        if member is None:
            return []
        found = []
        for name, position in self._progress.positions().items():
            end = member.end_seen(name)
            lag = None if end is None else max(0, end - 1 - position)
            found.append(ShardPlace(name, position, lag))
        return found

    @property
    def is_draining(self) -> bool:
        """See `Life.is_draining`."""
        return self._is_ending

    def lanes(self) -> list[LaneView]:
        """See `Life.lanes`."""
        return view_lanes(self.engine.lanes, self._kind.clock.now_ms())

    def can_become(self, spec: MappingSpec) -> bool:
        """See `Life.can_become`: the same topic of the same cluster, in the same group."""
        return _place(spec) == _place(self.spec)

    async def follow(self, spec: MappingSpec) -> None:
        """See `Life.follow`."""
        if spec != self.spec:
            self.shell.change_settings(self._fitted(spec))
            self.spec = spec

    def resume(self) -> None:
        """See `Life.resume`."""
        self._is_ending = False
        super().resume()

    async def drain(self, timeout_s: float) -> bool:
        """See `Life.drain`. What was finished is committed when it returns."""
        self._is_ending = True
        is_drained = await super().drain(timeout_s)
        await self._commit_the_rest()
        return is_drained and self._is_ending

    async def stop(self) -> None:
        """See `Life.stop`. Leaves the group."""
        self._is_ending = True
        for task in (self._keeper, self._opening, *self._anew):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.shell.stop()
        await self._progress.stop()
        await self._disconnect()
        self._kind.ended(self)

    # The cluster

    async def _keep_in_touch(self) -> None:
        """For ever: connect, and tell what keeps the mapping from its source."""
        failures = 0
        while True:
            if self._member is not None:
                failures = 0
                await asyncio.sleep(LOOK_S)
                await self._look(self._member)
                continue
            await self._try_to_connect()
            self._has_tried.set()
            if self._member is None:
                failures += 1
                wait_ms = backoff_ms(failures, CONNECT_MS_MIN, CONNECT_MS_MAX, self.spec.uuid)
                await asyncio.sleep(wait_ms / 1000)

    async def _look(self, member: "Member") -> None:
        """A client that has lost its cluster, or its group, says nothing unless it is asked."""
        is_spent = False
        self._share_ahead()
        try:
            member.check()
            if member.is_in_touch and self._trouble is None and self._partitions:
                return
            # Whoever has no partitions may be one too many, or have no topic any more.
            await member.look()
        except SourceProblem as problem:
            self._in_trouble(problem)
            # Perhaps there is another password by now: secrets are read when it connects.
            is_spent = problem.reason == AUTHENTICATION or member.is_spent
        except Exception as error:  # noqa: BLE001  whatever the client meets, it is tried again
            self._surprised(error)
            is_spent = True
        else:
            if member.is_in_touch:
                self._trouble = None
        if is_spent:
            await self.revoked()
            await self._disconnect()

    async def _try_to_connect(self) -> None:
        try:
            await self._connect()
        except SourceProblem as problem:
            self._in_trouble(problem)
            await self._disconnect()
        except RouterError as error:
            self._in_trouble(SourceProblem(PASSING, str(error)))
            await self._disconnect()
        except Exception as error:  # noqa: BLE001  whatever the client meets, it is tried again
            self._surprised(error)
            await self._disconnect()

    async def _connect(self) -> None:
        # Only a router that reads Kafka loads its client.
        from router.sources.kafka.member import Member
        from router.sources.kafka.starting import fix_start

        spec = self.spec
        clusters = self._kind.clusters
        access = clusters.access(spec)
        self._member = Member(
            access, spec.topics[0], spec.consumer_group, f"router-{spec.name}", clusters.look_s
        )
        await self._member.open()
        await fix_start(self._member, spec, self._member.partitions, self._forget)
        self._order.numbers.pollers.set(1)
        self._member.join(self)

    async def _forget(self) -> None:
        await self._kind.store.metadata.apply([DropProgress(self.spec.uuid)])

    async def _disconnect(self) -> None:
        member, self._member = self._member, None
        self._order.numbers.pollers.set(0)
        self._share_ahead()
        if member is not None:
            await member.close()

    def _share_ahead(self) -> None:
        """Tell the client how far it may read ahead, and the budget what that may take (L2)."""
        budget, member, count = self._kind.budget, self._member, len(self._partitions)
        ahead_bytes = 0
        if member is not None and count:
            bytes_max = min(AHEAD_BYTES_MAX, budget.part_bytes // AHEAD_DIVISOR)
            ahead_bytes = COPIES * count * member.read_ahead(count, bytes_max)
        budget.aside_bytes += ahead_bytes - self._ahead_bytes
        self._ahead_bytes = ahead_bytes

    def _in_trouble(self, problem: SourceProblem) -> None:
        if self._trouble is None or str(self._trouble) != str(problem):
            log.warning(
                "source_unusable", mapping=self.spec.name, reason=problem.reason, error=str(problem)
            )
        self.shell.went_wrong(str(problem))
        self._trouble = problem

    def _surprised(self, error: Exception) -> None:
        log.error("kafka_client_failed", mapping=self.spec.name, exc_info=error)
        self._in_trouble(SourceProblem(PASSING, f"the client failed: {type(error).__name__}"))

    # Rebalances

    async def revoked(self) -> None:
        """All partitions go: finish what runs, commit, let go. A new owner repeats nothing then."""
        self._term += 1
        if self._opening is not None:
            self._opening.cancel()
        if not self._partitions:
            return
        await self.shell.drain(FINISH_S_MAX)
        await self._commit_the_rest()
        partitions, self._partitions = self._partitions, ()
        self._share_ahead()
        self._progress.end()
        self._source.forget()
        self.shell.revoke_shards(partitions)
        if not self._is_ending:
            self.shell.resume()
        log.info("partitions_revoked", mapping=self.spec.name, partitions=len(partitions))

    def assigned(self, partitions: Sequence[str]) -> None:
        """These partitions are ours: open them, in the background, for the group waits for us."""
        self._term += 1
        if self._opening is not None:
            self._opening.cancel()  # of none, which nobody takes away before
        self._opening = asyncio.get_running_loop().create_task(self._open(partitions))

    async def _open(self, partitions: Sequence[str]) -> None:
        failures = 0
        while self._member is not None:
            try:
                opened = await self._openings(self._member, partitions)
            except SourceProblem as problem:
                self._in_trouble(problem)
            except RouterError as error:
                log.warning("partitions_not_opened", mapping=self.spec.name, error=str(error))
            except Exception as error:  # noqa: BLE001  whatever the client meets, it is tried again
                self._surprised(error)
            else:
                break
            failures += 1
            wait_ms = backoff_ms(failures, CONNECT_MS_MIN, CONNECT_MS_MAX, self.spec.uuid)
            await asyncio.sleep(wait_ms / 1000)
        else:
            return
        self._partitions = tuple(partitions)
        self._share_ahead()
        self._trouble = None
        self.shell.start(opened)
        log.info("partitions_assigned", mapping=self.spec.name, partitions=len(partitions))

    async def _openings(self, member: "Member", partitions: Sequence[str]) -> list[e.ShardOpened]:
        """Where to go on in each. Raises `RouterError`."""
        stored = await self._kind.store.progress.load(self.spec.uuid)
        found = await go_on(member, self._progress, partitions, stored)
        return [e.ShardOpened(name, progress) for name, progress in found.items()]

    def _begun_anew(self, partition: str, first: int) -> None:
        """A partition that ends before where it was read: the topic was made anew."""
        log.warning("topic_made_anew", mapping=self.spec.name, partition=partition, first=first)
        self._partitions = tuple(it for it in self._partitions if it != partition)
        self.shell.revoke_shards((partition,))
        self._progress.end_for_good(partition)
        beginning = self._begin_anew(partition, first, self._term)
        task = asyncio.get_running_loop().create_task(beginning)
        self._anew.add(task)
        task.add_done_callback(self._anew.discard)

    async def _begin_anew(self, partition: str, first: int, term: int) -> None:
        """A turn of the loop later: what was asked for of the old records has been refused."""
        if term != self._term:
            return  # a rebalance was faster: whoever gets the partition finds out for himself
        self._partitions += (partition,)
        self._progress.begin_anew(partition, first)
        self.shell.start((e.ShardOpened(partition, ShardProgress(first - 1)),))

    # For the source and the progress

    async def read(
        self, partition: str, offset: int, records_max: int, wait_ms: int
    ) -> tuple[Sequence[Any], int]:
        """See `source.Reader`; what is refused is told by the status."""
        if self._member is None:
            raise SourceProblem(PASSING, "not connected")
        try:
            found = await self._member.read(partition, offset, records_max, wait_ms)
        except SourceProblem as problem:
            self._in_trouble(problem)
            raise
        return found

    async def _commit(self, offsets: Mapping[str, tuple[int, str]]) -> None:
        if self._member is None:
            raise SourceProblem(PASSING, "not connected")
        await self._member.commit(offsets)

    async def _commit_the_rest(self) -> None:
        try:
            async with asyncio.timeout(COMMIT_S_MAX):
                await self._progress.flush()
        except (RouterError, TimeoutError) as error:
            log.warning("not_committed", mapping=self.spec.name, error=str(error))

    def _committed(self, moved: int) -> None:
        self._order.numbers.committed.inc(max(0, moved))

    def _not_committed(self, error: RouterError) -> None:
        self._order.numbers.commit_errors.inc()
        log.warning("commit_failed", mapping=self.spec.name, error=str(error))
        if isinstance(error, SourceProblem):
            self._in_trouble(error)


def _place(spec: MappingSpec) -> tuple[Any, ...]:
    return (
        spec.source_arn, spec.bootstrap_servers, spec.topics, spec.source_access,
        spec.consumer_group,
    )  # fmt: skip
