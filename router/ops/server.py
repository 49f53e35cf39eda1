"""`/metrics`, `/live`, `/ready` on the ops listener, and the page for people (`site.py`).

How `/metrics` is made is in `scrape.py`.
"""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import structlog

from router.http.server import HttpServer
from router.http.values import (
    JSON_HEADERS,
    BodyPolicy,
    Head,
    HttpLimits,
    Request,
    Response,
    Streamed,
    message_response,
)
from router.model.limits import KIB, MIB
from router.ops.scrape import Scrapes
from router.ops.site import Answer, Site
from router.telemetry import metrics
from router.telemetry.exposition import form_of
from router.telemetry.loop_watch import LoopWatch

log = structlog.get_logger(__name__)

IDLE_S_MAX: Final = 30.0
"""From a connection's start, or its last answer, to the complete head of its next request."""

UNREAD_S_MAX: Final = 20.0
"""A client that reads nothing of its answer for as long is dropped, one that watches too."""

LIMITS: Final = HttpLimits(
    connections_max=256,
    connections_per_address_max=2**31,  # everybody may come by one proxy
    buffered_bytes_max=4 * MIB,
    header_s=IDLE_S_MAX,
    idle_s=IDLE_S_MAX,
    body_s=UNREAD_S_MAX,
)
BODY_BYTES_MAX: Final = 1 * KIB
"""Nobody has to say anything here."""

METRICS_PATH: Final = "/metrics"

STOP_S: Final = 1.0
"""How long a scrape that runs may finish when the router stops."""


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


class OpsServer:
    """Answers probes and scrapes: the HTTP server's `Handler`."""

    def __init__(
        self,
        health: Health,
        watch: LoopWatch,
        refresh: Callable[[], Awaitable[None]],
        site: Site | None = None,
    ) -> None:
        """`refresh` brings gauges up to date before a scrape."""
        self._health = health
        self._scrapes = Scrapes(watch, refresh)
        self._site = site
        self._http = HttpServer(self, LIMITS)
        self._places: dict[str, Answer] = {
            "/live": self._live,
            "/ready": self._ready,
        }

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen. Returns address and port, which matters for port 0. Raises `OSError`."""
        bound = await self._http.start(host, port)
        if self._site is not None:
            self._site.bound(bound[0])
        return bound

    async def stop(self) -> None:
        """Listen no more; what runs has a moment to end, and nobody watches any more."""
        if self._site is not None:
            await self._site.close()
        await self._http.stop(STOP_S)
        await self._scrapes.stop()

    def on_head(self, head: Head) -> Response | BodyPolicy:
        """See `Handler.on_head`."""
        answer = self._places.get(head.path)
        if head.path == METRICS_PATH:
            answer = functools.partial(self._metrics, head)
        if answer is None and self._site is not None:
            answer = self._site.answer(head)
        if answer is None:
            return message_response(404, HTTPStatus.NOT_FOUND.phrase)
        if head.method not in {"GET", "HEAD"}:
            headers = (*JSON_HEADERS, ("allow", "GET, HEAD"))
            return message_response(405, HTTPStatus.METHOD_NOT_ALLOWED.phrase, headers)
        return BodyPolicy(BODY_BYTES_MAX, _unheard, note=answer)

    def on_request(self, request: Request) -> "Response | _Later":
        """See `Handler.on_request`."""
        answer: Answer = request.note
        made = answer()
        return made if isinstance(made, Response) else _Later(made)

    def _metrics(self, head: Head) -> Awaitable[Response]:
        headers = head.headers
        form = form_of(headers.get("accept", ""), headers.get("accept-encoding", ""))
        return self._scrapes.answer(form)

    def _live(self) -> Response:
        return _json(200, {"live": True})

    def _ready(self) -> Response:
        reasons = self._health.reasons
        return _json(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})


class _Later:
    """An answer that is being made: the server's `Pending`."""

    wait_s = 0.0
    ends_with_client = True

    def __init__(self, answer: Awaitable[Response | Streamed]) -> None:
        self._task: asyncio.Future[Response | Streamed] = asyncio.ensure_future(answer)

    def cancel(self) -> None:
        """See `Pending.cancel`."""
        self._task.cancel()

    def watch(self, done: Callable[[Any], None]) -> None:
        """See `Pending.watch`."""
        self._task.add_done_callback(done)

    def response(self) -> Response | Streamed:
        """See `Pending.response`."""
        return self._task.result()


def _json(status: int, members: dict[str, Any]) -> Response:
    return Response(status, json.dumps(members).encode(), JSON_HEADERS)


def _unheard(reason: str) -> None:
    """A body that did not come whole, where none belongs."""
    log.debug("ops_body_refused", reason=reason)
