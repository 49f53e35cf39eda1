"""What the ops page sees of this router: facts, never secrets or parts of records."""

import asyncio
from typing import TYPE_CHECKING

from router import __version__
from router.app.looks.asked import Asked
from router.app.looks.details import Details
from router.app.looks.sight import Gatherer
from router.ops.facts import FunctionDetail, MappingDetail, Notice, RouterFacts, Snapshot
from router.ops.site import Site

if TYPE_CHECKING:
    from router.app.router import Router


class Looks:
    """Implements `ops.desk.Sight` on a whole router."""

    def __init__(self, router: "Router") -> None:
        self._router = router
        self._started_ms = router.clock.wall_ms()
        self.asked = Asked(
            router.catalog,
            router.store,
            router.mappings,
            measure=self._measure,
            oldest_ms=router.admin.oldest_ms,
            webhook_problems=router.webhook_problems,
            wall_ms=router.clock.wall_ms,
        )
        self._gatherer = Gatherer(
            router.catalog,
            router.mappings,
            router.courier,
            self.asked,
            router=self._facts,
            problems=lambda: router.dispatcher.problems,
            waiting=self._waiting,
            now_ms=router.clock.now_ms,
            wall_ms=router.clock.wall_ms,
        )
        settings = router.settings
        self._details = Details(
            router.catalog,
            router.mappings,
            router.admin,
            region=settings.region,
            account=settings.account,
        )

    async def snapshot(self, *, is_shown: bool) -> Snapshot:
        """See `Sight.snapshot`."""
        return await self._gatherer.snapshot(is_shown=is_shown)

    async def mapping(self, id_: str) -> MappingDetail | None:
        """See `Sight.mapping`."""
        return await self._details.mapping(id_)

    async def function(self, name: str) -> FunctionDetail | None:
        """See `Sight.function`."""
        return await self._details.function(name)

    def close(self) -> None:
        """See `Sight.close`."""
        self.asked.close()

    async def _measure(self) -> None:
        router = self._router
        await asyncio.gather(router.mappings.measure(), router.ingress.measure())

    def _waiting(self) -> dict[str, int]:
        waiting = self._router.store.asynchronous.waiting()
        return {function: one.events for function, one in waiting.items()}

    def _facts(self) -> RouterFacts:
        router = self._router
        reasons = router.health.reasons
        return RouterFacts(
            version=__version__,
            started_ms=self._started_ms,
            region=router.settings.region,
            account=router.settings.account,
            is_ready=not reasons,
            notices=(*(Notice(name, text) for name, text in reasons.items()), *self._reload()),
            running=router.dispatcher.running,
            limit=router.dispatcher.limit,
            held_bytes=router.budget.held_bytes,
            held_bytes_max=router.budget.bytes_max,
            store_bytes=router.store.bytes_used,
            free_bytes=router.store.free_bytes,
            rung=str(router.isolation.rung),
        )

    def _reload(self) -> list[Notice]:
        """What is wrong with the router's own template, when the last reload was refused."""
        status = self._router.template.status
        if status is None or status.result == "ok":
            return []
        return [Notice("reload", f"the template was not applied: {status.message}")]


def make_site(router: "Router") -> Site:
    """The ops page of a router."""
    return Site(Looks(router), router.clock.now_ms)
