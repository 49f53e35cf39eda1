"""Event source mappings: create, read, change, delete (`event-source-mappings.md` 1)."""

import base64
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service.mapping_shown import Status, listed_mapping, shown_mapping
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    parse_ref,
)
from router.control.lambda_service.settings import TAGS_MAX, TOO_MANY_TAGS
from router.control.model import ServiceModel
from router.control.validate import validate
from router.functions.resolve import has_qualifier, look_up
from router.mapping.rules import check, destination, neighbours, scaling
from router.mapping.rules.refusal import Conflict, Refusal
from router.mapping.rules.settings import merged, with_settings
from router.mapping.rules.source import source_kind
from router.model.arn import function_arn, parse_arn
from router.model.errors import RouterError
from router.model.hosting import BARE, Hosting
from router.model.limits import KAFKA_FACTOR_MAX
from router.model.resources import Mapping
from router.model.source_kind import KAFKAS, QUEUES, SourceKind
from router.store.base import Delete, DropProgress
from router.store.catalog import Catalog, put

LIST_PAGE: Final = 100
"""Mappings of one page (P6)."""

DELETED_KEPT_MAX: Final = 1_000
"""Deleted mappings remembered while they drain."""

Params = dict[str, Any]


class MappingRuntime(Protocol):
    """Who runs mappings: `mapping.manager.MappingManager`."""

    def status(self, uuid: str) -> Status:
        """State and result of a mapping."""

    def is_draining(self, uuid: str) -> bool:
        """Whether a deleted mapping still runs."""


class QueuesElsewhere(Protocol):
    """Queues that are not of this router: `app.aws_queues.AwsQueues`."""

    async def visibility_s(self, arn: str) -> int | None:
        """The queue's visibility timeout; None: there is no such queue. Raises `RouterError`."""


