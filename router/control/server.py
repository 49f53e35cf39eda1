"""The API listener: services behind an HTTP server with limits and deadlines of our own."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from router.auth.peer import Connected
from router.control.auth import Authenticator, PrincipalOf, keyring
from router.control.dispatch import Dispatcher
from router.control.listener import (
    BODY_BYTES_MAX,
    UPLOAD_BYTES_MAX,
    ApiHandler,
    Page,
    count_refused,
)
from router.control.model import ServiceModel
from router.control.service import ModelledService, PlainHandler, PlainService
from router.http.server import HttpServer
from router.http.values import HttpLimits
from router.model.limits import MIB

CONNECTIONS_MAX: Final = 1_024
"""Open connections of one listener; one more is answered 503 and closed."""

UPLOADS_MAX: Final = 2
"""Uploads held at a time; more wait."""

LIMITS: Final = HttpLimits(
    connections_per_address_max=2**31,  # callers on one machine are many
    buffered_bytes_max=UPLOADS_MAX * UPLOAD_BYTES_MAX + 128 * MIB,
    large_bytes=BODY_BYTES_MAX,
    large_max=UPLOADS_MAX,
    header_s=30.0,
    body_s=60.0,
    idle_s=30.0,
    handler_s=float("inf"),  # an invocation takes as long as its function may
    linger_s=5.0,
)

DRAIN_S: Final = 5.0
"""How long running calls may finish at close."""


class Peers(Protocol):
    """Tells by the connection: `auth.peer.FunctionPeers`."""

    def must_refuse(self, connection: Connected) -> bool:
        """Whether the peer may not call this listener."""


class ControlServer:
    """Serves services on one listener. Any number of listeners may share the same services.

    `principal_of` decides who holds a key; without it and without `access_keys` everybody may
    call everything, which the caller must allow on loopback only.
    """

    def __init__(
        self,
        *,
        region: str,
        account: str,
        access_keys: Mapping[str, str] | None = None,
        principal_of: PrincipalOf | None = None,
        token: str = "",
        peers: Peers | None = None,
        connections_max: int = CONNECTIONS_MAX,
        limits: HttpLimits = LIMITS,
    ) -> None:
        """`peers`: whom to refuse whatever they show."""
        holder = principal_of or (keyring(access_keys) if access_keys else None)
        self._dispatcher = Dispatcher(Authenticator(holder, token=token), region, account)
        self._handler = ApiHandler(self._dispatcher)
        bounds = msgspec.structs.replace(limits, connections_max=connections_max)
        self._http = HttpServer(self._handler, bounds, count_refused, begins_at_once=True)
        if peers is not None:
            self._http.is_barred = peers.must_refuse
        self.host = ""
        self.port = 0

    def serve(self, name: str, model: ServiceModel, *parts: object) -> None:
        """Serve an AWS service; `name` is the one its clients sign with.

        An operation is a method of the last part that has it.
        """
        self._dispatcher.add(ModelledService(name, model, parts))

    def register(self, name: str, operations: Mapping[str, PlainHandler]) -> None:
        """Serve a private service: `X-Amz-Target: <Name>.<Operation>`, JSON object in and out."""
        self._dispatcher.add(PlainService(name, operations))

    def mount(self, prefix: str, page: Page) -> None:
        """Answer GET requests whose path begins with `prefix`; the page checks who asks."""
        self._handler.pages[prefix] = page

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 is a free one, then in `port`. Raises `OSError` when it is taken."""
        self.host, self.port = await self._http.start(host, port)
        self._handler.address = f"{self.host}:{self.port}"

    def drain(self) -> None:
        """Answer new calls with 503 and Retry-After, but to who asks how this router is."""
        self._handler.is_draining = True

    async def close(self, drain_s: float = DRAIN_S) -> None:
        """Stop listening; running calls have so many seconds to finish."""
        await self._http.stop(drain_s)
        await self._handler.finish(drain_s)
