"""On-failure records to functions, which AWS has not for mappings.

The document is the event of an invocation nobody waits for. It stays in the outbox until an
invocation of it has succeeded, so a function may get it more than once; one that fails, or for
which no concurrency is free, gets it again as any destination that could not be reached.
"""

from collections.abc import Awaitable, Callable

from router.destinations.delivery import DeliveryFailed
from router.model.destination import Destination, parse_destination
from router.model.errors import NotInvoked, RouterError
from router.model.function import InvokeReply
from router.model.limits import EVENT_BYTES_MAX
from router.store.base import EnqueuedMessage, OutboxRow

Invoke = Callable[[Destination, str, bytes], Awaitable[InvokeReply]]
"""Runs a function once: which one, the request id, the event. Raises `NotInvoked`, `NotFound`."""

_REASONS = {"throttled": "throttled", "function_missing": "missing"}


class FunctionDestination:
    """Invokes functions of this router."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`. Ends with the function's own timeout."""
        function = parse_destination(row.destination)
        if len(row.body) > EVENT_BYTES_MAX:
            raise DeliveryFailed("too_large", f"{len(row.body)} bytes are no event of a function")
        try:
            reply = await self._invoke(function, row.letter_id, row.body)
        except NotInvoked as error:
            raise DeliveryFailed(_REASONS.get(error.reason, "unreachable"), str(error)) from error
        except RouterError as error:
            raise DeliveryFailed("missing", str(error)) from error
        if reply.error_type is not None:
            raise DeliveryFailed("function_error", f"{function.name} failed: {reply.error_type}")
        return None
