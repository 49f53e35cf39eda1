"""What goes on its way when an event is over: records to destinations, a dead letter."""

import uuid
from typing import Protocol

import msgspec

from router.asynchronous.decide import SUCCESS
from router.model.destination import kind_of, parse_destination
from router.model.limits import EVENT_BYTES_MAX
from router.outcomes.invocation_record import (
    Ended,
    HoldUp,
    dead_letter_attributes,
    invocation_record,
    object_key,
)
from router.store.asynchronous import Finished, NewEvent
from router.store.base import EnqueuedMessage, OutboxRow


class Mailbox(Protocol):
    """Knows the queues of this router."""

    def route(self, row: OutboxRow) -> EnqueuedMessage | None:
        """A message for the queue, None when it is not one of this router's."""


class Ways(msgspec.Struct, frozen=True):
    """Where what is told of an event goes; None and empty: nowhere."""

    destination: str | None = None
    """For the condition it ended with."""
    dead_letter_arn: str = ""


def finished(
    event_id: int,
    ended: Ended,
    ways: Ways,
    mailbox: Mailbox,
    *,
    trace_header: str = "",
    hold_up: HoldUp | None = None,
) -> Finished:
    """The end of an event, to be stored whole; `trace_header`: its invocation's."""
    rows = []
    if ways.destination:
        letter_id = str(uuid.uuid4())
        rows.append(
            OutboxRow(
                function=ended.function,
                destination=ways.destination,
                letter_id=letter_id,
                object_key=object_key(ended, letter_id),
                trace_header=trace_header,
                body=invocation_record(ended),
                records=1,
            )
        )
    if ways.dead_letter_arn and ended.condition != SUCCESS:
        rows.append(
            OutboxRow(
                function=ended.function,
                destination=ways.dead_letter_arn,
                letter_id=str(uuid.uuid4()),
                attributes=dead_letter_attributes(ended, hold_up),
                trace_header=trace_header,
                body=ended.payload,
                records=1,
            )
        )
    outbox, messages, events = [], [], []
    for row in rows:
        if (message := mailbox.route(row)) is not None:
            messages.append(message)
        elif kind_of(row.destination) == "function" and len(row.body) <= EVENT_BYTES_MAX:
            events.append(_event(row, ended.wall_ms))
        else:
            outbox.append(row)
    return Finished(event_id, outbox, messages, events)


def _event(row: OutboxRow, wall_ms: int) -> NewEvent:
    """A record for a function is an event of it, in the same queue."""
    function = parse_destination(row.destination)
    return NewEvent(
        request_id=row.letter_id,
        function=function.name,
        qualifier=function.qualifier,
        payload=row.body,
        trace_id=row.trace_header,
        accepted_ms=wall_ms,
    )
