"""Delivers what is due for one destination.

The first record tells whether the destination is there at all. When an attempt says that it is out
of reach, what else is due is not tried in vain: its attempt counts as made, and the lane rests.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import structlog

from router.destinations.delivery import Carrier, DeliveryFailed
from router.model.backoff import backoff_ms
from router.model.errors import RouterError
from router.model.limits import KIB, OUTBOX_ATTEMPTS_MAX, OUTBOX_WAIT_MS_MAX
from router.store.base import Address, OutboxRow, OutboxStore, Postponed
from router.telemetry import metrics
from router.telemetry.chaos import chaos_point

log = structlog.get_logger()

ROWS_MAX: Final = 100
"""Rows taken at a time, without their bodies."""

WAIT_MS_MIN: Final = 1_000
"""First wait between deliveries of one row."""

AT_ONCE_MAX: Final = 4
"""Attempts in flight for one destination."""

LARGE_BYTES: Final = 256 * KIB
"""A body above this size is in memory only while few others are."""


class Trouble(msgspec.Struct, frozen=True):
    """What the last attempt said, while it says no good."""

    reason: str
    text: str
    since_ms: int
    """Wall clock."""


class Lane:
    """One destination. `run` it whenever something is due."""

    def __init__(
        self,
        address: Address,
        outbox: OutboxStore,
        carrier: Carrier,
        wall_ms: Callable[[], int],
        large: asyncio.Semaphore,
    ) -> None:
        """`large` is shared with all lanes: large bodies that may be in memory."""
        self._address = address
        self._destination = address.destination
        self._outbox = outbox
        self._carrier = carrier
        self._wall_ms = wall_ms
        self._large = large
        is_one_by_one = address.destination.endswith(".fifo") or bool(address.origin)
        # In a FIFO queue order counts; for a topic one row is many messages already.
        self._at_once = 1 if is_one_by_one else AT_ONCE_MAX
        self._sent: set[int] = set()
        """Rows that were delivered while the store could not take note of it; a few at most."""
        self._out_of_reach: DeliveryFailed | None = None
        self._store_error: RouterError | None = None
        self._delivered = 0
        self.is_stopping = False
        """Begins no more attempts."""
        self.trouble: Trouble | None = None

    async def run(self) -> int:
        """Try what is due, each row once; how many were delivered."""
        self._delivered = 0
        self._out_of_reach = self._store_error = None
        try:
            while not self._is_over:
                rows = await self._outbox.due(self._address, self._wall_ms(), ROWS_MAX)
                if not rows:
                    break
                await self._deliver_all(rows)
        except RouterError as error:
            self._store_error = error
        if self._store_error is not None:
            error_text = str(self._store_error)
            log.warning("outbox_not_kept", destination=self._destination, error=error_text)
        return self._delivered

    @property
    def _is_over(self) -> bool:
        is_bad = self._out_of_reach is not None or self._store_error is not None
        return is_bad or self.is_stopping

    async def _deliver_all(self, rows: Collection[OutboxRow]) -> None:
        """Each once; what is left when the destination is out of reach has had its attempt."""
        waiting = deque(rows)
        await self._work(deque([waiting.popleft()]))
        if not self._is_over:
            hands = min(len(waiting), self._at_once)
            await asyncio.gather(*(self._work(waiting) for _ in range(hands)))
        if self._out_of_reach is not None and self._store_error is None:
            spared = DeliveryFailed(self._out_of_reach.reason, str(self._out_of_reach))
            await self._failed(waiting, spared)

    async def _work(self, waiting: deque[OutboxRow]) -> None:
        """Take rows until none is left. Never cut short: what was sent is also taken note of."""
        while waiting and not self._is_over:
            row = waiting.popleft()
            try:
                failure = await self._attempt(row)
                if failure is None:
                    self.trouble = None
                    continue
                self._note(failure)
                await self._failed((row,), failure)
            except RouterError as error:
                self._store_error = error

    def _note(self, failure: DeliveryFailed) -> None:
        since_ms = self._wall_ms() if self.trouble is None else self.trouble.since_ms
        self.trouble = Trouble(failure.reason, str(failure), since_ms)
        if failure.is_of_destination:
            self._out_of_reach = failure

    # One row

    async def _attempt(self, row: OutboxRow) -> DeliveryFailed | None:
        """Deliver it; what went wrong, or None. Raises `StoreError`."""
        if row.size_bytes <= LARGE_BYTES:
            return await self._carry(row)
        async with self._large:
            return await self._carry(row)

    async def _carry(self, row: OutboxRow) -> DeliveryFailed | None:
        message = None
        if row.id not in self._sent:
            body = await self._outbox.body(row.id)
            if body is None:
                return None
            chaos_point("before_delivery")
            try:
                message = await self._carrier.deliver(msgspec.structs.replace(row, body=body))
            except DeliveryFailed as failure:
                return failure
            except Exception as error:
                log.error("delivery_broke", destination=self._destination, exc_info=error)
                return DeliveryFailed("internal", f"{type(error).__name__}: {error}")
            chaos_point("after_delivery")
            if message is None:
                self._sent.add(row.id)
        await self._outbox.delivered(row.id, message)
        self._sent.discard(row.id)
        self._delivered += 1
        if row.mapping:
            metrics.RECORDS_DELIVERED.labels(row.mapping).inc(row.records)
        return None

    async def _failed(self, rows: Collection[OutboxRow], failure: DeliveryFailed) -> None:
        """Count the attempt of each row; give up those that had their last one."""
        postponed = []
        for row in rows:
            _count_failure(row, failure)
            if failure.records is not None:
                arrived = row.records - failure.records
                metrics.RECORDS_DELIVERED.labels(row.mapping).inc(arrived)
            attempts = row.attempts + 1
            if attempts >= OUTBOX_ATTEMPTS_MAX:
                await self._drop(row, failure, attempts)
                continue
            wait_ms = backoff_ms(attempts, WAIT_MS_MIN, OUTBOX_WAIT_MS_MAX, f"outbox:{row.id}")
            next_ms = self._wall_ms() + wait_ms
            postponed.append(Postponed(row.id, next_ms, failure.body, failure.records))
        if not postponed:
            return
        await self._outbox.failed(postponed)
        log.warning(
            "discards_not_delivered",
            destination=self._destination,
            rows=len(postponed),
            reason=failure.reason,
            error=str(failure),
        )

    async def _drop(self, row: OutboxRow, failure: DeliveryFailed, attempts: int) -> None:
        await self._outbox.delivered(row.id)
        records = row.records if failure.records is None else failure.records
        if row.mapping:
            metrics.RECORDS_DROPPED.labels(row.mapping).inc(records)
        log.error(
            "discard_dropped" if row.mapping else "invocation_record_dropped",
            **{"mapping": row.mapping} if row.mapping else {"function": row.function},
            destination=self._destination,
            records=records,
            attempts=attempts,
            reason=failure.reason,
            error=str(failure),
        )


def _count_failure(row: OutboxRow, failure: DeliveryFailed) -> None:
    """Where those look for it whose record it is."""
    if row.mapping:
        metrics.DESTINATION_FAILURES.labels(row.mapping, failure.reason).inc()
    elif row.attributes:
        metrics.DEAD_LETTER_ERRORS.labels(row.function, failure.reason).inc()
    else:
        metrics.ASYNC_DELIVERY_FAILURES.labels(row.function, failure.reason).inc()
