"""Delivers on-failure records that wait in the outbox.

A discard is stored before its records are finished (D7); where the destination is not an embedded
queue, or that queue was not there, the record waits here. Delivery is tried a bounded number of
times with growing waits, then counted as failed and dropped, never silently. Each destination has
a lane of its own, so that one that is out of reach holds up no other (L4).
"""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from router.destinations.delivery import Carrier, DeliveryFailed
from router.destinations.lane import Lane, Trouble
from router.model.destination import kind_of
from router.model.errors import RouterError
from router.store.base import Address, EnqueuedMessage, OutboxDepth, OutboxRow, OutboxStore
from router.telemetry import metrics

log = structlog.get_logger()

POLL_S: Final = 1.0
"""How often due rows are looked for."""

LOOK_SHARE_MAX: Final = 20
"""A look at a long outbox is followed by a rest of this many times its own length."""

REST_S_MAX: Final = 5.0
"""But never a longer rest than this: a store that was slow once may be fast again."""

LARGE_AT_ONCE_MAX: Final = 4
"""Large bodies in memory, for all destinations together."""

UNKNOWN: Final = "unknown"
"""The kind of a destination that an older router took."""


class Courier:
    """Empties the outbox."""

    def __init__(
        self, outbox: OutboxStore, carriers: Mapping[str, Carrier], wall_ms: Callable[[], int]
    ) -> None:
        """`carriers` is by kind of destination."""
        self._outbox = outbox
        self._carriers = carriers
        self._wall_ms = wall_ms
        self._large = asyncio.Semaphore(LARGE_AT_ONCE_MAX)
        self._lanes: dict[Address, Lane] = {}
        """By destination, as long as something waits for it."""
        self._runs: dict[Address, asyncio.Task[int]] = {}
        self._measured: set[str] = set()
        """Destinations whose numbers are exported."""
        self._is_stopping = False
        self.depths: Sequence[OutboxDepth] = ()
        """What waits, as seen last."""

    async def run(self) -> None:
        """Deliver until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._is_stopping:
            began_s = loop.time()
            try:
                await self.look()
            except RouterError as error:
                log.warning("outbox_not_read", error=str(error))
            rest_s = LOOK_SHARE_MAX * (loop.time() - began_s)
            await asyncio.sleep(min(max(POLL_S, rest_s), REST_S_MAX))

    async def stop(self, timeout_s: float) -> None:
        """Begin no more attempts and let those in flight end; what is cut may arrive twice."""
        self._is_stopping = True
        for lane in self._lanes.values():
            lane.is_stopping = True
        runs = list(self._runs.values())
        if runs:
            await asyncio.wait(runs, timeout=timeout_s)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def deliver_due(self) -> int:
        """Try every due row once; how many were delivered. Raises `StoreError`."""
        await self.look()
        return sum(await asyncio.gather(*self._runs.values()))

    async def look(self) -> None:
        """Set lanes about what is due. Raises `StoreError`."""
        self.depths = await self._outbox.depths(self._wall_ms())
        self._measure()
        waiting = {depth.address for depth in self.depths}
        for name in [name for name in self._lanes if name not in waiting | self._runs.keys()]:
            del self._lanes[name]
        for depth in self.depths:
            if depth.has_due and depth.address not in self._runs and not self._is_stopping:
                self._begin(depth.address)

    def trouble(self, address: Address) -> Trouble | None:
        """What the last attempt for a destination said; None when it went well."""
        lane = self._lanes.get(address)
        return None if lane is None else lane.trouble

    def _begin(self, address: Address) -> None:
        lane = self._lanes.get(address)
        if lane is None:
            kind = kind_of(address.destination) or UNKNOWN
            carrier = self._carriers.get(kind, _NoCarrier())
            lane = Lane(address, self._outbox, carrier, self._wall_ms, self._large)
            self._lanes[address] = lane
        run = asyncio.get_running_loop().create_task(lane.run())
        self._runs[address] = run
        run.add_done_callback(functools.partial(self._ended, address))

    def _ended(self, address: Address, run: "asyncio.Task[int]") -> None:
        """A lane that broke begins anew with the next look."""
        self._runs.pop(address, None)
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("delivery_broke", destination=address.destination, exc_info=error)

    def _measure(self) -> None:
        rows: dict[str, int] = {}
        ages_ms: dict[str, int] = {}
        for depth in self.depths:
            destination = depth.address.destination  # of whatever cluster
            rows[destination] = rows.get(destination, 0) + depth.rows
            age_ms = max(0, self._wall_ms() - depth.oldest_ms)
            ages_ms[destination] = max(ages_ms.get(destination, 0), age_ms)
        for destination, count in rows.items():
            labels = kind_of(destination) or UNKNOWN, destination
            metrics.OUTBOX_ROWS.labels(*labels).set(count)
            metrics.OUTBOX_AGE.labels(*labels).set(ages_ms[destination] / 1000)
        for destination in self._measured - rows.keys():
            labels = kind_of(destination) or UNKNOWN, destination
            metrics.OUTBOX_ROWS.remove(*labels)
            metrics.OUTBOX_AGE.remove(*labels)
        self._measured = set(rows)


class _NoCarrier:
    """For a destination nobody can go to."""

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """Raises `DeliveryFailed`."""
        raise DeliveryFailed("refused", f"{row.destination} is no destination for records")
