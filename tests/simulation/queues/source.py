"""The queue as a router's client sees it: slow, failing, answers that are lost.

Implements `queue_shell.QueueSource`. What really happened to the queue is told the book at once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from router.mapping import queue_events as q
from router.model import limits
from router.model.errors import RouterError
from router.model.mapping_spec import MappingSpec
from router.model.queue_message import QueueMessage
from router.sources.sqs_format import SqsFormat
from tests.simulation.queues.naive import NaiveMessage, NaiveQueue
from tests.simulation.queues.options import is_wanted
from tests.simulation.shard_state import Violation

if TYPE_CHECKING:
    from tests.simulation.queues.world import QueueWorld

NUMBER_STEP = 3
"""Messages are numbered in such steps: no number beside a message's own is one."""

BACKLOG_MAX = 400
"""Senders wait while so many messages are there."""


class Away(RouterError):
    """The queue does not answer."""

    code = "unreachable"


class SizedFormat(SqsFormat):
    """As large as the world says, not as the text is: megabytes are only counted."""

    sizes: dict[str, int]

    def message(
        self, spec: MappingSpec, received: QueueMessage, position: int, until_ms: int
    ) -> q.Message:
        """See `QueueFormat.message`."""
        found = super().message(spec, received, position, until_ms)
        size_bytes = self.sizes.get(received.message_id, found.size_bytes)
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        return q.Message(**{**fields, "size_bytes": size_bytes})


