"""`/metrics`: numbers brought up to date, then rendered, once for all who wait.

However many scrape at a time, one rendering runs, and all who came while it ran share the next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from router.http.values import Response
from router.telemetry import metrics
from router.telemetry.exposition import Form, expose
from router.telemetry.loop_watch import LoopWatch

REFRESH_S: Final = 1.0
"""How long a scrape waits for numbers that must be asked for, like a lag. What takes longer, a
source that does not answer or thousands of mappings, is there at the next one."""


class Scrapes:
    """Makes the answers to scrapes."""

    def __init__(self, watch: LoopWatch, refresh: Callable[[], Awaitable[None]]) -> None:
        """`refresh` brings gauges up to date."""
        self._watch = watch
        self._refresh = refresh
        self._turn = asyncio.Lock()
        self._coming: dict[Form, asyncio.Task[Response]] = {}
        """Not begun: whoever asks now finds in them what has happened before."""
        self._tasks: set[asyncio.Task[Response]] = set()
        self._refreshing: asyncio.Task[None] | None = None

    async def answer(self, form: Form) -> Response:
        """All metrics, none older than this call but those that take too long to ask for."""
        task = self._coming.get(form)
        if task is None:
            task = self._coming[form] = asyncio.create_task(self._make(form), name="scrape")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)  # others may wait for it

    async def stop(self) -> None:
        """End what still runs."""
        tasks = [*self._tasks, *([self._refreshing] if self._refreshing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, form: Form) -> Response:
        try:
            await self._turn.acquire()
        finally:
            self._coming.pop(form, None)
        try:
            await self._bring_up_to_date()
            made = await expose(form)
        finally:
            self._turn.release()
        return Response(200, made.body, made.headers)

    async def _bring_up_to_date(self) -> None:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(_whole(self._refresh), name="refresh")
        refreshing = self._refreshing
        done, _late = await asyncio.wait({refreshing}, timeout=REFRESH_S)
        if done:
            self._refreshing = None
            refreshing.result()
        metrics.LOOP_STALL_MAX.set(self._watch.take_worst_s())


async def _whole(refresh: Callable[[], Awaitable[None]]) -> None:
    await refresh()
