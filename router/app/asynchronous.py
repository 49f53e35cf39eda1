"""Asynchronous invocation as this router is set up."""

from collections.abc import Callable

from router.asynchronous.decide import Waits
from router.config import AsyncSettings
from router.dispatch.traces import new_trace
from router.functions.resolve import FunctionResolver, may_loop
from router.model.arn import function_arn
from router.model.event_invoke import EventInvoke
from router.model.function import FunctionVersion
from router.model.limits import TIMEOUT_S_MAX
from router.model.version import LATEST
from router.store.asynchronous import AsyncStore, NewEvent
from router.store.catalog import Catalog, own_name
from router.telemetry import metrics


def waits_of(settings: AsyncSettings) -> Waits:
    """How long events wait between attempts."""
    return Waits(
        settings.first_wait_ms, settings.second_wait_ms, held_up_ms_max=settings.backoff_ms_max
    )


class CatalogTargets:
    """What is invoked, by the catalog: each attempt sees what is there at its time."""

    def __init__(
        self, catalog: Catalog, functions: FunctionResolver, region: str, account: str
    ) -> None:
        self._catalog = catalog
        self._functions = functions
        self._region = region
        self._account = account

    def exists(self, function: str) -> bool:
        """Whether there is a function of this name."""
        return function in self._catalog.functions

    def version(self, function: str, qualifier: str | None) -> FunctionVersion:
        """What runs just now. Raises `NotFound`."""
        return self._functions.get(function, qualifier)

    def config(self, function: str, qualifier: str | None) -> EventInvoke | None:
        """The event-invoke config of exactly this qualifier."""
        return self._catalog.event_invokes.get(own_name(function, qualifier or LATEST))

    def reserved(self, function: str) -> int | None:
        """Its reserved concurrency; None: none."""
        found = self._catalog.functions.get(function)
        return None if found is None else found.reserved_concurrency

    def arn(self, function: str, qualifier: str | None) -> str:
        """Its ARN, qualified as asked for."""
        return function_arn(self._region, self._account, function, qualifier)

    def may_loop(self, function: str) -> bool:
        """Whether its loops go on (`RecursiveLoop: Allow`)."""
        return may_loop(self._catalog, function)

    def timeout_ms(self, function: str) -> int:
        """The longest an invocation of it may take."""
        found = self._catalog.functions.get(function)
        return 1000 * (TIMEOUT_S_MAX if found is None else found.timeout_s)


class AsyncInvoker:
    """Takes events in for callers of the API: durable when it returns."""

    def __init__(self, store: AsyncStore, wall_ms: Callable[[], int]) -> None:
        self._store = store
        self._wall_ms = wall_ms

    async def accept(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        request_id: str,
        trace_id: str | None = None,
    ) -> None:
        """Keep an event for a function. Raises `EventsFull`, `StoreFull`, `StoreError`."""
        await self._store.enqueue(
            NewEvent(
                request_id=request_id,
                function=function,
                qualifier=qualifier,
                payload=payload,
                trace_id=trace_id or new_trace(),
                accepted_ms=self._wall_ms(),
            )
        )
        metrics.ASYNC_RECEIVED.labels(function).inc()
