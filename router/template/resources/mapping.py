"""`AWS::Lambda::EventSourceMapping` on a webhook stream (`event-source-mappings.md` 1.2, 1.3)."""

from collections.abc import Callable
from typing import Any

from router.mapping.filtering import FAMILIES, FILTERS_MAX, parse_filter
from router.model import limits
from router.model.arn import Arn, ArnError, mapping_arn, parse_arn
from router.model.resources import Mapping
from router.patterns.problems import PatternError
from router.template.names import mapping_uuid
from router.template.parameters import as_text
from router.template.properties import Properties
from router.template.resources.base import At, Draft
from router.template.resources.function_ref import FunctionRef, parse_function_ref

RECORD_AGE_S_MIN = 60
"""Smallest MaximumRecordAgeInSeconds but for -1."""

REPORT_FAILURES = "ReportBatchItemFailures"

_PROPERTIES = (
    "EventSourceArn",
    "FunctionName",
    "Enabled",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "ParallelizationFactor",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
    "DestinationConfig",
    "TumblingWindowInSeconds",
    "FilterCriteria",
    "KmsKeyArn",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Tags",
)

_NOT_FOR_STREAMS = "a webhook stream does not take it"
_REFUSED = {
    "LoggingConfig": _NOT_FOR_STREAMS,
    "MetricsConfig": "metrics of every mapping are always kept",
    "ProvisionedPollerConfig": _NOT_FOR_STREAMS,
    "Queues": _NOT_FOR_STREAMS,
    "ScalingConfig": _NOT_FOR_STREAMS,
    "SelfManagedEventSource": "Kafka is not supported yet; use a Router::Webhook",
    "SelfManagedKafkaEventSourceConfig": _NOT_FOR_STREAMS,
    "AmazonManagedKafkaEventSourceConfig": _NOT_FOR_STREAMS,
    "DocumentDBEventSourceConfig": _NOT_FOR_STREAMS,
    "SourceAccessConfigurations": _NOT_FOR_STREAMS,
    "Topics": _NOT_FOR_STREAMS,
}

_SOURCES_LATER = {
    "sqs": "SQS queues",
    "kinesis": "Kinesis streams",
    "dynamodb": "DynamoDB streams",
    "kafka": "Kafka clusters",
    "mq": "message brokers",
    "rds": "DocumentDB clusters",
}


class EventSourceMapping:
    """A mapping."""

    name = "AWS::Lambda::EventSourceMapping"
    effect = ""

    def ref(self, at: At) -> str:
        """The mapping's UUID."""
        return mapping_uuid(at.surroundings.stack, at.logical_id)

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Id, EventSourceMappingArn."""
        around = at.surroundings
        return {
            "Id": lambda: self.ref(at),
            "EventSourceMappingArn": lambda: mapping_arn(
                around.region, around.account, self.ref(at)
            ),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the mapping."""
        properties.check_known(_PROPERTIES, self.name, _REFUSED)
        properties.require("FunctionName")
        source = _source(at, properties)
        function = FunctionRef("", None)
        if "FunctionName" in properties:
            found = parse_function_ref(properties, "FunctionName", at.surroundings)
            function = found or function
        _check_duplicate(properties, source, function, draft)
        position, timestamp_ms = _starting_position(properties)
        uuid = self.ref(at)
        if "Enabled" not in properties:
            draft.enabled_unset.append(uuid)
        draft.mappings[uuid] = Mapping(
            uuid=uuid,
            name=at.logical_id,
            function=function.name,
            qualifier=function.qualifier,
            event_source_arn=source,
            is_enabled=properties.boolean("Enabled", default=True),
            batch_size=properties.integer("BatchSize", 1, limits.BATCH_SIZE_MAX, 100),
            window_s=properties.integer(
                "MaximumBatchingWindowInSeconds", 0, limits.WINDOW_S_MAX, 0
            ),
            factor=properties.integer(
                "ParallelizationFactor", 1, limits.PARALLELIZATION_FACTOR_MAX, 1
            ),
            retries_max=properties.integer("MaximumRetryAttempts", -1, limits.RETRIES_MAX, -1),
            record_age_s_max=_record_age(properties),
            is_bisecting=properties.boolean("BisectBatchOnFunctionError"),
            response_types=_response_types(properties),
            destination_arn=_destination(at, properties),
            tumbling_window_s=properties.integer(
                "TumblingWindowInSeconds", 0, limits.TUMBLING_WINDOW_S_MAX, 0
            ),
            filters=_filters(properties),
            extra=_extra(at, properties, draft),
            starting_position=position,
            starting_timestamp_ms=timestamp_ms,
            last_modified_ms=0,
            tags=properties.tags(),
            owner=at.owner,
        )


