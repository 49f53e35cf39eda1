"""What must be done from time to time: retention, gauges, the state of the disk."""

import asyncio
from collections.abc import Callable

import structlog

from router.mapping.manager import MappingManager
from router.model.errors import RouterError
from router.ops.server import Health
from router.store.catalog import Catalog
from router.store.sqlite import SqliteStore
from router.telemetry import metrics

log = structlog.get_logger()

RETENTION_S = 30.0
"""How often old records and messages are removed."""

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
        wall_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._mappings = mappings
        self._health = health
        self._wall_ms = wall_ms

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
        now_ms = self._wall_ms()
        for webhook in list(self._catalog.webhooks.values()):
            spec = webhook.spec
            finished = await self._mappings.finished_positions(spec.arn)
            removed, unhandled = await self._store.streams.trim(
                spec.arn, now_ms - spec.retention_s * 1000, finished
            )
            if unhandled:
                metrics.RECORDS_EXPIRED.labels(spec.name).inc(unhandled)
                log.error("records_expired_unhandled", stream=spec.name, records=unhandled)
            if removed:
                log.info("records_trimmed", stream=spec.name, records=removed)
        await self._store.queues.expire(now_ms)

    async def run_health(self) -> None:
        """Follow the disk's state, for ever."""
        while True:
            fault = self._store.fault
            if fault is None:
                self._health.clear("store")
            else:
                self._health.block("store", f"the store cannot write: {fault}")
            metrics.STORE_BYTES.set(self._store.bytes_used)
            await asyncio.sleep(HEALTH_S)

    async def refresh(self) -> None:
        """Bring gauges up to date before a scrape."""
        try:
            await self._mappings.measure()
        except RouterError as error:
            log.warning("gauges_not_refreshed", error=str(error))