class SimulatedQueue:
    """Outlives every router. Raises `Away`."""

    def __init__(self, world: "QueueWorld") -> None:
        options = world.options
        self._world = world
        self._rng = world.rng
        self.queue = NaiveQueue(
            world.rng,
            options.visibility_s * 1_000,
            fifo=options.is_fifo,
            receives_max=options.receives_max,
        )
        self.sizes: dict[str, int] = {}
        self._arrivals: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last = 0

    @property
    def receive_max(self) -> int:
        """See `QueueSource.receive_max`."""
        return self._world.options.receive_max

    # Messages come

    def arrive(self) -> None:
        """In bursts; most of the time there is a lull."""
        world, options = self._world, self._world.options
        if world.is_calm:
            return
        count = self._rng.randint(1, options.burst_max)
        for _ in range(min(count, BACKLOG_MAX - len(self.queue.messages))):
            self.send()
        lull_ms = int(self._rng.expovariate(options.messages_per_s / count) * 1_000)
        world.loop.later(lull_ms + 1, self.arrive, is_of_life=False)

    def send(self) -> None:
        """One more message."""
        world, options, rng = self._world, self._world.options, self._rng
        self._last += NUMBER_STEP
        number, name = self._last, str(self._last)
        group = f"g{min(rng.randrange(options.groups), rng.randrange(options.groups))}"
        delay_ms = rng.choice((1_000, 30_000)) if world.chance(options.delay_percent) else 0
        if world.chance(options.big_percent):
            self.sizes[name] = rng.choice((limits.MIB, limits.MIB - 300, 700_000))
        visible_ms = world.now_ms() + delay_ms
        self._arrivals[name] = world.wall_ms()
        self.queue.send(name, number, group if options.is_fifo else "", visible_ms)
        world.book.sent(name, number, group if options.is_fifo else "")
        if world.is_poison(number):
            world.function.poisoned(name, number)
        world.loop.later(delay_ms, self.wake, is_of_life=False)

    def wake(self) -> None:
        """One of those that wait for messages looks again; if it finds some, the next one does."""
        while self._waiting:
            one = self._waiting.popleft()
            if not one.done():
                one.set_result(None)
                return

    def forget_readers(self) -> None:
        """Whoever waited is dead."""
        self._waiting.clear()

    # As the shell asks

    async def visibility_s(self) -> int:
        """See `QueueSource.visibility_s`."""
        return self._world.options.visibility_s

    async def backlog(self) -> int:
        """See `QueueSource.backlog`."""
        return len(self.queue.messages)

    async def receive(
        self, messages_max: int, wait_ms: int, visibility_s: int | None, stop: asyncio.Event
    ) -> Sequence[QueueMessage]:
        """See `QueueSource.receive`."""
        with self._watched():
            return await self._receive(messages_max, wait_ms, visibility_s, stop)

    async def delete(self, receipts: Sequence[str]) -> Sequence[int]:
        """See `QueueSource.delete`."""
        with self._watched():
            return await self._delete(receipts)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """A broken promise ends the run; the shell would start again."""
        try:
            yield
        except Violation as violation:
            self._world.fail(violation)
            raise

    async def _receive(
        self, messages_max: int, wait_ms: int, visibility_s: int | None, stop: asyncio.Event
    ) -> Sequence[QueueMessage]:
        world, options = self._world, self._world.options
        asked_under = world.spec
        await world.pause(options.receive_ms_max)
        if world.chance(options.receive_error_percent):
            raise Away("the queue does not answer")
        visibility_ms = None if visibility_s is None else visibility_s * 1_000
        until_ms = world.now_ms() + wait_ms
        while not (found := self._take(messages_max, visibility_ms)):
            if world.now_ms() >= until_ms or stop.is_set():
                break
            await self._wait(until_ms, stop)
        if found:
            self.wake()
        if found and world.chance(options.receive_lost_percent):
            world.book.lost([one.id for one in found])
            raise Away("the answer is lost")
        spec = world.spec
        world.book.received(
            [(one.id, one.receipt, is_wanted(one.number, spec)) for one in found],
            options.visibility_s if visibility_s is None else visibility_s,
            asked_under,
        )
        return [self._message(one) for one in found]

    def _take(self, messages_max: int, visibility_ms: int | None) -> list[NaiveMessage]:
        world, queue, now_ms = self._world, self.queue, self._world.now_ms()
        dead = len(queue.dead)
        found = queue.receive(min(messages_max, self.receive_max), now_ms, visibility_ms)
        for one in queue.dead[dead:]:
            world.book.died(one)
        if found and not queue.fifo and len(found) < messages_max:
            hidden = [one for one in queue.messages if one not in found and one.visible_ms > now_ms]
            if hidden and world.chance(world.options.receive_twice_percent):
                again = self._rng.choice(hidden)
                queue.hand_out(again, now_ms, visibility_ms)
                world.book.twice(again.id)
                found.append(again)
        for visible_ms in {one.visible_ms for one in found}:
            world.loop.later(visible_ms - now_ms, self.wake, is_of_life=False)
        return found

    async def _wait(self, until_ms: int, stop: asyncio.Event) -> None:
        """Until a message comes, one is visible again, or nobody wants it any more."""
        loop, now_ms = self._world.loop, self._world.now_ms()
        woken = loop.create_future()
        self._waiting.append(woken)
        loop.later(until_ms - now_ms, lambda: woken.done() or woken.set_result(None))
        stopped = loop.create_task(stop.wait())
        stopped.add_done_callback(lambda _: woken.done() or woken.set_result(None))
        try:
            await woken
        finally:
            stopped.cancel()

    def _message(self, one: NaiveMessage) -> QueueMessage:
        system = {
            "ApproximateReceiveCount": str(one.count),
            "SentTimestamp": str(self._arrivals[one.id]),
        }
        if self.queue.fifo:
            system["MessageGroupId"] = one.group
        return QueueMessage(
            message_id=one.id,
            receipt=one.receipt,
            body=f'{{"n":{one.number % 10}}}',
            md5_of_body="",
            system=system,
        )

    async def _delete(self, receipts: Sequence[str]) -> Sequence[int]:
        world, options = self._world, self._world.options
        await world.pause(options.delete_ms_max)
        if world.chance(options.delete_error_percent):
            raise Away("the queue does not answer")
        failed = []
        there = {one.id for one in self.queue.messages}
        for index, receipt in enumerate(receipts):
            name = receipt.partition("/")[0]
            world.book.deleting(name, receipt)
            if world.chance(options.delete_failed_percent):
                failed.append(index)
            elif name in there and not self.queue.delete(receipt, world.now_ms()):
                failed.append(index)
                world.seen.add("receipt_expired")
        gone = there - {one.id for one in self.queue.messages}
        world.book.deleted(gone)
        self.wake()
        await world.pause(options.delete_ms_max)
        if world.chance(options.delete_lost_percent):
            raise Away("the answer is lost")
        return failed
