"""Numbers that must be asked for, brought up to date before a scrape."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import structlog

from router.asynchronous.runner import Runner
from router.mapping.manager import MappingManager
from router.model.errors import RouterError

log = structlog.get_logger()


class Measured(Protocol):
    """What can be told to look."""

    async def measure(self) -> None:
        """Bring its gauges up to date."""


async def refresh(
    mappings: MappingManager, runner: Runner, ingress: Measured, wall_ms: int
) -> None:
    """All of them; one that cannot be asked leaves its own as they were."""
    await asyncio.gather(
        _or_not(mappings.measure()), _or_not(runner.measure()), _or_not(ingress.measure())
    )
    await mappings.show(wall_ms)


async def _or_not(measuring: Awaitable[None]) -> None:
    try:
        await measuring
    except RouterError as error:
        log.warning("gauges_not_refreshed", error=str(error))