def _source(at: At, properties: Properties) -> str:
    hint = "use !GetAtt of a Router::Webhook, such as !GetAtt Github.Arn"
    if "EventSourceArn" not in properties:
        if "SelfManagedEventSource" not in properties:
            properties.problem("EventSourceArn", "is required", hint)
        return ""
    text = properties.text("EventSourceArn")
    arn = _arn(text)
    if arn is None:
        if text:
            properties.problem("EventSourceArn", f"{text!r} is not an ARN", hint)
    elif arn.service in _SOURCES_LATER:
        kind = _SOURCES_LATER[arn.service]
        properties.problem("EventSourceArn", f"{kind} are not supported as sources yet", hint)
    elif arn.service != "router" or not arn.resource.startswith("webhook/"):
        properties.problem("EventSourceArn", f"{text} is not an event source", hint)
    else:
        _check_here(at, properties, "EventSourceArn", arn)
    return text


def _arn(text: str) -> Arn | None:
    try:
        return parse_arn(text)
    except ArnError:
        return None


def _check_here(at: At, properties: Properties, name: str, arn: Arn) -> None:
    around = at.surroundings
    if (arn.region, arn.account) != (around.region, around.account):
        here = f"use {around.region} and {around.account}"
        properties.problem(name, f"{arn} is not of this region and account", here)


def _check_duplicate(
    properties: Properties, source: str, function: FunctionRef, draft: Draft
) -> None:
    wanted = (source, function.name, function.qualifier)
    for other in draft.mappings.values():
        if source and (other.event_source_arn, other.function, other.qualifier) == wanted:
            text = f"{other.name} maps the same stream to the same function"
            properties.problem("EventSourceArn", text)


def _record_age(properties: Properties) -> int:
    name = "MaximumRecordAgeInSeconds"
    age_s = properties.integer(name, -1, limits.RECORD_AGE_S_MAX, -1)
    if 0 <= age_s < RECORD_AGE_S_MIN:
        text = f"{age_s} is neither -1 (forever) nor between 60 and {limits.RECORD_AGE_S_MAX}"
        properties.problem(name, text)
    return age_s


def _response_types(properties: Properties) -> tuple[str, ...]:
    types = properties.texts("FunctionResponseTypes", choices=(REPORT_FAILURES,))
    if len(types) > 1:
        properties.problem("FunctionResponseTypes", "takes at most one item")
    return types


def _destination(at: At, properties: Properties) -> str | None:
    config = properties.section("DestinationConfig")
    if config is None:
        return None
    refused = {"OnSuccess": "an event source mapping has no OnSuccess"}
    config.check_known(("OnFailure",), "DestinationConfig", refused)
    on_failure = config.section("OnFailure")
    if on_failure is None:
        return None
    on_failure.check_known(("Destination", "Type"), "OnFailure")
    text = on_failure.text("Destination", length_max=350)
    if not text:
        return None
    hint = "use !GetAtt of an AWS::SQS::Queue, such as !GetAtt Failed.Arn"
    arn = _arn(text)
    if arn is None:
        on_failure.problem("Destination", f"{text!r} is not an ARN", hint)
    elif arn.service != "sqs":
        on_failure.problem("Destination", f"{arn.service} is not supported here yet", hint)
    elif arn.resource.endswith(".fifo"):
        on_failure.problem("Destination", "a FIFO queue cannot be a destination", hint)
    else:
        _check_here(at, on_failure, "Destination", arn)
    return text


def _filters(properties: Properties) -> tuple[str, ...]:
    criteria = properties.section("FilterCriteria")
    if criteria is None:
        return ()
    criteria.check_known(("Filters",), "FilterCriteria")
    patterns: list[str] = []
    filters = criteria.sections("Filters")
    if len(filters) > FILTERS_MAX:
        criteria.problem("Filters", f"are {len(filters)}, and {FILTERS_MAX} are the most")
    for one in filters:
        one.check_known(("Pattern",), "a filter")
        if not one.require("Pattern"):
            continue
        if isinstance(one.raw("Pattern"), dict):
            hint = "write the pattern as JSON in a text: Pattern: '{\"body\": {…}}'"
            one.problem("Pattern", "must be text", hint)
            continue
        text = one.text("Pattern")
        try:
            parse_filter(FAMILIES["webhook"], text)
        except PatternError as error:
            one.problem("Pattern", f"is not a filter pattern: {error}")
        patterns.append(text)
    return tuple(patterns)


def _extra(at: At, properties: Properties, draft: Draft) -> dict[str, object]:
    key = properties.text("KmsKeyArn")
    if not key:
        return {}
    draft.warnings.append(f"{at.logical_id}: KmsKeyArn is kept and has no effect")
    return {"KMSKeyArn": key}


def _starting_position(properties: Properties) -> tuple[str, int | None]:
    choices = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
    position = properties.text("StartingPosition", "TRIM_HORIZON", choices=choices)
    name = "StartingPositionTimestamp"
    given = properties.raw(name)
    if position != "AT_TIMESTAMP":
        if given is not None:
            properties.problem(name, "belongs to StartingPosition AT_TIMESTAMP")
        return position, None
    if given is None:
        properties.problem(name, "is required with StartingPosition AT_TIMESTAMP")
        return position, None
    try:
        timestamp_ms = int(float(as_text(given)) * 1000)
    except (ValueError, OverflowError):
        properties.problem(name, "must be Unix time in seconds")
        return position, None
    return position, timestamp_ms
