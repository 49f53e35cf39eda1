"""From a request to an operation of a service and back: no HTTP library, no sockets.

Order of telling services apart (`bus-http-and-schedules.md` 0): `X-Amz-Target`, the path, a form's
`Action` with the service a signature names, its `Version` or a queue's path.
"""

import re
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
from router.control.protocol.paths import Routes
from router.control.protocol.wire import Parsed, Reply, Request, parse_json
from router.control.service import ModelledService, PlainService
from router.model.errors import RouterError, StoreFull
from router.telemetry import metrics
from router.telemetry.cells import Count

log = structlog.get_logger()

FORM: Final = "application/x-www-form-urlencoded"
QUEUE_PATH: Final = re.compile(r"/[0-9]{12}/[^/]+/?", re.ASCII)
"""The path of a queue's URL, where the query protocol may be spoken too."""

NOT_AT_A_QUEUE: Final = frozenset({"CreateQueue", "ListQueues"})
"""Actions that are asked for at `/` only."""

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
    is_form: bool = False
    """The query protocol."""
    form: dict[str, str] | None = None
    """Its fields, once they were read."""

    @property
    def action(self) -> str:
        """`service:Operation`."""
        return f"{self.service_name}:{self.operation}"

    @property
    def service_name(self) -> str:
        """What clients sign with; `unknown` of none."""
        return self.service.name if self.service is not None else "unknown"


class Dispatcher:
    """Finds the operation, checks who calls and what with, calls it, answers."""

    def __init__(self, authenticator: Authenticator, region: str, account: str) -> None:
        self._authenticator = authenticator
        self._region = region
        self._account = account
        self._services: dict[str, Service] = {}
        self._targets: dict[str, Service] = {}
        self._rest: list[tuple[ModelledService, Routes]] = []
        self._logged: set[tuple[str, str, str]] = set()
        self._answered: dict[tuple[str, str, int], Count] = {}

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
        if isinstance(service, ModelledService) and service.routes is not None:
            self._rest.append((service, service.routes))

    def locate(self, head: Request, raw_query: str) -> Call:
        """What the head of a request asks for. Never raises: the call carries the problem."""
        target = head.headers.get("x-amz-target")
        if target is not None:
            prefix, _, operation = target.rpartition(".")
            service = self._targets.get(prefix)
            if service is None:
                text = f"The target {target!r} is not served by this version of Event Router."
                return Call(None, "", problem=unknown_operation(text))
            return self._known(Call(service, operation))
        return self._by_path(head) or self._by_form(head, raw_query)

    def _by_path(self, head: Request) -> Call | None:
        for service, routes in self._rest:
            try:
                found = routes.find(head.method, head.path, head.query)
            except Malformed as problem:
                return Call(service, "", problem=problem)
            if found is not None:
                return Call(service, *found)
        return None

    def _by_form(self, head: Request, raw_query: str) -> Call:
        """The query protocol, told by the service a signature names or where it is spoken."""
        try:
            claim = self._authenticator.claim(head, raw_query)
        except ApiError as refusal:
            return Call(None, "", refusal=refusal)
        scoped = self._services.get(claim.service) if claim is not None else None
        has_dialect = isinstance(scoped, ModelledService) and scoped.dialect is not None
        is_queue = QUEUE_PATH.fullmatch(head.path) is not None
        is_form = head.headers.get("content-type", "").startswith(FORM)
        has_action = bool(head.query) and any(key == "Action" for key, _value in head.query)
        if has_dialect or is_queue or (head.path == "/" and (is_form or has_action)):
            return Call(scoped if has_dialect else None, "", claim=claim, is_form=True)
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

    def complete(self, call: Call, request: Request) -> Call:
        """The call with what its body tells: the service and operation a form names.

        Never raises: the call carries the problem.
        """
        if not call.is_form or call.form is not None or call.problem or call.refusal:
            return call
        try:
            form = query.fields(request)
        except Malformed as problem:
            return msgspec.structs.replace(call, problem=problem, form={})
        action = form.get("Action", "")
        service = call.service or self._speaker(form, request.path)
        call = msgspec.structs.replace(call, service=service, form=form)
        if not isinstance(service, ModelledService) or action not in service.model.operations:
            return msgspec.structs.replace(call, problem=_bad_action(service, action))
        if service.name == "sqs" and QUEUE_PATH.fullmatch(request.path):
            if action in NOT_AT_A_QUEUE:
                return msgspec.structs.replace(call, problem=_bad_action(service, action))
            form.setdefault("QueueUrl", request.path)
        return msgspec.structs.replace(call, operation=action)

    def _speaker(self, form: Mapping[str, str], path: str) -> Service | None:
        """Which service an unsigned form is for: by its version, a queue's path, its action."""
        speakers = [
            service
            for service in self._services.values()
            if isinstance(service, ModelledService) and service.dialect is not None
        ]
        version, action = form.get("Version"), form.get("Action", "")
        for service in speakers:
            if service.dialect is not None and service.dialect.version == version:
                return service
        if QUEUE_PATH.fullmatch(path):
            return self._services.get("sqs")
        knowing = [service for service in speakers if action in service.model.operations]
        return knowing[0] if len(knowing) == 1 else None

    async def answer(
        self, call: Call, request: Request, raw_query: str, base_url: str, request_id: str
    ) -> Reply:
        """Answer a call. Never raises but for cancellation."""
        try:
            principal = self._principal(call, request, raw_query)
            call = self.complete(call, request)
            _must_be_sound(call)
            authorize(principal, call.service_name, call.operation)
            context = Context(
                call.service_name,
                call.operation,
                request_id,
                self._region,
                self._account,
                base_url,
                request.headers,
                principal,
            )
            direct = None if call.service is None else call.service.direct.get(call.operation)
            answer = None if direct is None else direct(context, request, call.labels)
            reply = await (answer or self._run(call, context, request))
        except ApiError as problem:
            reply = failure(call, problem, request_id)
        except StoreFull as error:
            reply = failure(call, _unavailable(str(error)), request_id)
        except RouterError as error:
            reply = failure(call, _own_error(call, error), request_id)
        except Exception:
            log.exception("api_call_failed", action=call.action, request_id=request_id)
            reply = failure(call, _internal(), request_id)
        self._count(call, reply.status)
        reply.headers["x-amzn-RequestId"] = request_id
        return reply

    def _count(self, call: Call, status: int) -> None:
        key = (call.service_name, call.operation, status)
        counter = self._answered.get(key)
        if counter is None:
            labels = (key[0], key[1] or "unknown", str(status))
            counter = self._answered[key] = metrics.API_REQUESTS.labels(*labels)
        counter.inc()

    def _principal(self, call: Call, request: Request, raw_query: str) -> Principal | None:
        if call.refusal is not None:
            raise call.refusal
        claim = call.claim
        if claim is None and self._authenticator.is_closed:
            claim = self._authenticator.claim(request, raw_query)
        return self._authenticator.check(claim, request, raw_query)

    async def _run(self, call: Call, context: Context, request: Request) -> Reply:
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
            binding = service.binding(call.operation)
            parsed = rest_json.parse(model, binding, request, call.labels)
        elif call.form is not None and service.dialect is not None:
            parsed = query.parse(model, operation, call.form, service.dialect)
        else:
            parsed = aws_json.parse(model, operation, request)
        self._note_unknown(call, parsed)
        service.check(call.operation, parsed.params)
        result = await handler(context, parsed.params) or {}
        if model.protocol == "rest-json":
            return rest_json.serialize(model, service.binding(call.operation), result)
        if call.form is not None and service.dialect is not None:
            return query.serialize(
                model, call.operation, operation, result, context.request_id, service.dialect
            )
        return aws_json.serialize(model, operation, result)

    def _note_unknown(self, call: Call, parsed: Parsed) -> None:
        """Members the model does not know are accepted, as AWS does: said once and counted."""
        for member in parsed.unknown:
            metrics.UNKNOWN_MEMBERS.labels(call.service_name, call.operation).inc()
            key = (call.service_name, call.operation, member[:100])
            if key not in self._logged and len(self._logged) < UNKNOWN_MEMBERS_LOGGED_MAX:
                self._logged.add(key)
                log.warning("unknown_member_ignored", action=call.action, member=key[2])


