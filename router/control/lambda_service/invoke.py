"""Invoke: run a function now and answer with what it says (`functions-and-invocation.md` 6)."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, Final, Protocol

import orjson

from router.control.context import Context
from router.control.errors import ApiError, TooLarge, not_supported
from router.control.lambda_service.names import FunctionRef, is_bare, not_found, parse_ref
from router.control.lambda_service.presenter import transition_key
from router.control.lambda_service.states import Transitions
from router.control.protocol import event_stream
from router.control.protocol.rest_json import CONTENT_TYPE
from router.control.protocol.wire import Reply, Request
from router.dispatch.response_stream import ResponseStream
from router.functions.resolve import Found, look_up
from router.model.concurrency import ACCOUNT_LIMIT
from router.model.errors import RECURSIVE, NotFound, NotInvoked
from router.model.function import InvokeReply
from router.model.limits import ASYNC_PAYLOAD_BYTES_MAX
from router.model.version import LATEST
from router.store.asynchronous import EventsFull
from router.store.catalog import Catalog

CLIENT_CONTEXT_BYTES_MAX: Final = 3_583
"""Longest client context, encoded (Lambda quota)."""

NAME_LABEL: Final = "FunctionName"
TYPE_HEADER: Final = "x-amz-invocation-type"
WAITED_FOR: Final = "RequestResponse"
OUT_OF_THE_ORDINARY: Final = frozenset(
    {
        "x-amz-client-context",
        "x-amz-durable-execution-name",
        "x-amz-log-type",
        "x-amz-tenant-id",
    }
)
"""All other headers that say something of an invocation."""

Params = dict[str, Any]


class Invoker(Protocol):
    """Runs functions for callers who wait."""

    async def invoke(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        request_id: str | None = None,
        client_context: bytes | None = None,
        trace_id: str | None = None,
        stream: ResponseStream | None = None,
    ) -> InvokeReply:
        """Run it now; the reply says which version it was. Raises `NotInvoked`, `NotFound`.

        What the function streams goes to `stream`, which is ended by who made it.
        """


class Acceptor(Protocol):
    """Takes events in that nobody waits for."""

    async def accept(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        request_id: str,
        trace_id: str | None = None,
    ) -> None:
        """Keep an event; durable when it returns. Raises `EventsFull`, `StoreError`."""


class Invocations:
    """The operations Invoke, InvokeAsync and InvokeWithResponseStream."""

    def __init__(
        self, catalog: Catalog, invoker: Invoker, acceptor: Acceptor, transitions: Transitions
    ) -> None:
        self._catalog = catalog
        self._invoker = invoker
        self._acceptor = acceptor
        self._transitions = transitions

    async def invoke(self, context: Context, params: Params) -> Params:
        """Invoke. A function's own error is a success of the call."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        kind = params.get("InvocationType", "RequestResponse")
        for member in ("DurableExecutionName", "TenantId"):
            if params.get(member):
                raise not_supported("lambda", f"Invoke with {member}")
        found = self._find(ref)
        payload = check_payload(params.get("Payload") or b"")
        if kind == "Event":
            if len(payload) > ASYNC_PAYLOAD_BYTES_MAX:
                raise TooLarge(ASYNC_PAYLOAD_BYTES_MAX, "InvokeFunction")
            trace_id = context.headers.get("x-amzn-trace-id")
            await self._accept(context, ref, found, payload, trace_id)
            return {"StatusCode": 202}
        if kind == "DryRun":
            read_client_context(params.get("ClientContext"))
            return {"StatusCode": 204}
        client_context = read_client_context(params.get("ClientContext"))
        reply = await self._run(context, ref, found, payload, client_context)
        result: Params = {
            "StatusCode": 200,
            "ExecutedVersion": reply.executed_version,
            "Payload": reply.payload,
        }
        if reply.error_type is not None:
            result["FunctionError"] = "Unhandled"
        if params.get("LogType") == "Tail":
            result["LogResult"] = base64.b64encode(reply.log_tail).decode()
        return result

    def direct_invoke(
        self, context: Context, request: Request, labels: Mapping[str, str]
    ) -> Coroutine[Any, Any, Reply] | None:
        """Invoke by a bare name, for a caller that waits and asks for nothing more.

        The same answers as by `invoke`, for a tenth less of all an invocation costs. None for
        every other form.
        """
        headers = request.headers
        if request.query or not OUT_OF_THE_ORDINARY.isdisjoint(headers):
            return None
        if headers.get(TYPE_HEADER, WAITED_FOR) != WAITED_FOR or not is_bare(labels[NAME_LABEL]):
            return None
        return self._invoke_directly(context, labels[NAME_LABEL], request.body)

    async def _invoke_directly(self, context: Context, name: str, body: bytes) -> Reply:
        ref = FunctionRef(name, None, context.region, context.account)
        found = self._find(ref)
        reply = await self._run(context, ref, found, check_payload(body))
        headers = {"X-Amz-Executed-Version": reply.executed_version, "Content-Type": CONTENT_TYPE}
        if reply.error_type is not None:
            headers = {"X-Amz-Function-Error": "Unhandled", **headers}
        return Reply(200, headers, reply.payload)

    async def invoke_with_response_stream(self, context: Context, params: Params) -> Params:
        """InvokeWithResponseStream: the reply as events, as it is made where that is streamed."""
        ref = parse_ref(context, params["FunctionName"], params.get("Qualifier"))
        if params.get("TenantId"):
            raise not_supported("lambda", "InvokeWithResponseStream with TenantId")
        found = self._find(ref)
        payload = check_payload(params.get("Payload") or b"")
        if params.get("InvocationType", "RequestResponse") == "DryRun":
            read_client_context(params.get("ClientContext"))
            return {"StatusCode": 204}
        stream = ResponseStream()
        client_context = read_client_context(params.get("ClientContext"))
        running = asyncio.create_task(
            self._run(context, ref, found, payload, client_context, stream)
        )
        running.add_done_callback(lambda task: _over(task, stream))
        has_tail = params.get("LogType") == "Tail"
        events: bytes | AsyncGenerator[bytes, None]
        if await stream.begun():
            events = _events(stream, running, has_tail=has_tail)
        else:
            reply = await running
            chunks = event_stream.payload_chunks(b"" if reply.error_type else reply.payload)
            events = b"".join((*chunks, _end(reply, has_tail=has_tail)))
        return {
            "StatusCode": 200,
            "ExecutedVersion": stream.executed_version,
            "ResponseStreamContentType": event_stream.CONTENT_TYPE,
            "EventStream": events,
        }

    async def _run(
        self,
        context: Context,
        ref: FunctionRef,
        found: Found,
        payload: bytes,
        client_context: bytes | None = None,
        stream: ResponseStream | None = None,
    ) -> InvokeReply:
        """Invoke for a caller that waits. Raises `ApiError`."""
        await self._transitions.settled(transition_key(ref.name, found.version))
        try:
            return await self._invoker.invoke(
                ref.name,
                ref.qualifier,
                payload,
                request_id=context.request_id,
                client_context=client_context,
                trace_id=context.headers.get("x-amzn-trace-id"),
                stream=stream,
            )
        except NotInvoked as error:
            raise _not_invoked(ref, error) from None
        except NotFound:
            raise _missing(ref) from None

    async def invoke_async(self, context: Context, params: Params) -> Params:
        """InvokeAsync: the older form of an Event invocation; hands no trace on."""
        ref = parse_ref(context, params["FunctionName"])
        found = self._find(ref)
        payload = check_payload(params.get("InvokeArgs") or b"")
        await self._accept(context, ref, found, payload, None)
        return {"Status": 202}

    async def _accept(
        self,
        context: Context,
        ref: FunctionRef,
        found: Found,
        payload: bytes,
        trace_id: str | None,
    ) -> None:
        """Keep an event; whoever called hears no more of it."""
        await self._transitions.settled(transition_key(ref.name, found.version))
        try:
            await self._acceptor.accept(
                ref.name,
                ref.qualifier,
                payload,
                request_id=context.request_id,
                trace_id=trace_id,
            )
        except EventsFull:
            raise _throttled("ReservedFunctionInvocationRateLimitExceeded") from None

    def _find(self, ref: FunctionRef) -> Found:
        found = look_up(self._catalog, ref.name, ref.qualifier)
        if found is None:
            raise _missing(ref)
        return found


