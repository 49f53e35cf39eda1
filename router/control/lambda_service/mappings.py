"""Event source mappings: create, read, change, delete (`event-source-mappings.md` 1)."""

import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from router.control.context import Context
from router.control.errors import ApiError
from router.control.lambda_service import sources
from router.control.lambda_service.names import (
    FunctionRef,
    conflict,
    invalid,
    not_found,
    not_yet,
    parse_ref,
)
from router.functions.resolve import has_qualifier
from router.model.arn import function_arn, mapping_arn, parse_arn
from router.model.resources import Mapping
from router.store.base import Delete, DropProgress
from router.store.catalog import Catalog, put

LIST_PAGE: Final = 100
"""Mappings of one page (P6)."""

DELETED_KEPT_MAX: Final = 1_000
"""Deleted mappings remembered while they drain."""

VISIBILITY_DEFAULT_S: Final = 30
"""VisibilityTimeout of a queue that sets none."""

Params = dict[str, Any]


class Status(Protocol):
    """What runs says of a mapping."""

    @property
    def state(self) -> str:
        """Creating, Enabling, Enabled, Disabling, Disabled, Updating, Deleting."""

    @property
    def transition_reason(self) -> str:
        """Empty: what a user did. Else a code of 1.7."""

    @property
    def last_processing_result(self) -> str:
        """`No records processed`, `OK`, `PROBLEM: …`."""


class MappingRuntime(Protocol):
    """Who runs mappings: `mapping.manager.MappingManager`."""

    def status(self, uuid: str) -> Status:
        """State and result of a mapping."""

    def is_draining(self, uuid: str) -> bool:
        """Whether a deleted mapping still runs."""


