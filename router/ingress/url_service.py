"""What a function's URL answers (`functions-and-invocation.md` 10), in the router itself.

Who may call, what web pages may, the event, the invocation, and the reply as a response.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import structlog

from router.auth import sigv4
from router.auth.sigv4 import SignatureRefused
from router.dispatch.entropy import Entropy
from router.dispatch.request_ids import RequestIds
from router.dispatch.response_stream import ResponseStream
from router.functions.url_policy import UrlPolicy, Visitor
from router.ingress import cors
from router.ingress.url_desk import Rest
from router.ingress.url_stream import WAITING_BYTES_MAX, StreamedReply
from router.model.arn import function_arn
from router.model.errors import RECURSIVE, NotFound, NotInvoked
from router.model.function import InvokeReply
from router.model.function_url import FunctionUrl, UrlAnswer, UrlCall
from router.model.limits import EVENT_BYTES_MAX
from router.model.permission import Permission
from router.model.version import LATEST
from router.outcomes.http_reply import http_reply
from router.sources.url_event import Signer, url_event
from router.store.base import Change
from router.store.catalog import Catalog, named, own_name
from router.telemetry import metrics
from router.telemetry.cells import Count

log = structlog.get_logger(__name__)

FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)

WRONG_SIGNATURE: Final = (
    "InvalidSignatureException",
    (
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    ),
)
WRONG_SCOPE: Final = (
    "InvalidSignatureException",
    "Credential should be scoped to correct service: 'lambda'. ",
)
NO_KEY: Final = (
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
)
"""What is said to a signature that does not prove who asks: error type and text."""

RESPONSE_STREAM: Final = "RESPONSE_STREAM"

ROOT_DIGITS: Final = 24
"""Random hexadecimal digits of a trace that begins with a request."""

_ANYBODY: Final = "any"

Reply = tuple[UrlAnswer, StreamedReply | None]
"""An answer, and the rest of one that is sent while it is made."""


class UrlInvoker(Protocol):
    """What runs functions for callers that wait."""

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        request_id: str | None = None,
        trace_id: str | None = None,
        stream: ResponseStream | None = None,
    ) -> InvokeReply:
        """Run it now. Raises `NotInvoked`, `NotFound`.

        What the function streams goes to `stream`, which is ended by who made it.
        """


SecretOf = Callable[[str], str | None]
"""Access key id → its secret; None for one nobody holds."""


class UrlService:
    """Answers calls. A URL is found as soon as the catalog has it."""

    def __init__(
        self,
        catalog: Catalog,
        invoker: UrlInvoker,
        *,
        region: str,
        account: str,
        secret_of: SecretOf | None,
        wall_ms: Callable[[], int],
    ) -> None:
        """`secret_of` None: the API takes any key.

        Signatures are asked for and not checked then, and no policy keeps anybody out.
        """
        self._catalog = catalog
        self._invoker = invoker
        self._region = region
        self._account = account
        self._secret_of = secret_of
        self._wall_ms = wall_ms
        self._urls: dict[str, FunctionUrl] = {}
        self._policies: dict[str, UrlPolicy] = {}
        """By the URL's id; none where none is enforced."""
        self._counts: dict[str, _Counts] = {}
        """By the name of the function."""
        self._running: set[asyncio.Task[InvokeReply]] = set()
        """What streams; its caller may be gone."""
        self._ids = RequestIds()
        self._entropy = Entropy()
        self.port = 80
        """Where the ingress listener is."""
        self._index()
        catalog.listen(self._hear)

    async def answer(self, call: UrlCall) -> tuple[UrlAnswer, Rest | None]:
        """The answer to a call. Raises nothing a function or a client can bring about."""
        began_s = time.perf_counter()
        wall_ms = self._wall_ms()
        url = self._urls.get(call.url_id)
        request_id, trace_id = self._ids.next(), self._trace_id(call.headers, wall_ms)
        if url is None:
            answer, rest = _refused(403, "AccessDeniedException", None), None
        else:
            answer, rest = await self._answer(url, call, request_id, trace_id, wall_ms)
            counts = self._counts.get(url.function) or self._counts_of(url.function)
            if rest is None:
                counts.count(answer.status, began_s)
            else:
                status = answer.status
                rest.over = lambda is_whole: counts.count(status if is_whole else 502, began_s)
        answer.number = call.number
        answer.headers += (("x-amzn-requestid", request_id), ("x-amzn-trace-id", trace_id))
        return answer, rest

    async def _answer(
        self, url: FunctionUrl, call: UrlCall, request_id: str, trace_id: str, wall_ms: int
    ) -> Reply:
        """The answer, with what web pages are told."""
        if url.cors is not None and (preflight := cors.preflight(call, url.cors)) is not None:
            return preflight, None
        event = self._event(url, call, request_id, trace_id, wall_ms)
        if isinstance(event, UrlAnswer):
            answer, rest = event, None
        else:
            try:
                answer, rest = await self._run(url, event, request_id, trace_id)
            except NotFound:
                answer, rest = _refused(403, "AccessDeniedException", FORBIDDEN), None
            except NotInvoked as error:
                answer, rest = _not_invoked(error, url), None
        if url.cors is not None:
            answer = cors.shared(answer, url.cors, call.headers)
        return answer, rest

    def _event(
        self, url: FunctionUrl, call: UrlCall, request_id: str, trace_id: str, wall_ms: int
    ) -> bytes | UrlAnswer:
        """The event of a request that may be made; else what it is answered."""
        signer = self._signer(call) if url.is_signed else None
        if isinstance(signer, UrlAnswer):
            return signer
        if not self._has_function(url) or not self._is_let_in(url, call, signer):
            return _refused(403, "AccessDeniedException", FORBIDDEN)
        event = url_event(
            call,
            domain=call.headers.get("host", "").partition(":")[0],
            request_id=request_id,
            trace_id=trace_id,
            port=self.port,
            wall_ms=wall_ms,
            signer=signer,
        )
        if len(event) > EVENT_BYTES_MAX:
            text = (
                f"Request must be smaller than {EVENT_BYTES_MAX} bytes for the InvokeFunction "
                "operation"
            )
            return _refused(413, "RequestEntityTooLargeException", text)
        return event

    async def _run(self, url: FunctionUrl, event: bytes, request_id: str, trace_id: str) -> Reply:
        """Invoke, and make an answer of the reply. Raises `NotInvoked`, `NotFound`."""
        qualifier = None if url.qualifier == LATEST else url.qualifier
        stream = None
        if url.invoke_mode == RESPONSE_STREAM:
            stream = ResponseStream(WAITING_BYTES_MAX)
        invoking = self._invoker.invoke(
            url.function, qualifier, event, request_id=request_id, trace_id=trace_id, stream=stream
        )
        if stream is None:
            return _answered(await invoking), None
        running = asyncio.ensure_future(invoking)
        self._running.add(running)
        running.add_done_callback(lambda task: self._ended(task, stream))
        if not await stream.begun():
            return _answered(await running), None
        streamed = StreamedReply(stream, running)
        answer = await streamed.answer()
        if answer is None:
            return _bad_gateway(), None
        return answer, streamed if answer.is_open else None

    def _ended(self, task: "asyncio.Task[InvokeReply]", stream: ResponseStream) -> None:
        """An invocation has ended, whether or not anybody still waits for it."""
        self._running.discard(task)
        stream.end()
        if not task.cancelled():
            task.exception()

    def _has_function(self, url: FunctionUrl) -> bool:
        """Whether the function and the alias are still there."""
        if url.function not in self._catalog.functions:
            return False
        if url.qualifier == LATEST:
            return True
        return own_name(url.function, url.qualifier) in self._catalog.aliases

    def _is_let_in(self, url: FunctionUrl, call: UrlCall, signer: Signer | None) -> bool:
        """Whether the policy of the function, or of the alias, lets a request through."""
        policy = self._policies.get(url.id)
        if policy is None:
            return True
        whose = ("", "") if signer is None else (signer.account, signer.arn)
        why_not = policy.why_not(Visitor(call.peer, *whose))
        if why_not is not None:
            log.info("url_refused", function=url.function, url_id=url.id, why=why_not)
        return why_not is None

    def _signer(self, call: UrlCall) -> Signer | UrlAnswer:
        """Who signed the request; else what it is answered."""
        try:
            claim = sigv4.read_claim(call.headers, call.query)
        except SignatureRefused:
            claim = None  # an Authorization header of another kind, too
        if claim is None:
            return _refused(403, "AccessDeniedException", FORBIDDEN)
        if claim.service != "lambda":
            return _not_signed(WRONG_SCOPE)
        key = claim.access_key_id
        secret = None if self._secret_of is None else self._secret_of(key)
        if self._secret_of is not None:
            try:
                sigv4.verify(
                    claim,
                    secret or _ANYBODY,
                    method=call.method,
                    path=call.prefix + call.path,
                    query=call.query,
                    headers=call.headers,
                    body=call.body,
                    now=datetime.fromtimestamp(self._wall_ms() / 1000, UTC),
                )
            except SignatureRefused as error:
                log.info("url_signature_refused", url_id=call.url_id, error=str(error))
                return _not_signed(NO_KEY if secret is None else WRONG_SIGNATURE)
            if secret is None:
                return _not_signed(NO_KEY)
        return Signer(key, self._account, f"arn:aws:iam::{self._account}:user/{key}")

    def _trace_id(self, headers: Mapping[str, str], wall_ms: int) -> str:
        given = headers.get("x-amzn-trace-id")
        if given and given.isascii() and given.isprintable():
            return given
        return f"Root=1-{wall_ms // 1000:08x}-{self._entropy.take(ROOT_DIGITS)}"

    def _counts_of(self, function: str) -> "_Counts":
        counts = self._counts[function] = _Counts(function)
        return counts

    def _hear(self, changes: Sequence[Change]) -> None:
        if any(kind in {"function_url", "permission"} for kind, _ in named(changes)):
            self._index()

    def _index(self) -> None:
        self._urls = {url.id: url for url in self._catalog.function_urls.values()}
        if self._secret_of is None:
            return
        found: dict[tuple[str, str], list[Permission]] = {}
        for permission in self._catalog.permissions.values():
            found.setdefault((permission.function, permission.qualifier), []).append(permission)
        self._policies = {
            url_id: UrlPolicy(
                found.get((url.function, url.qualifier), ()),
                self._arn(url),
                account=self._account,
                is_signed=url.is_signed,
            )
            for url_id, url in self._urls.items()
        }

    def _arn(self, url: FunctionUrl) -> str:
        qualifier = None if url.qualifier == LATEST else url.qualifier
        return function_arn(self._region, self._account, url.function, qualifier)


