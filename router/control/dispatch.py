"""From a request to an operation of a service and back: no HTTP library, no sockets.

Order of telling services apart (`bus-http-and-schedules.md` 0): `X-Amz-Target`, the form field
`Action`, the service a signature names, the path.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import orjson
import structlog

from router.auth.sigv4 import Claim
from router.control.auth import Authenticator, authorize
from router.control.context import Context, Principal
from router.control.errors import ApiError, Malformed, not_supported, unknown_operation
from router.control.protocol import aws_json, query, rest_json
from router.control.protocol.wire import Parsed, Reply, Request, parse_json
from router.control.service import ModelledService, PlainService
from router.model.errors import RouterError, StoreFull
from router.telemetry import metrics

log = structlog.get_logger()

FORM: Final = "application/x-www-form-urlencoded"
UNKNOWN_MEMBERS_LOGGED_MAX: Final = 1_000
"""Unknown members are logged once each, up to this many different ones."""

Service = ModelledService | PlainService


class Call(msgspec.Struct, frozen=True):
    """What a request is for, as far as its head tells."""

    service: Service | None
    operation: str
    """Empty when only the body tells."""
    labels: dict[str, str] = {}
    claim: Claim | None = None
    problem: ApiError | None = None
    """Why nothing can be called."""
    refusal: ApiError | None = None
    """Why nobody can be told from the signature."""

    @property
    def action(self) -> str:
        """`service:Operation`."""
        name = self.service.name if self.service is not None else "unknown"
        return f"{name}:{self.operation}"


class Dispatcher:
    """Finds the operation, checks who calls and what with, calls it, answers."""

    def __init__(self, authenticator: Authenticator, region: str, account: str) -> None:
        self._authenticator = authenticator
        self._region = region
        self._account = account
        self._services: dict[str, Service] = {}
        self._targets: dict[str, Service] = {}
        self._logged: set[tuple[str, str, str]] = set()

    def add(self, service: Service) -> None:
        """Serve a service."""
        self._services[service.name] = service
        prefix = (
            service.target_prefix
            if isinstance(service, PlainService)
            else service.model.target_prefix
        )
        if prefix:
            self._targets[prefix] = service

    def locate(self, head: Request, raw_query: str) -> Call:
        """What the head of a request asks for. Never raises: the call carries the problem."""
        try:
            claim = self._authenticator.claim(head, raw_query)
        except ApiError as refusal:
            return Call(None, "", refusal=refusal)
        target = head.headers.get("X-Amz-Target")
        if target is not None:
            prefix, _, operation = target.rpartition(".")
            service = self._targets.get(prefix)
            if service is None:
                text = f"The target {target!r} is not served by this version of Event Router."
                return Call(None, "", claim=claim, problem=unknown_operation(text))
            return self._known(Call(service, operation, claim=claim))
        scoped = self._services.get(claim.service) if claim is not None else None
        if isinstance(scoped, ModelledService) and scoped.routes is None:
            return Call(scoped, "", claim=claim)
        if head.headers.get("Content-Type", "").startswith(FORM):
            return Call(scoped or self._services.get("sts"), "", claim=claim)
        return self._by_path(head, claim)

    def _by_path(self, head: Request, claim: Claim | None) -> Call:
        for service in self._services.values():
            if not isinstance(service, ModelledService) or service.routes is None:
                continue
            try:
                found = service.routes.find(head.method, head.path, head.query)
            except Malformed as problem:
                return Call(service, "", claim=claim, problem=problem)
            if found is not None:
                operation, labels = found
                return Call(service, operation, labels, claim)
        named = f" of {claim.service}" if claim is not None else ""
        text = (
            f"{head.method} {head.path[:200]}{named} is not served by this version of Event Router."
        )
        return Call(None, "", claim=claim, problem=unknown_operation(text))

    def _known(self, call: Call) -> Call:
        """A call by name with its problem when nobody knows the name."""
        service = call.service
        if service is None:
            return call
        names: Mapping[str, object] = (
            service.operations if isinstance(service, PlainService) else service.model.operations
        )
        if call.operation in names:
            return call
        text = f"{service.name} has no operation {call.operation[:100]!r}."
        return msgspec.structs.replace(call, operation="", problem=unknown_operation(text))

    async def answer(
        self, call: Call, request: Request, raw_query: str, base_url: str, request_id: str
    ) -> Reply:
        """Answer a call. Never raises but for cancellation."""
        try:
            principal = self._principal(call, request, raw_query)
            call, form = self._complete(call, request)
            authorize(principal, *call.action.split(":", 1))
            context = Context(
                call.action.split(":", 1)[0],
                call.operation,
                request_id,
                self._region,
                self._account,
                base_url,
                request.headers,
                principal,
            )
            reply = await self._run(call, context, request, form)
        except ApiError as problem:
            reply = failure(call, problem, request_id)
        except StoreFull as error:
            reply = failure(call, _unavailable(str(error)), request_id)
        except RouterError as error:
            reply = failure(call, _own_error(call, error), request_id)
        except Exception:
            log.exception("api_call_failed", action=call.action, request_id=request_id)
            reply = failure(call, _internal(), request_id)
        service, operation = call.action.split(":", 1)
        metrics.API_REQUESTS.labels(service, operation or "unknown", str(reply.status)).inc()
        reply.headers["x-amzn-RequestId"] = request_id
        return reply

    def _principal(self, call: Call, request: Request, raw_query: str) -> Principal | None:
        if call.refusal is not None:
            raise call.refusal
        return self._authenticator.check(call.claim, request, raw_query)

    def _complete(self, call: Call, request: Request) -> tuple[Call, dict[str, str]]:
        """The call with the operation a form names. Raises what keeps it from being made."""
        service = call.service
        if call.problem is not None:
            raise call.problem
        if call.operation or not isinstance(service, ModelledService):
            return call, {}
        if service.model.protocol != "query":
            raise ApiError(
                "UnsupportedProtocol",
                f"{service.name} is served over AWS JSON only, not the query protocol; "
                "use a current SDK.",
                kind=None,
            )
        form = query.fields(request)
        call = self._known(msgspec.structs.replace(call, operation=form.get("Action", "")))
        if call.problem is not None:
            raise call.problem
        return call, form

    async def _run(
        self, call: Call, context: Context, request: Request, form: dict[str, str]
    ) -> Reply:
        service = call.service
        if isinstance(service, PlainService):
            document = await service.operations[call.operation](parse_json(request.body))
            headers = {"Content-Type": aws_json.content_type("1.1")}
            return Reply(200, headers, orjson.dumps(document))
        if service is None:
            raise not_supported("unknown", call.operation)
        model, operation = service.model, service.model.operations[call.operation]
        handler = service.handler(call.operation)
        if model.protocol == "rest-json":
            parsed = rest_json.parse(model, operation, request, call.labels)
        elif model.protocol == "query":
            parsed = query.parse(model, operation, form)
        else:
            parsed = aws_json.parse(model, operation, request)
        self._note_unknown(call, parsed)
        service.check(call.operation, parsed.params)
        result = await handler(context, parsed.params) or {}
        if model.protocol == "rest-json":
            return rest_json.serialize(model, operation, result)
        if model.protocol == "query":
            return query.serialize(model, call.operation, operation, result, context.request_id)
        return aws_json.serialize(model, operation, result)

    def _note_unknown(self, call: Call, parsed: Parsed) -> None:
        """Members the model does not know are accepted, as AWS does: said once and counted."""
        service, operation = call.action.split(":", 1)
        for member in parsed.unknown:
            metrics.UNKNOWN_MEMBERS.labels(service, operation).inc()
            key = (service, operation, member[:100])
            if key not in self._logged and len(self._logged) < UNKNOWN_MEMBERS_LOGGED_MAX:
                self._logged.add(key)
                log.warning("unknown_member_ignored", action=call.action, member=key[2])


def failure(call: Call, problem: ApiError, request_id: str) -> Reply:
    """An error in the protocol of the service that was asked."""
    service = call.service
    if isinstance(service, PlainService):
        return aws_json.error(problem, None, "1.1", None)
    if service is None:
        # Both ways of naming an error at once: any SDK reads one of them.
        reply = aws_json.error(problem, None, "1.1", None)
        reply.headers["x-amzn-ErrorType"] = problem.shape
        return reply
    model = service.model
    if model.protocol == "rest-json":
        return rest_json.error(model, problem)
    if model.protocol == "query":
        return query.error(model, problem, request_id)
    shape = model.shapes.get(problem.shape)
    status = shape.status if shape is not None else None
    return aws_json.error(problem, model.target_prefix, model.json_version, status)


def _unavailable(text: str) -> ApiError:
    return ApiError(
        "ServiceUnavailableException",
        f"The router cannot take this now: {text}",
        status=503,
        kind="Service",
        query_code="ServiceUnavailable",
    )


def _own_error(call: Call, error: RouterError) -> ApiError:
    """Our private service tells its errors as they are; elsewhere they are ours to explain."""
    if isinstance(call.service, PlainService):
        return ApiError(error.code, str(error), status=400, kind=None)
    log.error("api_call_failed", action=call.action, code=error.code, text=str(error))
    return _internal()


def _internal() -> ApiError:
    return ApiError(
        "ServiceException",
        "The router failed to answer; its log says why.",
        status=500,
        kind="Service",
        query_code="InternalFailure",
    )
