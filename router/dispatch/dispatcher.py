"""Concurrency: who may invoke now, who waits, who is refused.

A caller of the API is throttled at once when nothing is free; a mapping waits its turn. Which
slots there are and who gets them is the ledger's business; here is what waits and what runs.
Each invocation is counted in the chain it belongs to, and one of a loop is stopped (7.6).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from router.dispatch.ledger import Ledger, Share, Turn
from router.dispatch.pot import Pot
from router.dispatch.traces import new_trace
from router.model.concurrency import Allotments
from router.model.errors import RECURSIVE_TEXT, NotInvoked
from router.model.function import InvokeReply, InvokeRequest
from router.model.trace_header import LOOP_INVOCATIONS_MAX, first_header, step
from router.outcomes.error_document import UNKNOWN, error_name
from router.telemetry import metrics
from router.telemetry.provisioned import ProvisionedMetrics

log = structlog.get_logger()

WAIT_S_MAX = 30.0
"""Longest wait of a mapping for its turn; then the attempt counts as throttled, so that the
engine looks at record ages again (L3)."""

API = "api"
"""The claimant behind synchronous invocations through the API."""


class InvokePool(Protocol):
    """What runs functions: `workers.pool.Pool`."""

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Run it. Raises `NotInvoked`."""


def _never(_function: str) -> bool:
    return False


