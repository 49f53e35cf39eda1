"""Where a mapping keeps how far it came: in its consumer group, where any tool of Kafka sees it.

A success is answered at once and committed with what else came, a few times a second: what a
crash repeats was in flight by definition (D12). What has failed is answered once it is committed,
so that a record that kills the router cannot reset its own budget (D10). A discard with an
on-failure record is stored here before anything is committed (D7), with the positions it covers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from router.model.errors import RouterError
from router.model.progress import LaneProgress, ProgressUpdate, ShardProgress
from router.sources.kafka.committed import encode, merged
from router.store.base import Change, DropProgress, EnqueuedMessage, OutboxRow

log = structlog.get_logger()

COMMIT_EVERY_S: Final = 0.2
"""Commits of a mapping, at most so often: each costs as much as a hundred records."""

RETRY_S: Final = 1.0
"""Rest after a commit that failed."""

NOTHING: Final = -1
"""The position of a partition of which nothing is finished: its first offset is 0."""

Said = tuple[int, str]
"""Offset and metadata of a commit."""

Commit = Callable[[Mapping[str, Said]], Awaitable[None]]


class Cover(Protocol):
    """The store of the router, for discards that are not committed yet: `store.progress`."""

    async def start(self, mapping: str, positions: Mapping[str, int]) -> None:
        """Make a place for a shard's progress."""

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """Store progress and on-failure record in one transaction."""


class NotOurs(RouterError):
    """The partition was revoked: nothing of it may be committed any more."""

    code = "partition_revoked"


def basis(shard: str) -> str:
    """Where the store keeps how far a partition was committed before its first discard there.

    A commit from before that one was set back by somebody, or is of a topic made anew: then the
    discard says nothing about what is there now.
    """
    return f"@{shard}"  # no topic is called so


class _Partition:
    """What is to be committed of one partition."""

    def __init__(self, progress: ShardProgress, said: Said) -> None:
        self.position = progress.position
        self.factor = progress.factor
        self.lanes = {lane.lane: lane for lane in progress.lanes}
        self.said = said
        """The last commit that went through."""

    def step(self, update: ProgressUpdate) -> None:
        """Steps of lanes may come in any order; a position never goes back (D4)."""
        if update.factor != self.factor:
            self.factor, self.lanes = update.factor, {}
        self.position = max(self.position, update.position)
        known = self.lanes.get(update.lane.lane)
        if known is None or known.position <= update.lane.position:
            self.lanes[update.lane.lane] = update.lane

    def progress(self) -> ShardProgress:
        """As a commit says it."""
        history = [
            index
            for index, lane in self.lanes.items()
            if lane.position <= self.position and lane.head is None
        ]
        for index in history:
            del self.lanes[index]
        lanes: tuple[LaneProgress, ...] = tuple(self.lanes[it] for it in sorted(self.lanes))
        return ShardProgress(self.position, self.factor, lanes)


