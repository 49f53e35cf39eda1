"""The ingress listener: the HTTP server, webhooks and URLs behind it, and their metrics."""

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.config import IngressSettings
from router.http.server import HttpServer
from router.http.values import HttpLimits
from router.ingress.switchboard import Switchboard
from router.ingress.urls import Caller, UrlIngress
from router.ingress.webhooks import Appender, WebhookIngress
from router.model.webhook import WebhookSpec
from router.telemetry import metrics


class Ingress:
    """Traffic from outside. Start it last, drain it first."""

    def __init__(
        self,
        streams: Appender,
        resolve_secret: Callable[[str], str],
        settings: IngressSettings | None = None,
        *,
        caller: Caller,
    ) -> None:
        """`resolve_secret` gives a secret's value or raises `ConfigError`.

        `caller` leads to who answers for functions' URLs. `settings`: what the machine carries,
        see `app.capacity`; 0 bytes is the server's default.
        """
        self._webhooks = WebhookIngress(streams, (), resolve_secret)
        self._urls = UrlIngress(caller)
        self._server = HttpServer(
            Switchboard(self._webhooks, self._urls),
            http_limits(settings or IngressSettings()),
            count_refused,
        )

    def set_webhooks(self, specs: Iterable[WebhookSpec]) -> None:
        """Swap all webhooks at once. Raises `ConfigError` and changes nothing when one is wrong."""
        self._webhooks.set_webhooks(specs)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen. Returns address and port, which matters for port 0. Raises `OSError`."""
        address = await self._server.start(host, port)
        metrics.INGRESS_CONNECTIONS.set_function(lambda: self._server.connections)
        return address

    def want(self) -> None:
        """There is something to serve: it always listens."""

    async def started(self) -> None:
        """Wait until it listens: it does."""

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on sockets that listen already."""
        await self._server.serve(sockets)

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._server.connections

    async def heard(self) -> None:
        """Wait until a change of webhooks is in force: it is at once."""

    async def measure(self) -> None:
        """Bring counts up to date for a scrape: they always are."""

    def describe(self) -> dict[str, Any]:
        """For `router doctor`."""
        return {"is_apart": False, "is_wanted": True, "process": None, "restarts": 0, "locks": []}

    def forget_secrets(self) -> None:
        """Look all secrets up again, each before the next request that needs it."""
        self._webhooks.forget_secrets()

    def drain(self) -> None:
        """Answer new requests with 503 and Retry-After; finish those under way."""
        self._webhooks.drain()
        self._urls.drain()

    async def stop(self, drain_s: float) -> None:
        """Close the listener, finish what has begun for up to `drain_s` seconds, close all."""
        self._webhooks.drain()
        self._urls.drain()
        await self._server.stop(drain_s)


def count_refused(reason: str) -> None:
    """Count a refusal the server gives before a webhook is known."""
    metrics.INGRESS_REFUSED.labels(reason).inc()


def http_limits(settings: IngressSettings) -> HttpLimits:
    """The settings as the server's limits; what is no setting keeps its default."""
    return HttpLimits(
        connections_max=settings.connections_max,
        connections_per_address_max=settings.connections_per_address_max,
        head_bytes_max=settings.header_bytes_max,
        buffered_bytes_max=settings.buffered_bytes_max or HttpLimits().buffered_bytes_max,
        header_s=settings.header_deadline_s,
        body_s=settings.body_deadline_s,
        idle_s=settings.idle_deadline_s,
    )
