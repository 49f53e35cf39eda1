"""Concurrency: one limit for all invocations, shared out fairly between mappings.

A caller of the API is throttled at once when nothing is free; a mapping waits its turn. Among
waiting mappings the one with the fewest running invocations comes first, and no mapping may take
the last slots while others that run nothing could want one: a mapping cannot starve another (L4).
"""

import asyncio
from collections import deque
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
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
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
        self._running.setdefault(claimant, 0)

    def unregister(self, claimant: str) -> None:
        """A mapping that will not ask again; what it runs still counts until it ends."""
        if not self._running.get(claimant):
            self._running.pop(claimant, None)

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

    async def invoke_for(self, claimant: str, request: InvokeRequest) -> InvokeReply:
        """Invoke for a mapping, in its turn. Raises `NotInvoked`, after `WAIT_S_MAX` too."""
        await self._acquire(claimant, request.function.name)
        try:
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

    async def _acquire(self, claimant: str, function: str) -> None:
        if not self._waiting and self._may_take(claimant):
            self._take(claimant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(claimant, deque()).append(turn)
        self._grant()
        try:
            async with asyncio.timeout(WAIT_S_MAX):
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
            if not turn.done():
                turn.cancel()
            self._forget(claimant, turn)

    def _forget(self, claimant: str, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(claimant)
        if turns is not None:
            if turn in turns:
                turns.remove(turn)
            if not turns:
                del self._waiting[claimant]

    def _may_take(self, claimant: str) -> bool:
        if self._free < 1:
            return False
        mine = self._running.get(claimant, 0)
        claimants = max(1, len(self._running))
        if mine < max(1, self._limit // claimants):
            return True
        idle = sum(1 for name, count in self._running.items() if count == 0 and name != claimant)
        return self._free > min(idle, self._limit // 2)

    def _grant(self) -> None:
        """Give free slots to those that wait, the least served first."""
        while self._free > 0 and self._waiting:
            for claimant in sorted(self._waiting, key=lambda name: self._running.get(name, 0)):
                if self._may_take(claimant):
                    break
            else:
                return
            turns = self._waiting[claimant]
            turn = turns.popleft()
            if not turns:
                del self._waiting[claimant]
            if not turn.done():
                self._take(claimant)
                turn.set_result(None)

    def _take(self, claimant: str) -> None:
        self._free -= 1
        self._running[claimant] = self._running.get(claimant, 0) + 1
        metrics.CONCURRENCY_USED.inc()

    def _release(self, claimant: str) -> None:
        self._free += 1
        self._running[claimant] -= 1
        metrics.CONCURRENCY_USED.dec()
        if self._waiting:
            self._grant()
