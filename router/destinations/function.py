"""On-failure records to functions, which AWS has not for mappings.

As where AWS has them, the document is the event of an asynchronous invocation: it is delivered when
it is in the function's queue, and what becomes of it there is up to the function's own settings.
"""

from collections.abc import Awaitable, Callable

from router.destinations.delivery import DeliveryFailed
from router.model.destination import Destination, parse_destination
from router.model.errors import RouterError, StoreError, StoreFull
from router.model.limits import EVENT_BYTES_MAX
from router.store.base import EnqueuedMessage, OutboxRow

Accept = Callable[[Destination, OutboxRow], Awaitable[None]]
"""Keeps a row's body as an event of a function; twice is once. Raises `NotFound`, `StoreError`."""


class FunctionDestination:
    """Has functions of this router invoked."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept

    async def deliver(self, row: OutboxRow) -> EnqueuedMessage | None:
        """See `Carrier.deliver`."""
        function = parse_destination(row.destination)
        if len(row.body) > EVENT_BYTES_MAX:
            raise DeliveryFailed("too_large", f"{len(row.body)} bytes are no event of a function")
        try:
            await self._accept(function, row)
        except StoreFull as error:
            raise DeliveryFailed("throttled", str(error)) from error
        except StoreError as error:
            raise DeliveryFailed("server_error", str(error)) from error
        except RouterError as error:
            raise DeliveryFailed("missing", str(error)) from error
        return None
