"""What a mapping must agree on with what is around it: other mappings, its source, its function."""

from collections.abc import Iterable
from typing import Final

from router.mapping.rules.refusal import Conflict, Refusal
from router.model.resources import Mapping, Queue
from router.model.source_kind import KAFKAS, QUEUES, SourceKind

NO_FUNCTION: Final = "Function does not exist"
NO_QUEUE: Final = (
    "Error occurred while ReceiveMessage. SQS Error Code: "
    "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not "
    "exist."
)
NO_PERMISSION: Final = (
    "The provided execution role does not have permissions to call ReceiveMessage on SQS"
)
VISIBILITY_DEFAULT_S: Final = 30
"""VisibilityTimeout of a queue that sets none (SQS)."""


def find_duplicate(mapping: Mapping, others: Iterable[Mapping]) -> Mapping | None:
    """The mapping of the same source to the same function, if there is one.

    For Kafka: of the same topic from a cluster that shares a server.
    """
    for other in others:
        is_same_function = (mapping.function, mapping.qualifier) == (
            other.function,
            other.qualifier,
        )
        if other.uuid != mapping.uuid and is_same_function and _is_same_source(mapping, other):
            return other
    return None


def find_group_mate(mapping: Mapping, others: Iterable[Mapping]) -> Mapping | None:
    """Another mapping in the same consumer group: a group is one mapping's alone (7.1)."""
    for other in others:
        is_shared = mapping.consumer_group == other.consumer_group != ""
        if is_shared and other.uuid != mapping.uuid:
            return other
    return None


def check_duplicate(
    mapping: Mapping, others: Iterable[Mapping], function_arn: str
) -> Conflict | None:
    """The conflict with another mapping, if there is one (P5)."""
    others = list(others)
    if other := find_duplicate(mapping, others):
        return _conflict(mapping, other, function_arn)
    if other := find_group_mate(mapping, others):
        text = f"The consumer group {mapping.consumer_group} is used by another event source "
        return Conflict(f"{text}mapping already, with UUID {other.uuid}", "ConsumerGroupId")
    return None


def _is_same_source(mapping: Mapping, other: Mapping) -> bool:
    if mapping.kind is SourceKind.KAFKA:
        shared = set(mapping.bootstrap_servers) & set(other.bootstrap_servers)
        return bool(shared) and mapping.topics == other.topics
    is_same = mapping.event_source_arn == other.event_source_arn
    return is_same and mapping.topics == other.topics


def _conflict(mapping: Mapping, other: Mapping, function_arn: str) -> Conflict:
    advice = f"Please update or delete the existing mapping with UUID {other.uuid}"
    if mapping.kind in KAFKAS:
        source = mapping.event_source_arn or ",".join(mapping.bootstrap_servers)
        text = (
            f'An event source mapping with event source ("{source}"), function '
            f'("{function_arn}"), topics ("{",".join(mapping.topics)}") already exists.'
        )
        return Conflict(f"{text} {advice}", "Topics")
    # The blanks inside the brackets are AWS's.
    what = f'arn (" {mapping.event_source_arn} ") and function (" {mapping.function} ")'
    if mapping.kind in QUEUES:
        text = f"An event source mapping with SQS {what} already exists."
    else:
        text = f"The event source {what} provided mapping already exists."
    return Conflict(f"{text} {advice}", "EventSourceArn")


def visibility_s(queue: Queue) -> int:
    """How long a queue hides a message it has given."""
    return int(queue.attributes.get("VisibilityTimeout", VISIBILITY_DEFAULT_S))


def check_visibility(visibility_s: int, timeout_s: int) -> Refusal | None:
    """A queue must hide a message for as long as the function may take (8.1)."""
    if visibility_s >= timeout_s:
        return None
    return Refusal(
        f"Queue visibility timeout: {visibility_s} seconds is less than Function timeout: "
        f"{timeout_s} seconds",
        "EventSourceArn",
    )


def no_stream(arn: str) -> Refusal:
    """The stream is not there."""
    return Refusal(f"Stream not found: {arn}", "EventSourceArn")


def no_queue() -> Refusal:
    """The queue is not there."""
    return Refusal(NO_QUEUE, "EventSourceArn")