async def _events(
    stream: ResponseStream, running: "asyncio.Task[InvokeReply]", *, has_tail: bool
) -> AsyncGenerator[bytes, None]:
    """The events of a response, as it is made; the last one says how it ended."""
    try:
        async for chunk in stream.chunks():
            for event in event_stream.payload_chunks(chunk):
                yield event
        yield _end(await running, has_tail=has_tail)
    finally:
        stream.close()


def _end(reply: InvokeReply, *, has_tail: bool) -> bytes:
    """The `InvokeComplete` event of a reply."""
    members: Params = {}
    if reply.error_type is not None:
        members["ErrorCode"] = reply.error_type
        members["ErrorDetails"] = reply.payload.decode("utf-8", "replace")
    if has_tail:
        members["LogResult"] = base64.b64encode(reply.log_tail).decode()
    return event_stream.invoke_complete(members)


def _over(task: "asyncio.Task[InvokeReply]", stream: ResponseStream) -> None:
    """An invocation has ended, whether or not anybody still waits for it."""
    stream.end()
    if not task.cancelled():
        task.exception()


def check_payload(payload: bytes) -> bytes:
    """The event as it goes to the function: `{}` for nothing. Raises `ApiError` if not JSON."""
    if not payload.strip():
        return b"{}"
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: Could not parse payload into json: {error}",
        ) from None
    return payload


def read_client_context(text: str | None) -> bytes | None:
    """The client context's JSON. Raises `ApiError`."""
    if not text:
        return None
    refusal = ApiError(
        "InvalidRequestContentException",
        "Client context must be a valid Base64-encoded JSON object.",
    )
    if len(text) > CLIENT_CONTEXT_BYTES_MAX:
        raise ApiError(
            "InvalidRequestContentException",
            f"Client context must be no more than {CLIENT_CONTEXT_BYTES_MAX} bytes.",
        )
    try:
        decoded = base64.b64decode(text, validate=True)
        document = orjson.loads(decoded)
    except ValueError:
        raise refusal from None
    if not isinstance(document, dict):
        raise refusal
    return decoded


def _missing(ref: FunctionRef) -> ApiError:
    return not_found(f"Function not found: {ref.arn(ref.qualifier or LATEST)}")


def _throttled(reason: str) -> ApiError:
    return ApiError(
        "TooManyRequestsException",
        "Rate Exceeded.",
        members={"Reason": reason, "retryAfterSeconds": "1"},
    )


def _not_invoked(ref: FunctionRef, error: NotInvoked) -> ApiError:
    match error.reason:
        case "throttled":
            return _throttled(error.detail or ACCOUNT_LIMIT)
        case "function_missing":
            return _missing(ref)
        case "recursive":
            return ApiError(RECURSIVE, str(error))
        case "stopping":
            return ApiError(
                "ServiceUnavailableException",
                "The router is stopping.",
                status=503,
                kind="Service",
            )
        case _:
            return ApiError(
                "ServiceException",
                f"The function could not be started: {error}",
                status=500,
                kind="Service",
            )
