"""Embedded standard queues: what SQS promises, over the store's messages.

Knows nothing of HTTP. A queue's messages are stored under its name.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from router.embedded import attributes as rules
from router.embedded import messages
from router.embedded.messages import Draft, Receipt
from router.embedded.problems import QueueProblem, bad_value, no_queue, simple, unknown_attribute
from router.model.arn import queue_arn
from router.model.resources import Queue
from router.store.base import Delete, DropQueue, NewMessage, QueueStore, StoredMessage
from router.store.catalog import Catalog, put

PURGE_INTERVAL_MS: Final = 60_000
"""One purge of a queue per minute (SQS)."""

WALL_MS = Callable[[], int]
"""A clock: epoch milliseconds."""


class Received(msgspec.Struct, frozen=True):
    """A message handed out, decoded."""

    message_id: str
    handle: str
    body: str
    attributes: dict[str, dict[str, Any]]
    system: dict[str, str]


class EmbeddedQueues:
    """All queues of this router. Every method raises `QueueProblem` for what SQS refuses."""

    def __init__(
        self,
        catalog: Catalog,
        store: QueueStore,
        wall_ms: WALL_MS,
        *,
        region: str,
        account: str,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._wall_ms = wall_ms
        self._region = region
        self._account = account
        self._purged_ms: dict[str, int] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all long polls, now and to come."""
        self._stopping.set()

    def get(self, name: str) -> Queue:
        """A queue by name."""
        queue = self._catalog.queues.get(name)
        if queue is None:
            raise no_queue()
        return queue

    def is_queue(self, arn: str) -> bool:
        """Whether an ARN is one of our queues."""
        return self._by_arn(arn) is not None

    def _by_arn(self, arn: str) -> Queue | None:
        queue = self._catalog.queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def names(self, prefix: str) -> list[str]:
        """Queue names that begin with `prefix`, sorted."""
        return sorted(name for name in self._catalog.queues if name.startswith(prefix))

    async def create(self, name: str, given: Mapping[str, Any], tags: Mapping[str, str]) -> Queue:
        """Make a queue, or find the same one again."""
        rules.check_name(name)
        stored = rules.check_attributes(given, is_queue=self.is_queue, is_new=True)
        async with self._catalog.changing() as catalog:
            existing = catalog.queues.get(name)
            if existing is not None:
                return _same(existing, stored)
            now_s = self._wall_ms() // 1000
            queue = Queue(
                name=name,
                arn=queue_arn(self._region, self._account, name),
                attributes={key: value for key, value in stored.items() if value},
                tags=dict(tags),
                created_s=now_s,
                modified_s=now_s,
            )
            await catalog.commit_locked([put("queue", name, queue)])
        return queue

    async def delete(self, name: str) -> None:
        """Remove a queue and its messages."""
        queue = self.get(name)
        self._purged_ms.pop(name, None)
        await self._catalog.commit([Delete("queue", name), DropQueue(queue.name)])

    async def set_attributes(self, name: str, given: Mapping[str, Any]) -> None:
        """Change attributes; an empty text takes one away."""
        stored = rules.check_attributes(given, is_queue=self.is_queue, is_new=False)
        await self._change(
            name,
            lambda queue: {
                "attributes": {
                    key: value for key, value in {**queue.attributes, **stored}.items() if value
                },
                "modified_s": self._wall_ms() // 1000,
            },
        )

    async def tag(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        await self._change(name, lambda queue: {"tags": {**queue.tags, **tags}})

    async def untag(self, name: str, keys: Sequence[str]) -> None:
        """Remove tags; unknown keys are no error."""
        await self._change(
            name,
            lambda queue: {"tags": {k: v for k, v in queue.tags.items() if k not in set(keys)}},
        )

    async def _change(self, name: str, make: Callable[[Queue], dict[str, Any]]) -> None:
        async with self._catalog.changing() as catalog:
            queue = self.get(name)
            changed = msgspec.structs.replace(queue, **make(queue))
            await catalog.commit_locked([put("queue", name, changed)])

    async def attributes(self, name: str, wanted: Sequence[str]) -> dict[str, str]:
        """Attributes by name, or `All`; one that is not set is left out."""
        queue = self.get(name)
        known = rules.stored_attributes(queue)
        known["QueueArn"] = queue.arn
        known["CreatedTimestamp"] = str(queue.created_s)
        known["LastModifiedTimestamp"] = str(queue.modified_s)
        names = set(wanted)
        settable = {*rules.RANGES, *rules.READ_ONLY, *rules.ECHOED, *rules.FIFO_ONLY}
        settable |= {"RedrivePolicy", "SqsManagedSseEnabled", "FifoQueue"}
        settable |= {"ContentBasedDeduplication", "All"}
        for unknown in sorted(names - settable):
            raise unknown_attribute(unknown)
        if any(item == "All" or item.startswith("Approximate") for item in names):
            counts = await self._store.counts(queue.name, self._wall_ms())
            known["ApproximateNumberOfMessages"] = str(counts.visible)
            known["ApproximateNumberOfMessagesNotVisible"] = str(counts.in_flight)
            known["ApproximateNumberOfMessagesDelayed"] = str(counts.delayed)
        return known if "All" in names else {k: v for k, v in known.items() if k in names}

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

    def check_size(self, name: str, message: Draft, text: str) -> None:
        """Raise `QueueProblem` with `text` when a message is larger than the queue takes."""
        limit = rules.number(self.get(name), "MaximumMessageSize")
        if messages.size_bytes(message) > limit:
            raise bad_value(f"{text} Reason: Message must be shorter than {limit} bytes.")

    async def send(self, name: str, drafts: Sequence[Draft], sender: str) -> list[str]:
        """Store messages in one transaction; their ids, in order."""
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
            )
            for item in drafts
        ]
        await self._store.send(new)
        return [message.message_id for message in new]

    async def receive(
        self, name: str, *, messages_max: int, wait_s: int | None, visibility_s: int | None
    ) -> list[Received]:
        """Hand out messages; waits for the first one, never for more."""
        queue = self.get(name)
        if visibility_s is None:
            visibility_s = rules.number(queue, "VisibilityTimeout")
        if wait_s is None:
            wait_s = rules.number(queue, "ReceiveMessageWaitTimeSeconds")
        until_ms = self._wall_ms() + 1000 * wait_s
        arrived = asyncio.Event()
        unsubscribe = self._store.subscribe(queue.name, arrived.set)
        try:
            while True:
                arrived.clear()
                now_ms = self._wall_ms()
                found = await self._store.receive(
                    queue.name, now_ms, messages_max, 1000 * visibility_s, self._redrive(queue)
                )
                if found or now_ms >= until_ms or self._stopping.is_set():
                    return [self._received(message) for message in found]
                await self._wait(queue, arrived, until_ms)
                queue = self.get(name)
        finally:
            unsubscribe()

    async def _wait(self, queue: Queue, arrived: asyncio.Event, until_ms: int) -> None:
        """Until a message comes, becomes visible, or the time is over."""
        now_ms = self._wall_ms()
        visible_ms = await self._store.next_visible_ms(queue.name, now_ms)
        wake_ms = until_ms if visible_ms is None else min(until_ms, visible_ms)
        waits = [asyncio.ensure_future(event.wait()) for event in (arrived, self._stopping)]
        try:
            await asyncio.wait(
                waits,
                timeout=max(0, wake_ms - self._wall_ms()) / 1000,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()

    def _redrive(self, queue: Queue) -> tuple[str, int] | None:
        """Where messages received too often go; nowhere while that queue does not exist."""
        policy = rules.redrive(queue)
        target = self._by_arn(policy[0]) if policy is not None else None
        return (target.name, policy[1]) if policy is not None and target is not None else None

    def _received(self, message: StoredMessage) -> Received:
        system: dict[str, str] = orjson.loads(message.system) if message.system else {}
        system.setdefault("SenderId", self._account)
        if (source := system.get("DeadLetterQueueSourceArn")) is not None:
            # The store notes the name of the queue a message was moved from.
            system["DeadLetterQueueSourceArn"] = queue_arn(self._region, self._account, source)
        system["SentTimestamp"] = str(message.sent_ms)
        system["ApproximateReceiveCount"] = str(message.receive_count)
        system["ApproximateFirstReceiveTimestamp"] = str(message.first_received_ms)
        return Received(
            message.message_id,
            messages.make_receipt(message),
            message.body,
            messages.decode_attributes(message.attributes),
            system,
        )

    async def delete_messages(self, name: str, receipts: Sequence[Receipt]) -> None:
        """Remove messages; an old handle does it too, one of a removed message is no error."""
        queue = self.get(name)
        await self._store.delete(queue.name, [receipt.id for receipt in receipts])

    async def change_visibility(
        self, name: str, handle: str, receipt: Receipt, visibility_s: int
    ) -> None:
        """Set when a received message comes back, in seconds from now."""
        queue = self.get(name)
        now_ms = self._wall_ms()
        is_changed = await self._store.change_visibility(
            queue.name, receipt.id, receipt.token, now_ms, now_ms + 1000 * visibility_s
        )
        if not is_changed:
            raise bad_value(
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not "
                "exist or is not available for visibility timeout change."
            )


def _same(existing: Queue, given: Mapping[str, str]) -> Queue:
    """The queue itself when nothing that was asked for differs."""
    current = rules.stored_attributes(existing)
    for name, value in given.items():
        if current.get(name, "") != value:
            raise QueueProblem(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for attribute "
                f"{name}",
                "QueueAlreadyExists",
            )
    return existing
