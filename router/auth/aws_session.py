"""Clients of AWS, for whatever is there and not here: the one place that knows aioboto3.

Credentials, profiles and endpoints are the SDK's own affair (`AWS_PROFILE`, `AWS_ENDPOINT_URL_S3`,
instance roles, …). The SDK takes 30 MB and half a second to load, so it is loaded when the first
client is asked for, in a thread; a router that talks to no AWS never does.
"""

import asyncio
import contextlib
from typing import Any, Final

import msgspec

from router.model.errors import RouterError

CONNECT_S_MAX: Final = 5.0
READ_S_MAX: Final = 20.0
"""Longest wait for a connection, and for a part of an answer."""

CONNECTIONS_MAX: Final = 20
"""Of one client."""


class Credentials(msgspec.Struct, frozen=True):
    """An access key as it holds now."""

    access_key_id: str
    secret: str
    token: str | None = None


class NoCredentials(RouterError):
    """The SDK found nothing to sign with."""

    code = "no_aws_credentials"


class AwsSession:
    """Open clients, one for each service and region."""

    def __init__(self, region: str) -> None:
        """`region` is that of services and resources whose names tell none."""
        self._region = region
        self._sdk: Any = None
        self._credentials: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = asyncio.Lock()
        self._open = contextlib.AsyncExitStack()

    async def client(self, service: str, region: str = "") -> Any:
        """The client of a service; made when first asked for.

        Nothing is tried again by it: who calls decides that. Raises what the SDK raises when it
        is set up wrong.
        """
        name = (service, region or self._region)
        if name not in self._clients:
            async with self._lock:
                if name not in self._clients:
                    self._clients[name] = await self._make(*name)
        return self._clients[name]

    async def endpoint(self, service: str, region: str = "") -> str:
        """The URL of a service, as the SDK finds it. Raises as `client`."""
        client = await self.client(service, region)
        return str(client.meta.endpoint_url)

    async def credentials(self) -> Credentials:
        """Who signs, as the SDK finds it; refreshed where they end. Raises `NoCredentials`."""
        if self._credentials is None:
            self._credentials = await (await self._loaded()).get_credentials()
        if self._credentials is None:
            raise NoCredentials(
                "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "AWS_PROFILE, or give the machine a role"
            )
        frozen = await self._credentials.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def close(self) -> None:
        """Close every client."""
        await self._open.aclose()
        self._clients.clear()

    async def _loaded(self) -> Any:
        if self._sdk is None:
            self._sdk = await asyncio.to_thread(_load)
        return self._sdk

    async def _make(self, service: str, region: str) -> Any:
        sdk = await self._loaded()
        await asyncio.to_thread(_read_model, sdk, service)
        return await self._open.enter_async_context(
            sdk.client(service, region_name=region, config=_config())
        )


def _load() -> Any:
    import aioboto3

    return aioboto3.Session()


def _read_model(sdk: Any, service: str) -> None:
    """Megabytes of JSON: made once with an endpoint nobody calls, so that the loop never reads."""

    async def warm() -> None:
        async with sdk.client(
            service,
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="none",
            aws_secret_access_key="none",  # noqa: S106  signs nothing
            config=_config(),
        ):
            pass

    asyncio.run(warm())


def _config() -> Any:
    from aiobotocore.config import AioConfig

    return AioConfig(
        connect_timeout=CONNECT_S_MAX,
        read_timeout=READ_S_MAX,
        max_pool_connections=CONNECTIONS_MAX,
        retries={"total_max_attempts": 1},
        user_agent_appid="event-router",
    )
