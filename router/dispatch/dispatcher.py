"""Concurrency: one limit for all invocations, shared out fairly between mappings.

A caller of the API is throttled at once when nothing is free; a mapping waits its turn. Among
waiting mappings the one with the fewest running invocations comes first, and no mapping may take
the last slots while others that run nothing could want one: a mapping cannot starve another (L4).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from router.model.errors import NotInvoked
from router.model.function import InvokeReply, InvokeRequest
from router.telemetry import metrics

WAIT_S_MAX = 30.0
"""Longest wait of a mapping for its turn; then the attempt counts as throttled, so that the
engine looks at record ages again (L3)."""

API = "api"
"""The claimant behind synchronous invocations through the API."""


class InvokePool(Protocol):
    """What runs functions: `workers.pool.Pool`."""

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Run it. Raises `NotInvoked`."""


class Dispatcher:
    """Hands out at most `limit` invocations at a time (L1)."""

    def __init__(self, pool: InvokePool, limit: int) -> None:
        if limit < 1:
            raise ValueError("the concurrency limit must be at least 1")
        self._pool = pool
        self._limit = limit
        self._free = limit
        self._running: dict[str, int] = {}
        self._idle = 0
        """How many of those that may ask run nothing."""
        self._waiting = _Waiting()
        self.problems: dict[str, str] = {}
        """Error type of each function whose last invocation failed, or why it did not start."""
        metrics.CONCURRENCY_LIMIT.set(limit)

    @property
    def limit(self) -> int:
        """Most invocations at a time."""
        return self._limit

    @property
    def running(self) -> int:
        """Invocations running now."""
        return self._limit - self._free

    def register(self, claimant: str) -> None:
        """A mapping that may ask for slots."""
        if claimant not in self._running:
            self._running[claimant] = 0
            self._idle += 1

    def unregister(self, claimant: str) -> None:
        """A mapping that will not ask again; what it runs still counts until it ends."""
        if self._running.get(claimant) == 0:
            del self._running[claimant]
            self._idle -= 1

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Invoke for a caller that waits: now or not at all. Raises `NotInvoked`."""
        if self._free < 1:
            metrics.THROTTLES.labels(request.function.name).inc()
            raise NotInvoked("throttled", "no concurrency is free")
        self._take(API)
        try:
            return await self._run(request)
        finally:
            self._release(API)

    async def invoke_for(
        self,
        claimant: str,
        request: InvokeRequest,
        *,
        wait_s_max: float | None = None,
        on_turn: Callable[[], None] | None = None,
    ) -> InvokeReply:
        """Invoke for a mapping, in its turn. Raises `NotInvoked`, after a wait too.

        The longest one is `wait_s_max`, else `WAIT_S_MAX`. `on_turn`: called when it has its turn.
        """
        await self._acquire(claimant, request.function.name, wait_s_max or WAIT_S_MAX)
        try:
            if on_turn is not None:
                on_turn()
            return await self._run(request)
        finally:
            self._release(claimant)

    async def _run(self, request: InvokeRequest) -> InvokeReply:
        try:
            reply = await self._pool.invoke(request)
        except NotInvoked as error:
            if error.reason == "start_failed":
                self.problems[request.function.name] = f"not started: {error}"
            raise
        if reply.error_type is not None:
            self.problems[request.function.name] = reply.error_type
        elif self.problems:
            self.problems.pop(request.function.name, None)
        return reply

    async def _acquire(self, claimant: str, function: str, wait_s_max: float) -> None:
        if not self._waiting and self._may_take(claimant):
            self._take(claimant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(claimant, turn, self._running.get(claimant, 0))
        self._grant()
        try:
            async with asyncio.timeout(wait_s_max):
                await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                return  # granted in the same moment
            metrics.THROTTLES.labels(function).inc()
            raise NotInvoked("throttled", "no concurrency became free") from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(claimant)
            raise
        finally:
            if not turn.done() or turn.cancelled():
                turn.cancel()
                self._waiting.remove(claimant, turn, self._running.get(claimant, 0))

    def _may_take(self, claimant: str) -> bool:
        if self._free < 1:
            return False
        mine = self._running.get(claimant, 0)
        claimants = max(1, len(self._running))
        if mine < max(1, self._limit // claimants):
            return True
        idle = self._idle - (claimant in self._running and not mine)
        return self._free > min(idle, self._limit // 2)

    def _grant(self) -> None:
        """Give free slots to those that wait, the least served first.

        When the least served may not take one, nobody may: who runs more has less of a claim.
        """
        while self._free > 0 and self._waiting:
            claimant = self._waiting.first()
            if not self._may_take(claimant):
                return
            turn = self._waiting.pop(claimant, self._running.get(claimant, 0))
            if not turn.done():
                self._take(claimant)
                turn.set_result(None)

    def _take(self, claimant: str) -> None:
        self._free -= 1
        self._count(claimant, 1)
        metrics.CONCURRENCY_USED.inc()

    def _release(self, claimant: str) -> None:
        self._free += 1
        self._count(claimant, -1)
        metrics.CONCURRENCY_USED.dec()
        if self._waiting:
            self._grant()

    def _count(self, claimant: str, change: int) -> None:
        """It runs one more, or one less."""
        before = self._running.get(claimant)
        self._running[claimant] = after = (before or 0) + change
        self._idle += (after == 0) - (before == 0)
        if self._waiting:
            self._waiting.move(claimant, before or 0, after)


class _Waiting:
    """Who waits for a slot, by how many invocations each runs.

    Finding the least served costs the same however many wait.
    """

    def __init__(self) -> None:
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        self._levels: dict[int, dict[str, None]] = {}
        """Invocations running → who waits with so many, in the order they came to it."""

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, claimant: str, turn: "asyncio.Future[None]", running: int) -> None:
        """Wait, behind those that are served as little."""
        turns = self._turns.get(claimant)
        if turns is None:
            turns = self._turns[claimant] = deque()
            self._levels.setdefault(running, {})[claimant] = None
        turns.append(turn)

    def first(self) -> str:
        """The least served; of several the one that waits longest at that."""
        return next(iter(self._levels[min(self._levels)]))

    def pop(self, claimant: str, running: int) -> "asyncio.Future[None]":
        """Its oldest turn."""
        turn = self._turns[claimant].popleft()
        self._tidy(claimant, running)
        return turn

    def remove(self, claimant: str, turn: "asyncio.Future[None]", running: int) -> None:
        """A turn that is waited for no more."""
        turns = self._turns.get(claimant, ())
        if turn in turns:
            self._turns[claimant].remove(turn)
            self._tidy(claimant, running)

    def move(self, claimant: str, before: int, after: int) -> None:
        """It runs another number of invocations than before."""
        if claimant in self._turns:
            self._leave(claimant, before)
            self._levels.setdefault(after, {})[claimant] = None

    def _tidy(self, claimant: str, running: int) -> None:
        if not self._turns[claimant]:
            del self._turns[claimant]
            self._leave(claimant, running)

    def _leave(self, claimant: str, running: int) -> None:
        claimants = self._levels[running]
        del claimants[claimant]
        if not claimants:
            del self._levels[running]
