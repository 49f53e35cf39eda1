"""Embedded queues: what SQS promises about messages, over the store's.

Knows nothing of HTTP. A queue's messages are stored under its name.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import orjson

from router.embedded import attributes as rules
from router.embedded import messages
from router.embedded.messages import Draft, Order, Receipt
from router.embedded.moves import MoveTasks
from router.embedded.problems import QueueProblem, bad_value, simple
from router.embedded.registry import WALL_MS, QueueRegistry
from router.model.arn import queue_arn
from router.model.resources import Queue
from router.store.catalog import Catalog
from router.store.queues import (
    NewMessage,
    QueueStore,
    Redrive,
    Standing,
    StoredMessage,
    TooManyInFlight,
)

PURGE_INTERVAL_MS: Final = 60_000
"""One purge of a queue per minute (SQS)."""

FULL_PAUSE_S: Final = 0.5
"""How often a long poll looks whether less is in flight."""


class Sent(msgspec.Struct, frozen=True):
    """What became of a message that was sent: of a duplicate, the first one's names."""

    message_id: str
    sequence_number: str | None = None
    """FIFO queues."""


class Received(msgspec.Struct, frozen=True):
    """A message handed out, decoded."""

    message_id: str
    handle: str
    body: str
    attributes: dict[str, dict[str, Any]]
    system: dict[str, str]


