"""Makes what the catalog says of concurrency: slots at the dispatcher, environments in the pool.

Provisioned concurrency of an alias goes with it: when the alias moves, environments of the new
version are started and those of the old one end (`functions-and-invocation.md` 5.3).
"""

import functools
from collections.abc import Iterable

import structlog

from router.dispatch.dispatcher import Dispatcher
from router.functions.concurrency import allotments, provisioned_version
from router.functions.resolve import FunctionResolver
from router.model.concurrency import (
    INIT_FAILED,
    AccountLimit,
    Allotments,
    Provisioned,
    ProvisionedStatus,
)
from router.model.function import FunctionVersion
from router.store.catalog import Catalog, own_name
from router.telemetry import metrics
from router.workers.provisions import Provision, Provisions

log = structlog.get_logger()

KINDS = frozenset({"function", "version", "alias", "provisioned"})
"""What allotments follow from."""


class Provisioning:
    """Reserved and provisioned concurrency as they are in force."""

    def __init__(
        self,
        catalog: Catalog,
        functions: FunctionResolver,
        dispatcher: Dispatcher,
        provisions: Provisions,
        limit: AccountLimit,
    ) -> None:
        self._catalog = catalog
        self._functions = functions
        self._dispatcher = dispatcher
        self._provisions = provisions
        self._limit = limit
        self._was_ready: dict[str, Provisioned] = {}
        """By name: what was asked for when it was ready last."""
        self._shown: set[tuple[str, str]] = set()
        """Functions and versions in metrics."""
        self.claimed = 0
        """Reserved and provisioned, all functions."""
        provisions.on_change = self._hear_change

    def follow(self) -> None:
        """The catalog has changed, or the router begins."""
        given = allotments(self._catalog)
        self._dispatcher.allot(given)
        self._provisions.keep(
            (self._functions.get(name, version), count)
            for name, allotment in given.items()
            for version, count in allotment.provisioned.items()
        )
        for name in self._was_ready.keys() - self._catalog.provisioned.keys():
            del self._was_ready[name]
        self._show(given)
        self._warn(sum(allotment.claimed for allotment in given.values()))

    def status(self, config: Provisioned) -> ProvisionedStatus:
        """How far provisioned concurrency is that was asked for."""
        name = own_name(config.function, config.qualifier)
        provision = self._provision_of(config)
        if provision is None:
            return ProvisionedStatus("FAILED", 0, INIT_FAILED)
        ready = min(len(provision.ready), config.requested)
        if provision.has_been_ready:
            self._was_ready[name] = config
            return ProvisionedStatus("READY", ready)
        if provision.has_failed:
            return ProvisionedStatus("FAILED", ready, INIT_FAILED)
        if self._was_ready.get(name) == config:  # its alias has moved, and it moves after it
            ready = config.requested
        return ProvisionedStatus("IN_PROGRESS", ready)

    def _provision_of(self, config: Provisioned) -> Provision | None:
        version = provisioned_version(self._catalog, config)
        if version is None:
            return None
        return self._provisions.of(self._functions.get(config.function, version))

    def _hear_change(self, function: FunctionVersion, ready: int) -> None:
        self._dispatcher.set_ready(function.name, function.version, ready)
        if (function.name, function.version) in self._shown:
            metrics.PROVISIONED.labels(function.name, function.version, "ready").set(ready)
        for config in self._configs_of(function):
            self.status(config)  # what was ready once is remembered

    def _configs_of(self, function: FunctionVersion) -> Iterable[Provisioned]:
        return [it for it in self._catalog.provisioned.values() if it.function == function.name]

    def _show(self, given: Allotments) -> None:
        """In metrics, as long as it is there."""
        counts = {
            (name, version): count
            for name, allotment in given.items()
            for version, count in allotment.provisioned.items()
        }
        for key in self._shown - counts.keys():
            for state in ("requested", "ready", "used"):
                metrics.PROVISIONED.remove(*key, state)
        for key in counts.keys() - self._shown:
            used = functools.partial(self._dispatcher.ledger.used_ready, *key)
            metrics.PROVISIONED.labels(*key, "used").set_function(used)
            metrics.PROVISIONED.labels(*key, "ready").set(0)
        for key, count in counts.items():
            metrics.PROVISIONED.labels(*key, "requested").set(count)
        self._shown = set(counts)

    def _warn(self, claimed: int) -> None:
        kept = self._limit.unreserved_min
        if claimed != self.claimed and self._limit.concurrency - claimed < kept:
            log.warning(
                "concurrency_overcommitted",
                limit=self._limit.concurrency,
                reserved=claimed,
                unreserved_min=kept,
                remedy="reservations are maxima only; raise ROUTER_CONCURRENCY_MAX or reserve less",
            )
        self.claimed = claimed
