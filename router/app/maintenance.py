"""What must be done from time to time: retention, gauges, the state of the disk."""

import asyncio
from logging import ERROR, INFO

import msgspec
import structlog

from router.app.jumps import Jumps
from router.mapping.manager import MappingManager
from router.model.errors import RouterError
from router.model.shard import forget_before
from router.ops.server import Health
from router.store.base import ForgetShards
from router.store.catalog import Catalog, put
from router.store.sqlite import SqliteStore
from router.telemetry import metrics

log = structlog.get_logger()

RETENTION_S = 30.0
"""How often old records and messages are removed."""


FAULTS = {
    "disk_full": "its disk is full",
    "disk_low": "its disk is nearly full (ROUTER_STORE_FREE_BYTES_MIN)",
    "stalled": "its disk does not answer",
    "io_error": "its disk reports I/O errors",
    "read_only": "its file cannot be written",
}

HEALTH_S = 1.0
"""How often the disk's state is looked at."""


class Maintenance:
    """Keeps house while the router runs."""

    def __init__(
        self,
        store: SqliteStore,
        catalog: Catalog,
        mappings: MappingManager,
        health: Health,
        jumps: Jumps,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._mappings = mappings
        self._health = health
        self._jumps = jumps

    async def run_retention(self) -> None:
        """Remove what is past its retention, for ever."""
        while True:
            await asyncio.sleep(RETENTION_S)
            try:
                await self.remove_expired()
            except RouterError as error:
                log.warning("retention_failed", error=str(error))

    async def remove_expired(self) -> None:
        """One round over all streams and queues. Raises `StoreError`."""
        for webhook in list(self._catalog.webhooks.values()):
            spec = webhook.spec
            finished = await self._mappings.streams.finished_positions(spec.arn)
            removed, unhandled = await self._store.streams.trim(
                spec.arn, self._jumps.before_ms(spec.retention_s * 1000), finished
            )
            if unhandled:
                metrics.RECORDS_EXPIRED.labels(spec.name).inc(unhandled)
                log.error("records_expired_unhandled", stream=spec.name, records=unhandled)
            if removed:
                log.info("records_trimmed", stream=spec.name, records=removed)
            if spec.stream_shards[0].is_closed:
                await self._forget_shards(spec.name)
        # Each message has a time of its own; the longest is what a jump must not cut short.
        await self._store.queues.expire(self._jumps.wall_ms())

    async def _forget_shards(self, name: str) -> None:
        """Forget closed shards that are empty and finished by all, in the order they came to be.

        Never one whose parents are still there: whoever begins later reads those before its
        children, and only it says which these are.
        """
        async with self._catalog.changing() as catalog:
            if (webhook := catalog.webhooks.get(name)) is None:
                return
            spec = webhook.spec
            finished = await self._mappings.finished_shards(spec.arn)
            stats = await self._store.streams.stats(spec.arn)
            done = finished - {row.shard for row in stats if row.oldest_arrival_ms is not None}
            before = next(shard.name for shard in spec.stream_shards if shard.name not in done)
            lineage = forget_before(spec.stream_shards, before)
            if (count := len(spec.stream_shards) - len(lineage)) == 0:
                return
            spec = msgspec.structs.replace(spec, lineage=lineage)
            webhook = msgspec.structs.replace(webhook, spec=spec)
            forget = ForgetShards(spec.arn, before)
            await catalog.commit_locked([forget, put("webhook", name, webhook)])
            log.info("shards_forgotten", stream=name, shards=count)

    async def run_health(self) -> None:
        """Tell of the disk's state and of a clock that was set, for ever."""
        known: str | None = None
        while True:
            fault = self._store.fault
            if fault is None:
                self._health.clear("store")
            else:
                self._health.block(
                    "store", f"the store takes no records: {FAULTS.get(fault, fault)}"
                )
            if fault != known:
                log.log(INFO if fault is None else ERROR, "store_fault", fault=fault or "over")
                known = fault
            if by_ms := self._jumps.look():
                # Nothing else has its turn before this is on its way to the store.
                await self._clock_set(by_ms)
            metrics.STORE_BYTES.set(self._store.bytes_used)
            metrics.STORE_DISK_FREE.set(self._store.free_bytes)
            await asyncio.sleep(HEALTH_S)

    async def _clock_set(self, by_ms: int) -> None:
        log.warning("clock_jumped", by_ms=by_ms)
        metrics.CLOCK_JUMPS.labels("forward" if by_ms > 0 else "backward").inc()
        try:
            await self._store.clock_set(by_ms, self._jumps.wall_ms())
        except RouterError as error:
            log.error("due_times_not_moved", error=str(error))

    async def run_disk(self) -> None:
        """Look at the disk, for ever. Apart from `run_health`: a disk that hangs holds this up."""
        while True:
            await self._store.look()
            await asyncio.sleep(HEALTH_S)