class Mappings:
    """One method per operation of the model."""

    def __init__(
        self,
        catalog: Catalog,
        runtime: MappingRuntime,
        wall_ms: Callable[[], int],
        hosting: Hosting = BARE,
        elsewhere: QueuesElsewhere | None = None,
    ) -> None:
        """`elsewhere` knows the queues where queue ARNs do not mean this router's own."""
        self._elsewhere = elsewhere
        self._catalog = catalog
        self._runtime = runtime
        self._wall_ms = wall_ms
        self._hosting = hosting
        self._deleted: dict[str, Mapping] = {}
        self._kafka_model: ServiceModel | None = None

    def check(self, model: ServiceModel, operation: str, params: Params) -> None:
        """The model's constraints. Kafka takes a larger ParallelizationFactor than AWS knows."""
        if params.get("ParallelizationFactor") and self._is_of_kafka(params):
            if self._kafka_model is None:
                self._kafka_model = _with_kafka_factor(model)
            model = self._kafka_model
        validate(model, model.operations[operation].input, params)

    def _is_of_kafka(self, params: Params) -> bool:
        known = self._catalog.mappings.get(params.get("UUID", ""))
        if known is not None:
            return known.kind in KAFKAS
        try:
            return source_kind(params) in KAFKAS
        except Refusal:
            return False

    async def create_event_source_mapping(self, context: Context, params: Params) -> Params:
        """CreateEventSourceMapping. The order of checks is the contract's (1.5)."""
        now_ms = self._wall_ms()
        _raise_first(check.problems(params, now_ms / 1000))
        if len(params.get("Tags") or {}) > TAGS_MAX:
            raise invalid(TOO_MANY_TAGS)
        kind = source_kind(params)
        ref = self._function(context, params["FunctionName"])
        mapping_uuid = str(uuid.uuid4())
        mapping = with_settings(
            Mapping(
                uuid=mapping_uuid,
                name=mapping_uuid[:8],
                function=ref.name,
                qualifier=ref.qualifier,
                is_enabled=params.get("Enabled", True),
                created_ms=now_ms,
                last_modified_ms=now_ms,
                tags=params.get("Tags") or {},
            ),
            kind,
            params,
        )
        found_s = await self._look_elsewhere(kind, mapping.event_source_arn)
        async with self._catalog.changing() as catalog:
            self._function(context, params["FunctionName"])
            self._check_around(context, kind, mapping, found_s)
            _raise_first(check.later(kind, params))
            self._check_destination(context, mapping)
            await catalog.commit_locked([put("mapping", mapping.uuid, mapping)])
        state = "Creating" if mapping.is_enabled else "Disabled"
        return self._shown(context, mapping, state)

    async def get_event_source_mapping(self, context: Context, params: Params) -> Params:
        """GetEventSourceMapping."""
        name = params["UUID"]
        mapping = self._catalog.mappings.get(name)
        if mapping is None:
            mapping = self._draining(name)
        return self._shown(context, mapping)

    async def list_event_source_mappings(self, context: Context, params: Params) -> Params:
        """ListEventSourceMappings, in order of creation; filters combine."""
        found = sorted(self._catalog.mappings.values(), key=_place)
        if arn := params.get("EventSourceArn"):
            found = [mapping for mapping in found if mapping.event_source_arn == arn]
        if name := params.get("FunctionName"):
            ref = parse_ref(context, name)
            wanted = (ref.name, ref.qualifier)
            found = [item for item in found if (item.function, item.qualifier) == wanted]
        if marker := params.get("Marker"):
            after = _read_marker(marker)
            found = [mapping for mapping in found if _place(mapping) > after]
        page = found[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
        shown = [listed_mapping(self._shown(context, mapping)) for mapping in page]
        result: Params = {"EventSourceMappings": shown}
        if len(found) > len(page):
            result["NextMarker"] = _marker_of(page[-1])
        return result

    async def update_event_source_mapping(self, context: Context, params: Params) -> Params:
        """UpdateEventSourceMapping: checked as it will be; what is left out stays (P4)."""
        name = params["UUID"]
        known = self._find(name)
        found_s = await self._look_elsewhere(known.kind, known.event_source_arn)
        async with self._catalog.changing() as catalog:
            mapping = self._find(name)
            self._check_free(mapping, "update", {"Creating", "Updating"})
            kind, wanted = mapping.kind, merged(mapping, params)
            _raise_first(check.update_problems(mapping, params, wanted))
            changed = with_settings(mapping, kind, wanted)
            if "FunctionName" in params:
                ref = self._function(context, params["FunctionName"])
                changed = msgspec.structs.replace(
                    changed, function=ref.name, qualifier=ref.qualifier
                )
            changed = msgspec.structs.replace(
                changed,
                is_enabled=params.get("Enabled", mapping.is_enabled),
                last_modified_ms=self._wall_ms(),
            )
            self._check_around(context, kind, changed, found_s)
            _raise_first(check.later(kind, params))
            self._check_destination(context, changed)
            await catalog.commit_locked([put("mapping", name, changed)])
        if changed.is_enabled != mapping.is_enabled:
            return self._shown(context, changed, "Enabling" if changed.is_enabled else "Disabling")
        return self._shown(context, changed, "Updating")

    async def delete_event_source_mapping(self, context: Context, params: Params) -> Params:
        """DeleteEventSourceMapping: gone from the catalog; `Deleting` until it has drained."""
        name = params["UUID"]
        async with self._catalog.changing() as catalog:
            mapping = self._find(name)
            self._check_free(mapping, "delete", {"Updating"})
            if len(self._deleted) >= DELETED_KEPT_MAX:
                self._deleted.pop(next(iter(self._deleted)))
            self._deleted[name] = mapping
            await catalog.commit_locked([Delete("mapping", name), DropProgress(name)])
        return self._shown(context, mapping, "Deleting")

    def _find(self, name: str) -> Mapping:
        mapping = self._catalog.mappings.get(name)
        if mapping is None:
            raise _no_mapping()
        return mapping

    def _draining(self, name: str) -> Mapping:
        """A deleted mapping that still runs; its status is `Deleting`."""
        mapping = self._deleted.get(name)
        if mapping is not None and self._runtime.is_draining(name):
            return mapping
        self._deleted.pop(name, None)
        raise _no_mapping()

    def _check_free(self, mapping: Mapping, verb: str, busy: set[str]) -> None:
        if self._runtime.status(mapping.uuid).state in busy:
            raise ApiError(
                "ResourceInUseException",
                f"Cannot {verb} the event source mapping because it is in use.",
            )

    def _function(self, context: Context, text: str) -> FunctionRef:
        """The function of a mapping; a missing one is the caller's mistake, not 404 (P1)."""
        ref = parse_ref(context, text)
        if not has_qualifier(self._catalog, ref.name, ref.qualifier):
            raise invalid(neighbours.NO_FUNCTION)
        return ref

    async def _look_elsewhere(self, kind: SourceKind, arn: str) -> int | None:
        """The visibility timeout of a queue that is not here; None where nobody can say now.

        A queue that cannot be reached is taken: the mapping reads it when it can.
        """
        if kind not in QUEUES or self._elsewhere is None:
            return None
        try:
            found_s = await self._elsewhere.visibility_s(arn)
        except RouterError as error:
            if error.code == "access_denied":
                raise invalid(neighbours.NO_PERMISSION) from None
            return None
        if found_s is None:
            raise _as_error(neighbours.no_queue())
        return found_s

    def _check_around(
        self, context: Context, kind: SourceKind, mapping: Mapping, found_s: int | None
    ) -> None:
        """Whether the source is there and fits, and no other mapping stands in the way."""
        arn = mapping.event_source_arn
        if kind is SourceKind.WEBHOOK and not any(
            webhook.spec.arn == arn for webhook in self._catalog.webhooks.values()
        ):
            raise _as_error(neighbours.no_stream(arn))
        if kind in QUEUES:
            self._check_queue(mapping, found_s)
        others = self._catalog.mappings.values()
        function = function_arn(
            context.region, context.account, mapping.function, mapping.qualifier
        )
        if standing := neighbours.check_duplicate(mapping, others, function):
            raise _as_error(standing)
        _raise_first(scaling.check_group(mapping, others))

    def _check_queue(self, mapping: Mapping, found_s: int | None) -> None:
        if self._elsewhere is None:
            queue = self._catalog.queues.get(parse_arn(mapping.event_source_arn).resource)
            if queue is None or queue.arn != mapping.event_source_arn:
                raise _as_error(neighbours.no_queue())
            found_s = neighbours.visibility_s(queue)
        # A function may be gone while its mappings stay (P7).
        found = look_up(self._catalog, mapping.function, mapping.qualifier)
        if found is None or found_s is None:
            return
        if problem := neighbours.check_visibility(found_s, found.function.timeout_s):
            raise _as_error(problem)

    def _check_destination(self, context: Context, mapping: Mapping) -> None:
        text, has_queues = mapping.destination_arn, self._hosting.has_queues
        queues = {it.arn for it in self._catalog.queues.values()} if has_queues else None
        here = (context.region, context.account)
        if problem := destination.check_there(text, queues, self._has_function, here):
            raise _as_error(problem)

    def _has_function(self, name: str, qualifier: str | None) -> bool:
        return has_qualifier(self._catalog, name, qualifier)

    def _shown(self, context: Context, mapping: Mapping, state: str | None = None) -> Params:
        status = self._runtime.status(mapping.uuid)
        return shown_mapping(mapping, status, context.region, context.account, state)


def _raise_first(problems: Iterable[Refusal]) -> None:
    for problem in problems:
        raise _as_error(problem)


def _as_error(problem: Refusal) -> ApiError:
    return conflict(problem.message) if isinstance(problem, Conflict) else invalid(problem.message)


def _with_kafka_factor(model: ServiceModel) -> ServiceModel:
    factor = msgspec.structs.replace(model.shapes["ParallelizationFactor"], max=KAFKA_FACTOR_MAX)
    shapes = {**model.shapes, "ParallelizationFactor": factor}
    return msgspec.structs.replace(model, shapes=shapes)


def _place(mapping: Mapping) -> tuple[int, str]:
    """Where a mapping stands in lists."""
    return mapping.created_ms, mapping.uuid


def _marker_of(mapping: Mapping) -> str:
    text = f"{mapping.created_ms}/{mapping.uuid}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_marker(marker: str) -> tuple[int, str]:
    try:
        text = base64.b64decode(marker, altchars=b"-_", validate=True).decode()
        created_ms, _, name = text.partition("/")
        return int(created_ms), name
    except ValueError:
        raise invalid("The Marker is none that this API has given.") from None


def _no_mapping() -> ApiError:
    return not_found("The resource you requested does not exist.")