class GroupProgress:
    """Of one running mapping. `begin` and `end` follow the group's rebalances."""

    def __init__(
        self,
        mapping: str,
        commit: Commit,
        cover: Cover,
        forget: Callable[[list[Change]], Awaitable[None]],
        on_committed: Callable[[int], None],
        on_failed: Callable[[RouterError], None],
    ) -> None:
        """`on_committed` hears by how many offsets a commit moved, `on_failed` why one failed."""
        self._mapping = mapping
        self._commit = commit
        self._cover = cover
        self._forget = forget
        self._on_committed = on_committed
        self._on_failed = on_failed
        self._partitions: dict[str, _Partition] = {}
        self._dirty: set[str] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._left: dict[str, _Partition] = {}
        """Revoked: where one comes back and nobody else committed, it stands where it stood."""
        self._covers: dict[str, int] = {}
        """Per partition, discards stored here that no commit covers yet."""
        self._storing = 0
        """Discards on their way into the store."""
        self._started: set[str] = set()
        """Partitions that got a place in the store since it was last told to forget."""
        self._is_kept = False
        """The store may have such discards. What is read there may be about to be forgotten."""
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def standing(
        self, shard: str, progress: ShardProgress, said: Said, stored: Mapping[str, ShardProgress]
    ) -> ShardProgress:
        """Where a partition stands whose last commit is `said` and says `progress`."""
        left = self._left.get(shard)
        if left is not None and left.said == said:
            return left.progress()
        base = stored.get(basis(shard))
        if base is None or progress.position < base.position:
            return progress
        return merged(progress, stored.get(shard))

    def begin(self, shard: str, progress: ShardProgress, said: Said | None = None) -> None:
        """A partition is this mapping's, stands here, and was last committed so (None: here)."""
        left = self._left.pop(shard, None)
        if left is None or left.said != said:
            left = _Partition(progress, said or encode(progress))
        elif encode(left.progress()) != said:
            # More was done than its last commit says, and perhaps nothing else comes to commit.
            self._dirty.add(shard)
            self._see_to_it()
        self._partitions[shard] = left

    def begin_anew(self, shard: str, first: int) -> None:
        """All there was of a partition is gone, and it begins with other records: say so."""
        self._partitions[shard] = _Partition(ShardProgress(first - 1), (first, ""))
        self._dirty.add(shard)
        self._see_to_it()

    def found(self, stored: Mapping[str, ShardProgress]) -> None:
        """The store has discards of an earlier life: once they are committed they are forgotten."""
        for name in stored:
            if name in self._partitions:
                self._covers[name] = self._covers.get(name, 0) + 1
                self._dirty.add(name)
        if stored:
            self._is_kept = True
            self._see_to_it()

    def end(self) -> None:
        """All partitions were revoked: what is not committed is the next owner's to repeat."""
        self._left |= self._partitions
        self._partitions = {}
        self._dirty.clear()
        self._release(NotOurs("the partition was revoked"))

    def end_for_good(self, shard: str) -> None:
        """Nothing that was known of a partition holds any more."""
        self._partitions.pop(shard, None)
        self._left.pop(shard, None)
        self._dirty.discard(shard)
        self._covers.pop(shard, None)
        # Who waits for a commit of it is told with the others, who ask again.
        self._release(NotOurs(f"{shard} was made anew"))

    def positions(self) -> dict[str, int]:
        """Per partition, everything at or below is finished."""
        return {name: it.position for name, it in self._partitions.items()}

    async def save(self, mapping: str, update: ProgressUpdate) -> None:  # noqa: ARG002  one mapping
        """A step; durable on return where something failed, soon otherwise. Raises `NotOurs`."""
        self._take(update)
        if update.lane.head is not None:
            await self._committed()

    async def discard(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
    ) -> None:
        """Give up: the on-failure record is durable on return. Raises `StoreError`, `NotOurs`."""
        partition = self._partitions.get(update.shard)
        if partition is None:
            raise NotOurs(f"{update.shard} was revoked")
        if outbox is not None or message is not None:
            await self._store(mapping, update, outbox, message, partition.said[0] - 1)
        if not self._is_ours(update.shard, partition):
            # It was taken away meanwhile, and may be here again: then others went on with it.
            raise NotOurs(f"{update.shard} was revoked")
        self._take(update)

    async def _store(
        self,
        mapping: str,
        update: ProgressUpdate,
        outbox: OutboxRow | None,
        message: EnqueuedMessage | None,
        committed: int,
    ) -> None:
        shard = update.shard
        self._storing += 1
        try:
            self._is_kept = True
            if shard not in self._started:
                await self._cover.start(mapping, {shard: NOTHING, basis(shard): committed})
                self._started.add(shard)
            await self._cover.discard(mapping, update, outbox, message)
        finally:
            self._storing -= 1
        self._covers[shard] = self._covers.get(shard, 0) + 1

    async def flush(self) -> None:
        """Commit what waits now. Raises `RouterError`."""
        if self._task is not None:
            await self._committed()

    async def stop(self) -> None:
        """End the work in the background."""
        self.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # Committing

    def _take(self, update: ProgressUpdate) -> None:
        partition = self._partitions.get(update.shard)
        if partition is None:
            raise NotOurs(f"{update.shard} was revoked")
        partition.step(update)
        self._dirty.add(update.shard)
        self._see_to_it()

    def _see_to_it(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _committed(self) -> None:
        """Wait for a commit that begins from here on."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._hurry.set()
        await waiter

    async def _run(self) -> None:
        """While there is anything to commit."""
        try:
            while self._dirty or self._waiters:
                if not self._waiters:
                    self._hurry.clear()
                    try:
                        async with asyncio.timeout(COMMIT_EVERY_S):
                            await self._hurry.wait()
                    except TimeoutError:
                        pass
                await self._commit_once()
        finally:
            self._task = None

    async def _commit_once(self) -> None:
        names, waiters = self._dirty, self._waiters
        self._dirty, self._waiters = set(), []
        covers = dict(self._covers)
        taken = {name: self._partitions[name] for name in names if name in self._partitions}
        try:
            offsets = {name: encode(it.progress()) for name, it in taken.items()}
            if offsets:
                await self._commit(offsets)
        except Exception as surprise:  # noqa: BLE001  who waits is answered, whatever the client met
            error = surprise if isinstance(surprise, RouterError) else RouterError(repr(surprise))
            self._on_failed(error)
            self._dirty |= {name for name, it in taken.items() if self._is_ours(name, it)}
            _answer(waiters, error)
            await asyncio.sleep(RETRY_S)
            return
        self._note(taken, offsets)
        _answer(waiters, None)
        for name in taken:
            if self._covers.get(name) == covers.get(name):
                self._covers.pop(name, None)
        if self._is_kept and not self._covers and not self._storing:
            await self._forget_covers()

    async def _forget_covers(self) -> None:
        """All discards in the store are committed: what is there says nothing any more."""
        self._is_kept = False
        self._started.clear()
        try:
            await self._forget([DropProgress(self._mapping)])
        except RouterError as error:
            self._is_kept = True
            log.warning("covered_discards_kept", error=str(error))

    def _note(self, taken: Mapping[str, _Partition], offsets: Mapping[str, Said]) -> None:
        moved = 0
        for name, partition in taken.items():
            moved += offsets[name][0] - partition.said[0]
            partition.said = offsets[name]
        self._on_committed(moved)

    def _is_ours(self, name: str, partition: _Partition) -> bool:
        return self._partitions.get(name) is partition

    def _release(self, error: RouterError) -> None:
        waiters, self._waiters = self._waiters, []
        _answer(waiters, error)


def _answer(waiters: list["asyncio.Future[None]"], error: RouterError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
