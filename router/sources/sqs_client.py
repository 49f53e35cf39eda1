"""The calls of SQS that every message needs, over AWS JSON 1.0 and nothing else.

The SDK's client takes several times the CPU of the calls themselves (`performance.md` 2), so these
few are made here, with credentials, region and endpoint as the SDK finds them, over connections of
our own (`http_client.py`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import orjson

from router.auth.aws_session import Credentials
from router.auth.sigv4_signer import PostSigner
from router.model.errors import RouterError
from router.sources.http_client import HttpClient

ANSWER_S_MAX: Final = 10.0
"""Longest wait for an answer, on top of a long poll's own wait."""

SIGNER_S_MAX: Final = 30.0
"""Longest wait for credentials or an endpoint: the SDK may ask a program or a server for them."""

SIGNER_KEPT_S: Final = 5.0
"""How long credentials are used before the SDK is asked again; it renews them minutes early."""

REPLY_BYTES_MAX: Final = 64 << 20
"""Ten messages of 1 MiB, each byte of them escaped as six."""

LOST: Final = "RequestLost"
"""The code of a call nobody knows the end of."""

DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "InvalidClientTokenId"})
"""Errors that say who asks may not."""


class SqsProblem(RouterError):
    """SQS refused a call, or could not be reached. `kind` is its error's name, or `LOST`."""

    code = "sqs_failed"

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
        if kind in DENIED:
            self.code = "access_denied"


class Aws(Protocol):
    """What the SDK knows: `auth.aws_session.AwsSession`."""

    async def endpoint(self, service: str, region: str = "") -> str:
        """The URL of a service."""

    async def credentials(self) -> Credentials:
        """Who signs."""


class SqsClient:
    """SQS of one region. One set of connections for all its queues."""

    def __init__(self, aws: Aws, region: str, wall_s: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._region = region
        self._wall_s = wall_s
        self._signer: PostSigner | None = None
        self._signer_until_s = 0.0
        self._http: HttpClient | None = None
        self._url = ""
        self._path = "/"
        self._host = ""
        self._lock = asyncio.Lock()

    async def endpoint(self) -> str:
        """Where SQS is. Raises `SqsProblem`."""
        if self._http is None:
            await self._open()
        return self._url

    async def call(
        self, operation: str, members: Mapping[str, Any], wait_s: float = 0
    ) -> dict[str, Any]:
        """One call. Raises `SqsProblem`, `NoCredentials`."""
        http = self._http or await self._open()
        body = orjson.dumps(members)
        signer = await self._known_signer()
        headers = signer.headers(f"AmazonSQS.{operation}", body, self._wall_s())
        try:
            async with asyncio.timeout(wait_s + ANSWER_S_MAX):
                status, content = await http.post(self._path, headers, body, REPLY_BYTES_MAX)
        except OSError as error:
            raise SqsProblem(LOST, str(error) or type(error).__name__) from error
        return _read(status, content)

    async def _known_signer(self) -> PostSigner:
        now_s = asyncio.get_running_loop().time()
        if self._signer is None or now_s >= self._signer_until_s:
            self._signer = PostSigner(
                await _found(self._aws.credentials()),
                region=self._region,
                service="sqs",
                host=self._host,
                path=self._path,
                content_type="application/x-amz-json-1.0",
            )
            self._signer_until_s = now_s + SIGNER_KEPT_S
        return self._signer

    async def _open(self) -> HttpClient:
        async with self._lock:
            if self._http is None:
                self._url = await _found(self._aws.endpoint("sqs", self._region))
                parts = urlsplit(self._url)
                self._host, self._path = parts.netloc, parts.path or "/"
                try:
                    self._http = HttpClient(self._url)
                except ValueError as error:
                    raise SqsProblem("InvalidEndpoint", str(error)) from error
            return self._http

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
            self._http = None


async def _found(asked: Awaitable[Any]) -> Any:
    """What the SDK finds out; whatever it raises is a problem with a name."""
    try:
        async with asyncio.timeout(SIGNER_S_MAX):
            return await asked
    except RouterError:
        raise
    except Exception as error:
        raise SqsProblem(type(error).__name__, str(error)) from error


def _read(status: int, content: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        reply = None
    if not isinstance(reply, dict):
        raise SqsProblem(LOST, f"HTTP {status} with an answer that is no JSON")
    if status == 200:
        return reply
    kind = str(reply.get("__type") or f"HTTP {status}").rpartition("#")[2]
    raise SqsProblem(kind, str(reply.get("message") or reply.get("Message") or ""))