class Dispatcher:
    """Hands out at most `limit` invocations at a time (L1)."""

    def __init__(
        self,
        pool: InvokePool,
        limit: int,
        unreserved_min: int = 0,
        may_loop: Callable[[str], bool] = _never,
    ) -> None:
        """`unreserved_min`: what functions without a reservation have at least.

        `may_loop`: whether a function's loops go on (`RecursiveLoop: Allow`).
        """
        self._pool = pool
        self._may_loop = may_loop
        self.ledger = Ledger(limit, unreserved_min)
        self._numbers: dict[str, ProvisionedMetrics] = {}
        self.problems: dict[str, str] = {}
        """Error type of each function whose last invocation failed, or why it did not start."""
        ledger = self.ledger
        metrics.CONCURRENCY_LIMIT.set(limit)
        metrics.CONCURRENCY_USED.set_function(lambda: ledger.running)
        metrics.CONCURRENCY_UNRESERVED_USED.set_function(lambda: ledger.common.used)
        metrics.CONCURRENCY_CLAIMED.set_function(lambda: ledger.claimed + ledger.common.used)

    @property
    def limit(self) -> int:
        """Most invocations at a time."""
        return self.ledger.limit

    @property
    def running(self) -> int:
        """Invocations running now."""
        return self.ledger.running

    def register(self, claimant: str) -> None:
        """A mapping that may ask for slots."""
        self.ledger.register(claimant)

    def unregister(self, claimant: str) -> None:
        """A mapping that will not ask again; what it runs still counts until it ends."""
        self.ledger.unregister(claimant)

    def allot(self, allotments: Allotments) -> None:
        """Functions have this reserved and provisioned from now on, and nothing else."""
        self.ledger.allot(allotments)

    def set_ready(self, function: str, version: str, count: int) -> None:
        """So many provisioned environments of a version can run invocations."""
        self.ledger.set_ready(function, version, count)

    async def invoke(self, request: InvokeRequest) -> InvokeReply:
        """Invoke for a caller that waits: now or not at all. Raises `NotInvoked`."""
        request = self._counted(request)
        function = request.function
        share = self.ledger.share_of(function.name)
        pot = self.ledger.take(share, function.version, API)
        if pot is None:
            raise self._throttled(share, "no concurrency is free")
        if share.ready is not None:
            self._count_ready(share, pot, function.version)
        try:
            reply = await self._pool.invoke(request)
        except NotInvoked as error:
            self._note_refusal(function.name, error)
            raise
        finally:
            self.ledger.release(share, pot, API)
        if reply.error_type is not None or self.problems:
            self._note(function.name, reply)
        return reply

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
        request = self._counted(request)
        function = request.function
        share = self.ledger.share_of(function.name)
        pot = self.ledger.take_fairly(share, function.version, claimant)
        if pot is None:
            turn = _Turn(claimant, share, function.version)
            pot = await self._wait(turn, wait_s_max or WAIT_S_MAX)
            share = turn.share
        try:
            if on_turn is not None:
                on_turn()
            if share.ready is not None:
                self._count_ready(share, pot, function.version)
            reply = await self._pool.invoke(request)
        except NotInvoked as error:
            self._note_refusal(function.name, error)
            raise
        finally:
            self.ledger.release(share, pot, claimant)
        if reply.error_type is not None or self.problems:
            self._note(function.name, reply)
        return reply

    def _count_ready(self, share: Share, pot: "Pot[Turn]", version: str) -> None:
        if share.ready is not None and version in share.ready:
            self._numbers_of(share.function).count(version, is_ready=pot.is_ready)

    def _note_refusal(self, function: str, error: NotInvoked) -> None:
        if error.reason == "start_failed":
            self.problems[function] = f"not started: {error}"
        elif error.reason == "throttled":
            metrics.THROTTLES.labels(function).inc()

    def _note(self, function: str, reply: InvokeReply) -> None:
        """How the last invocation of a function went."""
        if reply.error_type is None:
            self.problems.pop(function, None)
            return
        # Where Lambda's logs have no name for it, the function has one.
        is_unknown = reply.error_type == UNKNOWN
        self.problems[function] = error_name(reply.payload) if is_unknown else reply.error_type

    def _counted(self, request: InvokeRequest) -> InvokeRequest:
        """The same invocation, counted in its chain. Raises `NotInvoked` where that is a loop."""
        function = request.function
        if not request.trace_id:
            trace_id = first_header(function.arn, new_trace())
            return msgspec.structs.replace(request, trace_id=trace_id)
        counted = step(request.trace_id, function.arn, new_trace)
        if counted.before >= LOOP_INVOCATIONS_MAX and not self._may_loop(function.name):
            metrics.RECURSIVE_DROPPED.labels(function.name).inc()
            self.problems[function.name] = RECURSIVE_TEXT
            log.warning("recursive_loop_stopped", function=function.name, trace=counted.header)
            raise NotInvoked("recursive", RECURSIVE_TEXT)
        return msgspec.structs.replace(request, trace_id=counted.header)

    async def _wait(self, turn: "_Turn", wait_s_max: float) -> "Pot[Turn]":
        self.ledger.wait(turn)
        try:
            async with asyncio.timeout(wait_s_max):
                await turn.given
        except TimeoutError:
            if (pot := turn.pot) is None:
                raise self._throttled(turn.share, "no concurrency became free") from None
            return pot  # granted in the same moment
        except asyncio.CancelledError:
            if (pot := turn.pot) is not None:
                self.ledger.release(turn.share, pot, turn.claimant)
            raise
        finally:
            turn.given.cancel()
            if turn.pot is None or turn.share.ready is not None:  # else nobody has it any more
                self.ledger.forget(turn)
        return turn.given.result()

    def _throttled(self, share: Share, text: str) -> NotInvoked:
        metrics.THROTTLES.labels(share.function).inc()
        return NotInvoked("throttled", text, detail=self.ledger.reason(share))

    def _numbers_of(self, function: str) -> ProvisionedMetrics:
        numbers = self._numbers.get(function)
        if numbers is None:
            numbers = self._numbers[function] = ProvisionedMetrics(function)
        return numbers


class _Turn:
    """One invocation that waits (`ledger.Turn`)."""

    __slots__ = ("claimant", "given", "share", "version")

    def __init__(self, claimant: str, share: Share, version: str) -> None:
        self.claimant = claimant
        self.share = share
        self.version = version
        self.given: asyncio.Future[Pot[Turn]] = asyncio.get_running_loop().create_future()

    @property
    def pot(self) -> "Pot[Turn] | None":
        """Where its slot is from; None without one."""
        return self.given.result() if self.given.done() and not self.given.cancelled() else None

    def done(self) -> bool:
        """Whether it waits no more."""
        return self.given.done()

    def give(self, pot: "Pot[Turn]") -> None:
        """It has a slot."""
        self.given.set_result(pot)
