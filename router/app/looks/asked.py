"""What the page shows that has to be asked for: lags, queues, oldest records, secrets.

It is asked for beside, while somebody looks, and with rests that grow with what it costs: a store
that is busy or slow keeps nobody waiting, what is shown is a little older then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec
import structlog

from router.mapping.view import MappingView
from router.model.errors import RouterError
from router.model.resources import Mapping as MappingResource
from router.store.base import Store
from router.store.catalog import Catalog
from router.telemetry.slices import Slices

log = structlog.get_logger()

REST_S_MIN: Final = 0.9
LOAD_SHARE: Final = 20
"""A round is followed by a rest of so many times its own length …"""

REST_S_MAX: Final = 10.0
"""… but none longer than this."""

WAIT_S: Final = 0.5
"""How long who looks waits for a round; then it is shown with the next."""

QUEUES_MAX: Final = 200
"""Failure queues that are counted in a round."""

OLDEST_MAX: Final = 100
"""Mappings in a round whose oldest record is looked for in their source."""

SECRETS_S: Final = 30.0
"""How often it is looked whether webhooks have their secrets."""


class Kept(msgspec.Struct, frozen=True):
    """What lies in a queue."""

    count: int
    oldest_ms: int | None


class Mappings(Protocol):
    """The manager of mappings."""

    def view(self, uuid: str) -> MappingView:
        """One at work."""


class Asked:
    """What was heard last."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        mappings: Mappings,
        *,
        measure: Callable[[], Awaitable[object]],
        oldest_ms: Callable[[MappingResource, MappingView], Awaitable[int | None]],
        webhook_problems: Callable[[], Mapping[str, str]],
        wall_ms: Callable[[], int],
    ) -> None:
        """`measure` brings lags and what the ingress process counts up to date."""
        self._catalog = catalog
        self._store = store
        self._mappings = mappings
        self._measure = measure
        self._oldest_ms = oldest_ms
        self._problems = webhook_problems
        self._wall_ms = wall_ms
        self._round: asyncio.Task[None] | None = None
        self._due_s = 0.0
        self._problems_due_s = 0.0
        self.queues: dict[str, Kept] = {}
        """By name."""
        self.oldest: dict[str, int] = {}
        """Mapping → when the oldest record of its source came that it has not finished."""
        self.webhook_problems: Mapping[str, str] = {}

    async def look(self, queues: Iterable[str], *, is_shown: bool) -> None:
        """Ask, if it is time, and wait a little. `queues`: names of those that matter."""
        loop = asyncio.get_running_loop()
        if self._round is None and loop.time() >= self._due_s:
            names = list(queues)[:QUEUES_MAX]
            self._round = loop.create_task(self._ask(names, is_shown=is_shown))
        if self._round is not None:
            await asyncio.wait({self._round}, timeout=WAIT_S)

    def close(self) -> None:
        """Ask no more."""
        if self._round is not None:
            self._round.cancel()

    async def _ask(self, names: list[str], *, is_shown: bool) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            await self._measure()
            if is_shown:
                await self._see_queues(names)
                await self._see_oldest()
            if began_s >= self._problems_due_s:
                self.webhook_problems = self._problems()
                self._problems_due_s = began_s + SECRETS_S
        except RouterError as error:
            log.debug("ops_page_not_answered", error=str(error))
        finally:
            took_s = loop.time() - began_s
            self._due_s = loop.time() + min(
                max(REST_S_MIN - took_s, LOAD_SHARE * took_s), REST_S_MAX
            )
            self._round = None

    async def _see_queues(self, names: list[str]) -> None:
        found = {}
        for name in names:
            counts = await self._store.queues.counts(name, self._wall_ms())
            messages = await self._store.queues.peek(name, 1)
            count = counts.visible + counts.in_flight + counts.delayed
            found[name] = Kept(count, messages[0].sent_ms if messages else None)
        self.queues = found

    async def _see_oldest(self) -> None:
        """Of mappings that are behind; of one that reads, what it holds is older than the rest."""
        found: dict[str, int] = {}
        asked = 0
        slices = Slices()
        for mapping in list(self._catalog.mappings.values()):
            if slices.is_due:
                await slices.breathe()
            view = self._mappings.view(mapping.uuid)
            if view.lanes or not view.lag:
                continue
            if asked >= OLDEST_MAX:
                break
            asked += 1
            oldest_ms = await self._oldest_ms(mapping, view)
            if oldest_ms is not None:
                found[mapping.uuid] = oldest_ms
        self.oldest = found
