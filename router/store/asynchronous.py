"""The store's part for asynchronous invocation: events for functions that nobody waits for.

As in `store.base`, what a method wrote is durable when it returns. Times are wall clock.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from router.model.errors import StoreFull
from router.store.base import EnqueuedMessage, OutboxRow


class EventsFull(StoreFull):
    """So many bytes of events wait for this function that no more are taken; ask again later."""

    code = "events_full"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event for a function."""

    request_id: str
    """Of the invocation, through all attempts."""
    function: str
    """Bare name."""
    qualifier: str | None = None
    payload: bytes
    trace_id: str = ""


class NewEvent(Event, frozen=True, kw_only=True):
    """An event to keep."""

    accepted_ms: int


class QueuedEvent(Event, frozen=True, kw_only=True):
    """An event taken from the queue."""

    id: int
    age_ms: int
    """When it was asked for: a time and no date, which a clock that is set makes wrong."""
    attempts: int = 0
    """Attempts that ran and failed."""
    held_up: int = 0
    """Times it could not be run since it last was."""
    has_response: bool = False
    """An attempt answered: `AsyncStore.response` has what it said."""


class Claim(msgspec.Struct, frozen=True):
    """Events to take for a function, longest due first."""

    function: str
    events_max: int
    bytes_max: int
    """One event may be larger."""
    until_ms: int
    """When they come back by themselves, should nobody finish them or put them back."""


class PutBack(msgspec.Struct, frozen=True):
    """An event for which another attempt follows."""

    id: int
    due_ms: int
    attempts: int
    held_up: int
    response: bytes | None = None
    """What the attempt said; None leaves what is there."""


class Finished(msgspec.Struct, frozen=True):
    """An event that is over, and what goes on its way because of it, all in one transaction."""

    id: int
    outbox: Sequence[OutboxRow] = ()
    messages: Sequence[EnqueuedMessage] = ()
    events: Sequence[NewEvent] = ()


class Taken(msgspec.Struct, frozen=True):
    """What a claim brought."""

    function: str
    events: Sequence[QueuedEvent]
    due_in_ms: int | None
    """How long after `now_ms` the first one that is still there is due; None: none is there."""


class Cycle(msgspec.Struct, frozen=True):
    """What one transaction did."""

    taken: Sequence[Taken]
    refused: Sequence[int] = ()
    """Ids that are not finished, as too much waits for a destination of theirs already."""


class EventsWaiting(msgspec.Struct, frozen=True):
    """What the queue holds for one function, whoever has taken it."""

    events: int
    size_bytes: int


class AsyncStore(Protocol):
    """The queue of events. At least once, in no promised order."""

    async def enqueue(self, event: NewEvent) -> None:
        """Keep an event. One whose request id is there already is the same event.

        Raises `EventsFull`.
        """

    async def cycle(
        self,
        finished: Sequence[Finished],
        put_back: Sequence[PutBack],
        claims: Sequence[Claim],
        now_ms: int,
    ) -> Cycle:
        """End or put back what was taken, and take more, in one transaction.

        An event that is gone, because its claim ran out and somebody else finished it, is not
        finished again: nothing goes on its way for it. Raises `StoreError`, and nothing is done.
        """

    async def response(self, event_id: int) -> bytes | None:
        """What the last attempt that ran said, as `PutBack.response` gave it."""

    def waiting(self) -> Mapping[str, EventsWaiting]:
        """What the queue holds, by function."""

    async def overdue_ms(self, now_ms: int) -> Mapping[str, int]:
        """For how long the event that is due first has been waiting; functions that have one.

        Raises `StoreError`.
        """

    def subscribe(self, wake: Callable[[str], None]) -> None:
        """Call `wake` in the loop with a function's name after each commit with events for it."""
