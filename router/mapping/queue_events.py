"""What goes into a queue engine and what comes out of it: SQS, standard and FIFO.

As in `engine.py` every command is answered by exactly one fact with its id, failure included.
What is not a command of its own: a message that failed is left to its visibility timeout (P25),
so nothing is asked of the source for it.
"""

import msgspec

from router.mapping.engine import DrainRequested, Resumed, RoomChanged, SettingsChanged, Tick
from router.model import limits
from router.model.outcome import Outcome
from router.model.record import Record


class Message(Record, frozen=True, gc=False, kw_only=True):
    """A record as received from a queue.

    `position` is the number of its receipt, in the order of receipts; `event_id` the message id,
    `key` the message group, empty on a standard queue; `arrival_ms` the time it was sent; `data`
    its event record, whole.
    """

    receipt: str
    """What the source deletes it by."""
    until_ms: int
    """Monotonic: nobody else gets it before."""
    trace_header: str = ""
    """Of the invocation that sent it; empty: unknown."""
    chain: str = ""
    """What that says of the chain it belongs to: messages of two never share a batch."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What is left of a message that is finished: enough to delete it."""

    message_id: str
    receipt: str
    until_ms: int
    group: str = ""
    """Its group, when nothing behind it may go on before it is gone."""


# Events: facts, past tense.


class QueueOpened(msgspec.Struct, frozen=True):
    """The queue may be read from now on."""


class MessagesReceived(msgspec.Struct, frozen=True):
    """Answers Receive: none when the wait ran out. Those filters left out are for deletion."""

    command_id: int
    messages: tuple[Message, ...] = ()
    left_out: tuple[Receipt, ...] = ()


class ReceiveFailed(msgspec.Struct, frozen=True):
    """Answers Receive: the queue could not be read. Asked for again after a back-off."""

    command_id: int
    reason: str


class InvocationStarted(msgspec.Struct, frozen=True):
    """An Invoke has had its turn: a slot was free, the function runs. No answer to it yet."""

    command_id: int


class InvocationFinished(msgspec.Struct, frozen=True):
    """Answers Invoke."""

    command_id: int
    outcome: Outcome


class MessagesDeleted(msgspec.Struct, frozen=True):
    """Answers Delete: all are gone but those at these indexes."""

    command_id: int
    failed: tuple[int, ...] = ()


class DeleteFailed(msgspec.Struct, frozen=True):
    """Answers Delete: nobody knows of any of them."""

    command_id: int
    reason: str


Event = (
    QueueOpened
    | MessagesReceived
    | ReceiveFailed
    | InvocationStarted
    | InvocationFinished
    | MessagesDeleted
    | DeleteFailed
    | SettingsChanged
    | RoomChanged
    | DrainRequested
    | Resumed
    | Tick
)

# Commands: work, imperative.


class Receive(msgspec.Struct, frozen=True):
    """Receive messages; waits for the first one, at most `wait_ms`. A source may bring fewer."""

    command_id: int
    messages_max: int
    wait_ms: int = limits.FETCH_WAIT_MS


class Invoke(msgspec.Struct, frozen=True):
    """Run the function on this batch, if it has its turn before `until_ms` (monotonic)."""

    command_id: int
    messages: tuple[Message, ...]
    attempt: int
    until_ms: int


class Delete(msgspec.Struct, frozen=True):
    """Remove messages from the queue: handled, or filtered out (P20)."""

    command_id: int
    receipts: tuple[Receipt, ...]


Command = Receive | Invoke | Delete
