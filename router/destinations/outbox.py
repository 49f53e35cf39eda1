"""Delivers on-failure records that wait in the outbox.

A discard is stored before its records are finished (D7); where the destination could not be
reached in the same transaction, the record waits here. Delivery is tried a bounded number of
times with growing waits, then counted as failed and dropped, never silently.
"""

import asyncio
from collections.abc import Callable

import structlog

from router.model.backoff import backoff_ms
from router.model.errors import RouterError
from router.model.limits import OUTBOX_ATTEMPTS_MAX, OUTBOX_WAIT_MS_MAX
from router.store.base import EnqueuedMessage, OutboxRow, OutboxStore
from router.telemetry import metrics

log = structlog.get_logger()

POLL_S = 1.0
"""How often due rows are looked for."""

ROWS_MAX = 100
"""Rows taken at a time."""

WAIT_MS_MIN = 1_000
"""First wait between deliveries of one row."""

Route = Callable[[str, bytes], EnqueuedMessage | None]
"""The message for an embedded queue that exists, None for everything else."""


class Courier:
    """Empties the outbox."""

    def __init__(self, outbox: OutboxStore, route: Route, wall_ms: Callable[[], int]) -> None:
        self._outbox = outbox
        self._route = route
        self._wall_ms = wall_ms

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                await self.deliver_due()
            except RouterError as error:
                log.warning("outbox_not_read", error=str(error))
            await asyncio.sleep(POLL_S)

    async def deliver_due(self) -> int:
        """Try every due row once; how many were delivered. Raises `StoreError`."""
        delivered = 0
        for row in await self._outbox.due(self._wall_ms(), ROWS_MAX):
            delivered += await self._deliver(row)
        rows, oldest_ms = await self._outbox.depth()
        metrics.OUTBOX_ROWS.set(rows)
        age_ms = 0 if oldest_ms is None else max(0, self._wall_ms() - oldest_ms)
        metrics.OUTBOX_AGE.set(age_ms / 1000)
        return delivered

    async def _deliver(self, row: OutboxRow) -> bool:
        message = self._route(row.destination, row.body)
        if message is not None:
            await self._outbox.delivered(row.id, message)
            metrics.RECORDS_DELIVERED.labels(row.mapping).inc(row.records)
            return True
        metrics.DESTINATION_FAILURES.labels(row.mapping).inc()
        attempts = row.attempts + 1
        if attempts >= OUTBOX_ATTEMPTS_MAX:
            await self._outbox.delivered(row.id)
            metrics.RECORDS_DROPPED.labels(row.mapping).inc(row.records)
            log.error(
                "discard_dropped",
                mapping=row.mapping,
                destination=row.destination,
                records=row.records,
                attempts=attempts,
            )
            return False
        wait_ms = backoff_ms(attempts, WAIT_MS_MIN, OUTBOX_WAIT_MS_MAX, f"outbox:{row.id}")
        await self._outbox.failed(row.id, self._wall_ms() + wait_ms)
        log.warning(
            "discard_not_delivered",
            mapping=row.mapping,
            destination=row.destination,
            attempts=attempts,
            next_attempt_s=wait_ms // 1000,
        )
        return False
