"""The way out: take in nothing more, let what runs end, cut off the rest (S1, S2).

    SIGTERM                              ready to close
    ├─ mappings, events, callers end ────┤─ deliveries, answers ─┤ end
       at most drain_s                      some seconds

New requests are told to come again from the first moment on; the ops listener answers to the end,
and so does that of functions, which may need it for what they are at.
"""

import asyncio
from typing import Final

import structlog

from router.asynchronous.runner import Runner
from router.control.server import ControlServer
from router.destinations.outbox import Courier
from router.dispatch.dispatcher import Dispatcher
from router.ingress.front import IngressProcess
from router.ingress.listener import Ingress
from router.mapping.manager import MappingManager
from router.ops.server import Health

log = structlog.get_logger()

COURIER_S: Final = 2.0
"""How long on-failure records on their way may take to arrive."""

ANSWER_S: Final = 1.0
"""How long answers may take to be read once nothing runs any more."""

LOOK_S: Final = 0.02
"""How often it is looked whether functions still run that callers wait for."""


class Drain:
    """`run` it once, or `cut` it off."""

    def __init__(
        self,
        drain_s: float,
        health: Health,
        ingress: Ingress | IngressProcess,
        api: ControlServer,
        mappings: MappingManager,
        runner: Runner,
        dispatcher: Dispatcher,
        courier: Courier,
    ) -> None:
        """`drain_s`: how long running invocations may take to end."""
        self.answer_s = ANSWER_S
        """How long listeners that close may finish what they have begun."""
        self._drain_s = drain_s
        self._health = health
        self._ingress = ingress
        self._api = api
        self._mappings = mappings
        self._runner = runner
        self._dispatcher = dispatcher
        self._courier = courier

    async def run(self) -> bool:
        """Whether everything came to its end in time. Cancelled: what runs is cut off."""
        drain_s = self._drain_s
        self._health.block("draining", "the router is stopping")
        log.info("draining", drain_s=drain_s)
        answer_s, self.answer_s = self.answer_s, 0.0  # of what is cut off nobody has an answer
        self._ingress.drain()
        self._api.drain()
        ended = await asyncio.gather(
            self._mappings.drain(drain_s), self._runner.drain(drain_s), self._served(drain_s)
        )
        is_whole = all(ended)
        await self._courier.stop(COURIER_S)
        if is_whole:
            self.answer_s = answer_s
        log.info("drained" if is_whole else "drain_cut_short")
        return is_whole

    async def _served(self, drain_s: float) -> bool:
        """Until no function runs: for callers who wait, and for functions that call others."""
        try:
            async with asyncio.timeout(drain_s):
                while self._dispatcher.running:  # noqa: ASYNC110  the hot path sets no event
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return False
        return True
