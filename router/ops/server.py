"""`/metrics`, `/live`, `/ready` on the ops listener.

`/metrics` is rendered in a thread: with many label sets it would hold up the loop for tens of
milliseconds (`performance.md` 2, G15).
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from router.telemetry import metrics
from router.telemetry.loop_watch import LoopWatch

IDLE_S_MAX = 30.0
"""From a connection's start, or its last answer, to the complete head of its next request."""


class Health:
    """What the probes answer. `reasons` holds what keeps the router from being ready."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {"starting": "the router is starting"}

    def block(self, name: str, text: str) -> None:
        """Not ready because of this."""
        self._reasons[name] = text
        metrics.READY.set(0)

    def clear(self, name: str) -> None:
        """This no longer stands in the way."""
        self._reasons.pop(name, None)
        metrics.READY.set(0 if self._reasons else 1)

    @property
    def reasons(self) -> dict[str, str]:
        """Name → text of everything that stands in the way; empty when ready."""
        return dict(self._reasons)


def make_app(
    health: Health, watch: LoopWatch, refresh: Callable[[], Awaitable[None]]
) -> web.Application:
    """The ops application. `refresh` brings gauges up to date before a scrape."""

    async def serve_metrics(_request: web.Request) -> web.Response:
        await refresh()
        metrics.LOOP_STALL_MAX.set(watch.take_worst_s())
        text = await asyncio.get_running_loop().run_in_executor(
            None, generate_latest, metrics.REGISTRY
        )
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def serve_live(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def serve_ready(_request: web.Request) -> web.Response:
        reasons = health.reasons
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )

    app = web.Application()
    app.router.add_get("/metrics", serve_metrics)
    app.router.add_get("/live", serve_live)
    app.router.add_get("/ready", serve_ready)
    return app
