"""An embedded queue as a source of mappings: in this process, without HTTP."""

import asyncio
from collections.abc import Sequence
from typing import Final

from router.embedded import attributes as rules
from router.embedded import messages
from router.embedded.problems import QueueProblem, no_queue
from router.embedded.queues import EmbeddedQueues, Received
from router.model.queue_message import QueueMessage

RECEIVE_MAX: Final = 100
"""Messages of one receive: within one process they need not come by tens."""


class EmbeddedQueueSource:
    """One queue. Every method raises `QueueProblem`, also when the queue is gone."""

    receive_max: Final = RECEIVE_MAX

    def __init__(self, queues: EmbeddedQueues, name: str) -> None:
        self._queues = queues
        self._name = name

    async def visibility_s(self) -> int:
        """The queue's own visibility timeout."""
        return rules.number(self._queues.get(self._name), "VisibilityTimeout")

    async def receive(
        self, messages_max: int, wait_ms: int, visibility_s: int | None, stop: asyncio.Event
    ) -> Sequence[QueueMessage]:
        """Messages; waits for the first one, until `stop` is set."""
        found = await self._queues.receive(
            self._name,
            messages_max=min(messages_max, RECEIVE_MAX),
            wait_s=wait_ms // 1000,
            visibility_s=visibility_s,
            stop=stop,
        )
        return [_message(one) for one in found]

    async def delete(self, receipts: Sequence[str]) -> Sequence[int]:
        """Remove messages; the indexes of those that are still there."""
        read = [messages.read_receipt(receipt) for receipt in receipts]
        try:
            problems = await self._queues.delete_messages(self._name, read)
        except QueueProblem as problem:
            if problem.shape == no_queue().shape:
                return ()  # its messages went with it
            raise
        return [index for index, problem in enumerate(problems) if problem is not None]

    async def backlog(self) -> int:
        """Messages that are there, also those that somebody has received."""
        return await self._queues.backlog(self._name)


def _message(received: Received) -> QueueMessage:
    return QueueMessage(
        message_id=received.message_id,
        receipt=received.handle,
        body=received.body,
        md5_of_body=messages.md5_of_body(received.body),
        md5_of_attributes=messages.md5_of_attributes(received.attributes),
        system=received.system,
        attributes=received.attributes,
    )