def failure(call: Call, problem: ApiError, request_id: str) -> Reply:
    """An error in the protocol of the service that was asked."""
    service = call.service
    if isinstance(service, PlainService):
        return aws_json.error(problem, None, "1.1", None)
    if service is None and call.form and call.form.get("Action"):
        return query.error(query.Dialect("", ""), problem, request_id)  # for any service's clients
    if service is None:
        # Both ways of naming an error at once: any SDK reads one of them.
        reply = aws_json.error(problem, None, "1.1", None)
        reply.headers["x-amzn-ErrorType"] = problem.shape
        return reply
    model = service.model
    if model.protocol == "rest-json":
        return rest_json.error(model, problem)
    if call.is_form and service.dialect is not None:
        if isinstance(problem, NoAction):
            return query.no_operation()
        return query.error(service.dialect, problem, request_id)
    shape = model.shapes.get(problem.shape)
    status = shape.status if shape is not None else None
    return aws_json.error(problem, model.target_prefix, model.json_version, status)


def _must_be_sound(call: Call) -> None:
    """Raise what keeps the call from being made."""
    if call.problem is not None:
        raise call.problem


class NoAction(ApiError):
    """A form names no operation."""

    code = "no_action"


def _bad_action(service: Service | None, action: str) -> ApiError:
    """An action that is not there, or not here."""
    if service is None or service.name != "sqs":
        return unknown_operation(f"The action {action[:100]!r} is not served.")
    if not action:
        return NoAction("UnknownOperationException", "The request names no action.", status=404)
    return ApiError("InvalidAction", f"The action {action[:100]} is not valid for this endpoint.")


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
