"""On-failure records on their way to a destination: the courier is the production one (D7)."""

import json
from collections import Counter
from collections.abc import Sequence

from router.destinations.delivery import DeliveryFailed
from router.mapping.engine import Discard
from router.model.limits import OUTBOX_ATTEMPTS_MAX, OUTBOX_WAIT_MS_MAX
from router.store.base import Address, EnqueuedMessage, OutboxDepth, OutboxRow, Postponed
from tests.simulation.durable import Letter, Store, StoreFaults, finish
from tests.simulation.options import FAILURES_ARN, FAILURES_QUEUE
from tests.simulation.shard_state import Violation


class Letters:
    """Every stored discard, and what became of its on-failure record. Checks D7."""

    def __init__(self, store: Store, seen: set[str]) -> None:
        self._store = store
        self._seen = seen
        self._written: Counter[bytes] = Counter()
        self._dropped: Counter[bytes] = Counter()
        self.records_dropped = 0
        """Given up with nobody told: no destination, or one that was never there."""
        self.is_destination_up = True
        self.waiting = 0
        """Rows in the outbox."""
        self.is_unhurried = False
        """Nothing else goes on any more: time may pass in large steps."""

    def route(self, row: OutboxRow) -> EnqueuedMessage | None:
        """The embedded queue of failures, while it exists (`shell.Mailbox`)."""
        if row.destination != FAILURES_ARN:
            raise Violation("D7", f"sent to {row.destination}")
        if not self.is_destination_up:
            return None
        return EnqueuedMessage(queue=FAILURES_QUEUE, body=row.body.decode())

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """The same, as the courier asks for it (`destinations.delivery.Carrier`)."""
        message = self.route(row)
        if message is None:
            raise DeliveryFailed("missing", "the queue does not exist")
        return message

    def written(self, command: Discard, letter: Letter | None, destination: str | None) -> None:
        """A discard became durable, with this on-failure record."""
        if (letter is None) != (destination is None):
            raise Violation("D7", f"discarded to {destination} with {letter}: {command}")
        if letter is None:
            self.records_dropped += len(command.records)
            return
        self._check_text(command, letter.body)
        self._written[letter.body] += 1
        if not letter.is_in_queue:
            self.waiting += 1
            self._seen.add("destination_down")

    def _check_text(self, command: Discard, body: bytes) -> None:
        document = json.loads(body)
        said, told = document["RouterWebhookBatchInfo"], document["requestContext"]
        first, last = command.records[0].position, command.records[-1].position
        is_right = (
            said["startSequenceNumber"] == str(first)
            and said["endSequenceNumber"] == str(last)
            and said["batchSize"] == len(command.records)
            and said["shardId"] == command.update.shard
            and told["condition"] == command.condition
            and told["approximateInvokeCount"] == command.invoke_count
        )
        if not is_right:
            raise Violation("D7", f"an on-failure record that tells something else: {document}")

    def delivered(self, row: OutboxRow, message: EnqueuedMessage | None) -> None:
        """The courier is done with a row; without a message it has given up."""
        self.waiting -= 1
        if message is not None:
            self._seen.add("delivered_after_outage")
            if message.body.encode() != row.body:
                raise Violation("D7", f"delivered something else than {row}")
            return
        if row.attempts + 1 < OUTBOX_ATTEMPTS_MAX:
            raise Violation("D7", f"given up after {row.attempts + 1} attempts: {row}")
        self._seen.add("delivery_given_up")
        self._dropped[row.body] += 1
        self.records_dropped += row.records

    def check_end(self) -> None:
        """Every on-failure record arrived once or was given up, counted."""
        if self._store.waiting_rows:
            raise Violation("D7", f"{self._store.waiting_rows} on-failure records wait for ever")
        arrived = Counter(body.encode() for body in self._store.delivered())
        if arrived + self._dropped != self._written:
            missing = self._written - arrived - self._dropped
            more = arrived + self._dropped - self._written
            raise Violation("D7", f"on-failure records missing: {missing}, too many: {more}")


class SlowOutbox:
    """Implements `OutboxStore` for one life of the router."""

    def __init__(self, store: Store, letters: Letters, faults: StoreFaults) -> None:
        self._store = store
        self._letters = letters
        self._faults = faults

    async def depths(self, now_wall_ms: int) -> Sequence[OutboxDepth]:
        """See `OutboxStore.depths`."""
        if not self._letters.waiting:
            return ()
        if self._letters.is_unhurried:
            due_ms = self._store.next_row_ms or 0
            if due_ms > now_wall_ms:  # hours of looking in vain, in one step
                await self._faults.pause(min(due_ms - now_wall_ms, OUTBOX_WAIT_MS_MAX))
                return ()
        await self._write()
        depths: Sequence[OutboxDepth] = finish(self._store.outbox.depths(now_wall_ms))
        return depths

    async def due(self, address: Address, now_wall_ms: int, rows_max: int) -> Sequence[OutboxRow]:
        """See `OutboxStore.due`."""
        await self._write()
        rows: Sequence[OutboxRow] = finish(self._store.outbox.due(address, now_wall_ms, rows_max))
        return rows

    async def body(self, row_id: int) -> bytes | None:
        """See `OutboxStore.body`."""
        body: bytes | None = finish(self._store.outbox.body(row_id))
        return body

    async def delivered(self, row_id: int, message: EnqueuedMessage | None = None) -> None:
        """See `OutboxStore.delivered`."""
        await self._write()
        found = self._store.db.execute(
            "SELECT mapping, destination, body, records, attempts FROM outbox WHERE id = ?",
            (row_id,),
        ).fetchone()
        finish(self._store.outbox.delivered(row_id, message))
        mapping, destination, body, records, attempts = found
        row = OutboxRow(
            mapping=mapping, destination=destination, body=body, records=records, attempts=attempts
        )
        try:
            self._letters.delivered(row, message)
        except Violation as violation:
            self._faults.fail(violation)
            raise

    async def failed(self, rows: Sequence[Postponed]) -> None:
        """See `OutboxStore.failed`."""
        await self._write()
        finish(self._store.outbox.failed(rows))

    async def _write(self) -> None:
        await self._faults.pause(self._faults.store_ms())
        self._faults.may_fail()
