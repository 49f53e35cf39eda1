"""The store's part for embedded queues: messages, FIFO groups, tasks that move messages.

As in `store.base`, what a method wrote is durable when it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

import msgspec

from router.model.errors import RouterError

IN_FLIGHT_MAX: Final = 120_000
"""Messages of one queue that are received and not deleted yet (SQS quota)."""

REPEAT_MS: Final = 300_000
"""How long FIFO queues remember deduplication and attempt ids (SQS)."""

TASKS_KEPT: Final = 10
"""Move tasks of one source that are kept to be listed."""


class TooManyInFlight(RouterError):
    """A standard queue hands out nothing while so many of its messages are in flight."""

    code = "too_many_in_flight"


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to store. `attributes` is JSON of the message attributes as on the wire."""

    queue: str
    message_id: str
    body: str
    attributes: bytes = b""
    system: bytes = b""
    """JSON of system attributes kept with it (SenderId, AWSTraceHeader …)."""
    sent_ms: int
    visible_ms: int
    """Wall clock from when it may be received."""
    expires_ms: int
    group_id: str = ""
    """FIFO queues: the group that keeps its order."""
    deduplication_id: str = ""
    """FIFO queues: a second message with the same one is not stored."""


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as received. `token` changes with each receive; it is in the receipt handle.

    `id` grows with the order of storing, over all queues.
    """

    id: int
    message_id: str
    body: str
    attributes: bytes
    system: bytes
    sent_ms: int
    first_received_ms: int
    receive_count: int
    token: int
    received_ms: int = 0
    """Wall clock of this receive."""


class Redrive(msgspec.Struct, frozen=True):
    """Where messages received too often go.

    A message keeps its time of sending in a standard queue, and so its age; `retention_ms` is the
    dead-letter queue's. In a FIFO queue both begin anew.
    """

    queue: str
    receive_count_max: int
    retention_ms: int


class QueueCounts(msgspec.Struct, frozen=True):
    """ApproximateNumberOfMessages, …NotVisible, …Delayed."""

    visible: int
    in_flight: int
    delayed: int


class SentToFifo(msgspec.Struct, frozen=True):
    """What a FIFO queue answers: of a duplicate, the first one's id and number."""

    message_id: str
    number: int


class Standing(Enum):
    """Whether a receipt still counts."""

    HELD = "held"
    EXPIRED = "expired"
    """The visibility timeout is over, or the message was received again."""
    GONE = "gone"


class FifoStore(Protocol):
    """Messages of FIFO queues (`bus-http-and-schedules.md` 6.3, FIFO).

    A message is handed out when it is visible and no earlier one of its group is in flight or
    delayed.
    """

    async def send(
        self, messages: Sequence[NewMessage], now_ms: int, *, is_scope_group: bool
    ) -> Sequence[SentToFifo]:
        """Store messages of one queue in one transaction, in order, duplicates not.

        `is_scope_group`: only a message of the same group can be a duplicate.
        """

    async def receive(
        self,
        queue: str,
        now_ms: int,
        messages_max: int,
        visibility_ms: int,
        redrive: Redrive | None = None,
        attempt_id: str = "",
    ) -> Sequence[StoredMessage]:
        """Hand out messages in the order of their groups and hide them.

        A repetition with the same `attempt_id` gets the same messages and tokens, hidden anew, as
        long as all of them are in flight as it left them.
        """

    async def delete(
        self, queue: str, receipts: Sequence[tuple[int, int]], now_ms: int
    ) -> Sequence[Standing]:
        """Remove messages by (id, token); what is not held stays."""

    async def change_visibility(
        self, queue: str, message: int, token: int, now_ms: int, visible_ms: int
    ) -> Standing:
        """Set when a message in flight comes back."""

    async def next_ready_ms(self, queue: str, now_ms: int) -> int | None:
        """When the next group that is blocked now may be looked at again; None without one."""


class NewMoveTask(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of `source` that are visible at `started_ms` are to go to `target`."""

    handle: str
    source: str
    target: str | None
    """None: each to the queue it came from."""
    per_second_max: int | None
    started_ms: int


class MoveTask(NewMoveTask, frozen=True, kw_only=True):
    """A task and how far it is. `status` as in the API."""

    status: str
    moved: int
    to_move: int
    failure: str = ""


class MoveTarget(msgspec.Struct, frozen=True):
    """What a moved message gets from the queue it goes to."""

    retention_ms: int
    delay_ms: int


class MoveStore(Protocol):
    """Tasks that move messages; each step of one is a transaction."""

    async def start(self, task: NewMoveTask) -> bool:
        """Keep a task. False, and nothing is kept, while the source has a running one."""

    async def step(
        self, handle: str, now_ms: int, messages_max: int, targets: Mapping[str, MoveTarget]
    ) -> tuple[MoveTask, int]:
        """Move some messages, oldest first; the task after it and how many were moved.

        A moved message is a new one: with an id, a time of sending and a count of its own. The
        task ends when nothing is left, and fails at a message for which `targets` has no queue.
        """

    async def cancel(self, handle: str) -> MoveTask | None:
        """End a running task; None when it does not run."""

    async def tasks(self, source: str | None = None) -> Sequence[MoveTask]:
        """Tasks of a source, or all that run; newest first."""


class QueueStore(Protocol):
    """Messages of embedded queues. Those of FIFO queues come and go by `fifo`, the rest is shared.

    A queue exists here from its first message on.
    """

    @property
    def fifo(self) -> FifoStore:
        """Messages of FIFO queues."""

    @property
    def moves(self) -> MoveStore:
        """Tasks that move messages."""

    async def send(self, messages: Sequence[NewMessage]) -> None:
        """Store messages in one transaction."""

    async def receive(
        self,
        queue: str,
        now_ms: int,
        messages_max: int,
        visibility_ms: int,
        redrive: Redrive | None = None,
    ) -> Sequence[StoredMessage]:
        """Hand out visible messages and hide them. Raises `TooManyInFlight`.

        A message whose count would pass the redrive's maximum moves to its queue in the same
        transaction instead of being handed out.
        """

    async def peek(self, queue: str, messages_max: int) -> Sequence[StoredMessage]:
        """Look without receiving, oldest first."""

    async def delete(self, queue: str, ids: Sequence[int]) -> None:
        """Remove messages; one that is gone already is no error."""

    async def change_visibility(
        self, queue: str, message: int, token: int, now_ms: int, visible_ms: int
    ) -> bool:
        """Set when a received message comes back. False: it is gone or was received again."""

    async def counts(self, queue: str, now_ms: int) -> QueueCounts:
        """How many messages wait, are hidden, are delayed."""

    async def next_visible_ms(self, queue: str, now_ms: int) -> int | None:
        """When the next hidden or delayed message becomes visible; None when there is none."""

    async def purge(self, queue: str) -> None:
        """Remove all messages, and what is remembered of them."""

    async def retime(
        self, queue: str, *, retention_ms: int | None = None, delay_ms: int | None = None
    ) -> None:
        """Give messages that are there another retention, those never received another delay."""

    async def expire(self, now_ms: int) -> int:
        """Remove messages past their retention, in bounded steps; how many."""

    def subscribe(self, queue: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` in the loop after each commit that may let a message be received."""