class EmbeddedQueues(QueueRegistry):
    """All queues of this router and their messages.

    Every method raises `QueueProblem` for what SQS refuses.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: QueueStore,
        wall_ms: WALL_MS,
        *,
        region: str,
        account: str,
    ) -> None:
        super().__init__(catalog, store, wall_ms, region=region, account=account)
        self._purged_ms: dict[str, int] = {}
        self._stopping = asyncio.Event()
        self.moves = MoveTasks(self, store, wall_ms)

    def stop(self) -> None:
        """End all long polls, now and to come."""
        self._stopping.set()

    async def delete(self, name: str) -> None:
        """Remove a queue and its messages."""
        await super().delete(name)
        self._purged_ms.pop(name, None)

    async def backlog(self, name: str) -> int:
        """Messages of a queue: those that wait, are hidden, are delayed."""
        counts = await self._store.counts(self.get(name).name, self._wall_ms())
        return counts.visible + counts.in_flight + counts.delayed

    async def purge(self, name: str) -> None:
        """Remove all messages, hidden and delayed ones too; once a minute."""
        queue = self.get(name)
        now_ms = self._wall_ms()
        if now_ms - self._purged_ms.get(name, -PURGE_INTERVAL_MS) < PURGE_INTERVAL_MS:
            raise simple(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
                status=403,
            )
        await self._store.purge(queue.name)
        self._purged_ms[name] = now_ms

    def order(self, name: str) -> Order | None:
        """How a FIFO queue takes messages; None for a standard one."""
        queue = self.get(name)
        if not rules.is_fifo(queue):
            return None
        return Order(queue.attributes.get("ContentBasedDeduplication") == "true")

    def check_size(self, name: str, message: Draft, text: str) -> None:
        """Raise `QueueProblem` with `text` when a message is larger than the queue takes."""
        limit = rules.number(self.get(name), "MaximumMessageSize")
        if messages.size_bytes(message) > limit:
            raise bad_value(f"{text} Reason: Message must be shorter than {limit} bytes.")

    async def send(self, name: str, drafts: Sequence[Draft], sender: str) -> list[Sent]:
        """Store messages in one transaction, in order."""
        queue = self.get(name)
        now_ms = self._wall_ms()
        retention_ms = 1000 * rules.number(queue, "MessageRetentionPeriod")
        delay_default_s = rules.number(queue, "DelaySeconds")
        new = [
            NewMessage(
                queue=queue.name,
                message_id=str(uuid.uuid4()),
                body=item.body,
                attributes=messages.encode_attributes(item.attributes),
                system=orjson.dumps({"SenderId": sender, **item.system}),
                sent_ms=now_ms,
                visible_ms=now_ms
                + 1000 * (delay_default_s if item.delay_s is None else item.delay_s),
                expires_ms=now_ms + retention_ms,
                group_id=item.group_id,
                deduplication_id=item.deduplication_id,
            )
            for item in drafts
        ]
        if not rules.is_fifo(queue):
            await self._store.send(new)
            return [Sent(message.message_id) for message in new]
        is_scope_group = queue.attributes.get("DeduplicationScope") == "messageGroup"
        sent = await self._store.fifo.send(new, now_ms, is_scope_group=is_scope_group)
        return [Sent(one.message_id, messages.sequence_number(one.number)) for one in sent]

    async def receive(
        self,
        name: str,
        *,
        messages_max: int,
        wait_s: int | None,
        visibility_s: int | None,
        attempt_id: str = "",
        stop: asyncio.Event | None = None,
    ) -> list[Received]:
        """Hand out messages; waits for the first one, never for more.

        `attempt_id`: ReceiveRequestAttemptId, of FIFO queues. `stop` ends the wait: unlike a
        cancellation it loses nothing that was handed out already.
        """
        stops = [self._stopping] if stop is None else [self._stopping, stop]
        queue = self.get(name)
        self._check_attempt(queue, attempt_id)
        if wait_s is None:
            wait_s = rules.number(queue, "ReceiveMessageWaitTimeSeconds")
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + wait_s
        arrived = asyncio.Event()
        unsubscribe = self._store.subscribe(queue.name, arrived.set)
        try:
            while True:
                arrived.clear()
                now_ms = self._wall_ms()
                is_over = now_s() >= until_s or any(event.is_set() for event in stops)
                pause_s = None
                try:
                    found = await self._take(queue, now_ms, messages_max, visibility_s, attempt_id)
                except TooManyInFlight:
                    if wait_s == 0:
                        raise QueueProblem(
                            "OverLimit",
                            "Too many messages of the queue are in flight.",
                            status=403,
                        ) from None
                    # A long poll is answered without messages (SQS quotas).
                    found, pause_s = [], FULL_PAUSE_S
                if found or is_over:
                    return [self._received(queue, message) for message in found]
                left_s = max(0.0, until_s - now_s())
                if pause_s is not None:
                    left_s = min(pause_s, left_s)
                await self._wait(queue, [arrived, *stops], left_s, now_ms)
                queue = self.get(name)
        finally:
            unsubscribe()

    def _check_attempt(self, queue: Queue, attempt_id: str) -> None:
        if not attempt_id:
            return
        if not rules.is_fifo(queue):
            raise bad_value(
                f"Value {attempt_id} for parameter ReceiveRequestAttemptId is invalid. Reason: The "
                "request include parameter that is not valid for this queue type."
            )
        messages.check_order_id("ReceiveRequestAttemptId", attempt_id)

    async def _take(
        self,
        queue: Queue,
        now_ms: int,
        messages_max: int,
        visibility_s: int | None,
        attempt_id: str,
    ) -> Sequence[StoredMessage]:
        if visibility_s is None:
            visibility_s = rules.number(queue, "VisibilityTimeout")
        visibility_ms, redrive = 1000 * visibility_s, self._redrive(queue)
        if rules.is_fifo(queue):
            return await self._store.fifo.receive(
                queue.name, now_ms, messages_max, visibility_ms, redrive, attempt_id
            )
        return await self._store.receive(queue.name, now_ms, messages_max, visibility_ms, redrive)

    async def _wait(
        self,
        queue: Queue,
        events: Sequence[asyncio.Event],
        wait_s_max: float,
        looked_ms: int,
    ) -> None:
        """Until a message comes, may be handed out, or the time or all of it is over.

        `looked_ms` is the time of the look that found none: one that comes back between that look
        and this wait ends it at once.
        """
        look = self._store.fifo.next_ready_ms if rules.is_fifo(queue) else (
            self._store.next_visible_ms
        )  # fmt: skip
        visible_ms = await look(queue.name, looked_ms)
        timeout_s = wait_s_max
        if visible_ms is not None:
            timeout_s = min(wait_s_max, max(0, visible_ms - self._wall_ms()) / 1000)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(
                waits,
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()

    def _redrive(self, queue: Queue) -> Redrive | None:
        """Where messages received too often go; nowhere while that queue does not exist."""
        policy = rules.redrive(queue)
        target = self.find(policy[0]) if policy is not None else None
        if policy is None or target is None or rules.is_fifo(target) != rules.is_fifo(queue):
            return None
        return Redrive(
            target.name, policy[1], 1000 * rules.number(target, "MessageRetentionPeriod")
        )

    def _received(self, queue: Queue, message: StoredMessage) -> Received:
        system: dict[str, str] = orjson.loads(message.system) if message.system else {}
        system.setdefault("SenderId", self._account)
        if (source := system.get("DeadLetterQueueSourceArn")) is not None:
            # The store notes the name of the queue a message was moved from.
            system["DeadLetterQueueSourceArn"] = queue_arn(self._region, self._account, source)
        system["SentTimestamp"] = str(message.sent_ms)
        system["ApproximateReceiveCount"] = str(message.receive_count)
        system["ApproximateFirstReceiveTimestamp"] = str(message.first_received_ms)
        if rules.is_fifo(queue):
            system["SequenceNumber"] = messages.sequence_number(message.id)
        return Received(
            message.message_id,
            messages.make_receipt(message),
            message.body,
            messages.decode_attributes(message.attributes),
            system,
        )

    async def delete_messages(
        self, name: str, receipts: Sequence[Receipt]
    ) -> list[QueueProblem | None]:
        """Remove messages; one that is gone is no error. Why not, for each that stays.

        A standard queue takes an old handle too, a FIFO queue only one that still holds.
        """
        queue = self.get(name)
        if not rules.is_fifo(queue):
            await self._store.delete(queue.name, [receipt.id for receipt in receipts])
            return [None] * len(receipts)
        pairs = [(receipt.id, receipt.token) for receipt in receipts]
        standings = await self._store.fifo.delete(queue.name, pairs, self._wall_ms())
        return [
            messages.expired_receipt(receipt.handle) if standing is Standing.EXPIRED else None
            for receipt, standing in zip(receipts, standings, strict=True)
        ]

    async def change_visibility(self, name: str, receipt: Receipt, visibility_s: int) -> None:
        """Set when a received message comes back, in seconds from now."""
        queue = self.get(name)
        now_ms = self._wall_ms()
        hidden_s = max(0, now_ms - receipt.received_ms) // 1000
        if visibility_s and hidden_s + visibility_s > messages.VISIBILITY_S_MAX:
            raise bad_value(
                f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: Total "
                "VisibilityTimeout for the message is beyond the limit "
                f"[{messages.VISIBILITY_S_MAX} seconds]"
            )
        visible_ms = now_ms + 1000 * visibility_s
        if rules.is_fifo(queue):
            standing = await self._store.fifo.change_visibility(
                queue.name, receipt.id, receipt.token, now_ms, visible_ms
            )
            if standing is Standing.EXPIRED:
                raise messages.expired_receipt(receipt.handle)
            is_changed = standing is Standing.HELD
        else:
            is_changed = await self._store.change_visibility(
                queue.name, receipt.id, receipt.token, now_ms, visible_ms
            )
        if not is_changed:
            raise bad_value(
                f"Value {receipt.handle} for parameter ReceiptHandle is invalid. Reason: Message "
                "does not exist or is not available for visibility timeout change."
            )