class Mappings:
    """One method per operation of the model."""

    def __init__(
        self, catalog: Catalog, runtime: MappingRuntime, wall_ms: Callable[[], int]
    ) -> None:
        self._catalog = catalog
        self._runtime = runtime
        self._wall_ms = wall_ms
        self._deleted: dict[str, Mapping] = {}

    async def create_event_source_mapping(self, context: Context, params: Params) -> Params:
        """CreateEventSourceMapping. The order of checks is the contract's (1.5)."""
        sources.check_destination_shape(params)
        kind = sources.kind_of(params)
        sources.check_position(kind, params, self._wall_ms() / 1000)
        default_batch = 10 if kind in {"sqs", "fifo"} else 100
        batch_size = params.get("BatchSize", default_batch)
        window_s = params.get("MaximumBatchingWindowInSeconds", 0)
        sources.check_batch(kind, batch_size, window_s)
        sources.check_taken(kind, params)
        sources.check_filters(kind, sources.filters_of(params) or ())
        ref = self._function(context, params["FunctionName"])
        mapping_uuid = str(uuid.uuid4())
        mapping = _changed(
            Mapping(
                uuid=mapping_uuid,
                name=mapping_uuid[:8],
                function=ref.name,
                qualifier=ref.qualifier,
                event_source_arn=params.get("EventSourceArn", ""),
                is_enabled=params.get("Enabled", True),
                batch_size=batch_size,
                starting_position=params.get("StartingPosition", "TRIM_HORIZON"),
                starting_timestamp_ms=_milliseconds(params.get("StartingPositionTimestamp")),
                last_modified_ms=self._wall_ms(),
                tags=params.get("Tags") or {},
            ),
            params,
        )
        async with self._catalog.changing() as catalog:
            self._function(context, params["FunctionName"])
            self._check_source(kind, mapping)
            self._check_duplicate(kind, mapping)
            self._refuse_later(kind)
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
        """ListEventSourceMappings, by UUID; filters combine."""
        found = sorted(self._catalog.mappings.values(), key=lambda mapping: mapping.uuid)
        if arn := params.get("EventSourceArn"):
            found = [mapping for mapping in found if mapping.event_source_arn == arn]
        if name := params.get("FunctionName"):
            ref = parse_ref(context, name)
            wanted = (ref.name, ref.qualifier)
            found = [item for item in found if (item.function, item.qualifier) == wanted]
        if marker := params.get("Marker"):
            found = [mapping for mapping in found if mapping.uuid > marker]
        page = found[: min(params.get("MaxItems", LIST_PAGE), LIST_PAGE)]
        result: Params = {"EventSourceMappings": [self._listed(context, item) for item in page]}
        if len(found) > len(page):
            result["NextMarker"] = page[-1].uuid
        return result

    async def update_event_source_mapping(self, context: Context, params: Params) -> Params:
        """UpdateEventSourceMapping: checked as it will be; what is left out stays (P4)."""
        name = params["UUID"]
        async with self._catalog.changing() as catalog:
            mapping = self._find(name)
            self._check_free(mapping, "update", {"Creating", "Updating"})
            sources.check_destination_shape(params)
            kind = sources.kind_of({"EventSourceArn": mapping.event_source_arn})
            changed = _changed(mapping, params)
            sources.check_batch(kind, changed.batch_size, changed.window_s or 0)
            sources.check_taken(kind, params)
            sources.check_filters(kind, sources.filters_of(params) or ())
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
            self._check_source(kind, changed)
            self._check_duplicate(kind, changed)
            self._refuse_later(kind)
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
        function = self._catalog.functions.get(ref.name)
        if function is None or not has_qualifier(function, ref.qualifier):
            raise invalid("Function does not exist")
        return ref

    def _check_source(self, kind: str, mapping: Mapping) -> None:
        """Whether the source is there and fits, and the destination is there."""
        arn = mapping.event_source_arn
        if kind == "webhook" and not any(
            webhook.spec.arn == arn for webhook in self._catalog.webhooks.values()
        ):
            raise invalid(f"Stream not found: {arn}")
        if kind == "sqs":
            self._check_queue(mapping)
        destination = mapping.destination_arn
        if destination:
            self._check_destination(destination)

    def _check_queue(self, mapping: Mapping) -> None:
        queue = self._catalog.queues.get(parse_arn(mapping.event_source_arn).resource)
        if queue is None or queue.arn != mapping.event_source_arn:
            raise invalid(
                "Error occurred while ReceiveMessage. SQS Error Code: "
                "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue "
                "does not exist."
            )
        visibility_s = int(queue.attributes.get("VisibilityTimeout", VISIBILITY_DEFAULT_S))
        timeout_s = self._catalog.functions[mapping.function].timeout_s
        if visibility_s < timeout_s:
            raise invalid(
                f"Queue visibility timeout: {visibility_s} seconds is less than Function timeout: "
                f"{timeout_s} seconds"
            )

    def _check_destination(self, destination: str) -> None:
        if not destination.startswith("arn:aws:sqs:"):
            raise not_yet("On-failure destinations other than SQS queues are")
        name = destination.rpartition(":")[2]
        if name.endswith(".fifo"):
            raise not_yet("FIFO queues as on-failure destinations are")
        queue = self._catalog.queues.get(name)
        if queue is None or queue.arn != destination:
            raise invalid(f"The on-failure destination does not exist: {destination}")

    def _check_duplicate(self, kind: str, mapping: Mapping) -> None:
        for other in self._catalog.mappings.values():
            if other.uuid == mapping.uuid or (
                (other.event_source_arn, other.function, other.qualifier)
                != (mapping.event_source_arn, mapping.function, mapping.qualifier)
            ):
                continue
            # The blanks inside the brackets are AWS's (P5).
            what = f'arn (" {mapping.event_source_arn} ") and function (" {mapping.function} ")'
            advice = f"Please update or delete the existing mapping with UUID {other.uuid}"
            if kind in {"sqs", "fifo"}:
                raise conflict(f"An event source mapping with SQS {what} already exists. {advice}")
            raise conflict(f"The event source {what} provided mapping already exists. {advice}")

    def _refuse_later(self, kind: str) -> None:
        """What is sound and not here yet is refused by name, after everything else."""
        if kind != "webhook":
            raise not_yet(f"{sources.NAMES[kind]} event source mappings are")

    def _shown(self, context: Context, mapping: Mapping, state: str | None = None) -> Params:
        """A mapping of a stream, exactly the fields of 1.4."""
        status = self._runtime.status(mapping.uuid)
        region, account = context.region, context.account
        destination = mapping.destination_arn
        shown: Params = {
            "UUID": mapping.uuid,
            "BatchSize": mapping.batch_size,
            "MaximumBatchingWindowInSeconds": mapping.window_s,
            "ParallelizationFactor": mapping.factor,
            "StartingPosition": mapping.starting_position,
            "EventSourceArn": mapping.event_source_arn,
            "EventSourceMappingArn": mapping_arn(region, account, mapping.uuid),
            "FunctionArn": function_arn(region, account, mapping.function, mapping.qualifier),
            "FunctionResponseTypes": list(mapping.response_types),
            "DestinationConfig": {"OnFailure": {"Destination": destination} if destination else {}},
            "BisectBatchOnFunctionError": mapping.is_bisecting,
            "MaximumRecordAgeInSeconds": mapping.record_age_s_max,
            "MaximumRetryAttempts": mapping.retries_max,
            "TumblingWindowInSeconds": mapping.tumbling_window_s,
            "LastModified": mapping.last_modified_ms / 1000,
            "LastProcessingResult": status.last_processing_result,
            "State": state or status.state,
            "StateTransitionReason": status.transition_reason or "User action",
            **mapping.extra,
        }
        if mapping.filters:
            patterns = [{"Pattern": pattern} for pattern in mapping.filters]
            shown["FilterCriteria"] = {"Filters": patterns}
        if mapping.starting_timestamp_ms is not None:
            shown["StartingPositionTimestamp"] = mapping.starting_timestamp_ms / 1000
        return shown

    def _listed(self, context: Context, mapping: Mapping) -> Params:
        """The same in a list, where encrypted filters are not shown (1.8)."""
        shown = self._shown(context, mapping)
        if shown.get("KMSKeyArn"):
            shown.pop("FilterCriteria", None)
        return shown


def _changed(mapping: Mapping, params: Params) -> Mapping:
    """The mapping with what a request sets; an empty text or list takes a setting away."""
    changes: dict[str, Any] = {}
    for member, field in (
        ("BatchSize", "batch_size"),
        ("MaximumBatchingWindowInSeconds", "window_s"),
        ("ParallelizationFactor", "factor"),
        ("MaximumRetryAttempts", "retries_max"),
        ("MaximumRecordAgeInSeconds", "record_age_s_max"),
        ("BisectBatchOnFunctionError", "is_bisecting"),
        ("TumblingWindowInSeconds", "tumbling_window_s"),
    ):
        if member in params:
            changes[field] = params[member]
    if "FunctionResponseTypes" in params:
        changes["response_types"] = tuple(params["FunctionResponseTypes"])
    filters = sources.filters_of(params)
    if filters is not None:
        changes["filters"] = filters
    destination = sources.on_failure(params)
    if destination is not None:
        changes["destination_arn"] = destination or None
    extra = dict(mapping.extra)
    for member in ("MetricsConfig", "KMSKeyArn"):
        if member in params:
            extra[member] = params[member]
    changes["extra"] = {name: value for name, value in extra.items() if value}
    return msgspec.structs.replace(mapping, **changes)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _no_mapping() -> ApiError:
    return not_found("The resource you requested does not exist.")