class _Counts:
    """What is counted of the URLs of one function, the children of its metrics looked up once."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._durations = metrics.URL_DURATION.labels(function)
        self._statuses: dict[int, Count] = {}

    def count(self, status: int, began_s: float) -> None:
        """One request has its whole answer."""
        counter = self._statuses.get(status)
        if counter is None:
            counter = metrics.URL_REQUESTS.labels(self._function, f"{status // 100}xx")
            self._statuses[status] = counter
        counter.inc()
        self._durations.observe(time.perf_counter() - began_s)


def _answered(reply: InvokeReply) -> UrlAnswer:
    if reply.error_type is not None:
        return _bad_gateway()
    response = http_reply(reply.payload)
    if response is None:
        return _bad_gateway()
    return UrlAnswer(0, response.status, [*response.headers], response.body)


def _bad_gateway() -> UrlAnswer:
    return UrlAnswer(0, 502, [("content-type", "text/plain")], b"Internal Server Error")


def _not_invoked(error: NotInvoked, url: FunctionUrl) -> UrlAnswer:
    match error.reason:
        case "throttled":
            return _refused(429, "TooManyRequestsException", "Rate Exceeded.")
        case "function_missing":
            return _refused(403, "AccessDeniedException", FORBIDDEN)
        case "recursive":
            return _refused(400, RECURSIVE, str(error))
        case "stopping":
            return _refused(503, "ServiceUnavailableException", "The router is stopping.")
        case _:
            log.warning("url_not_invoked", function=url.function, error=str(error))
            return _bad_gateway()


def _refused(status: int, error_type: str, message: str | None) -> UrlAnswer:
    body: dict[str, Any] = {"Message": message}
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error_type)]
    if status in {429, 503}:
        headers.append(("retry-after", "1"))
    return UrlAnswer(0, status, headers, orjson.dumps(body))


def _not_signed(why: tuple[str, str]) -> UrlAnswer:
    """Of a request whose signature is none: the member is `message` there, as on AWS."""
    error_type, text = why
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error_type)]
    return UrlAnswer(0, 403, headers, orjson.dumps({"message": text}))
