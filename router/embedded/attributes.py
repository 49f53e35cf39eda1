"""Queue attributes: names, ranges, defaults (`bus-http-and-schedules.md` 6.2)."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from router.embedded.problems import (
    QueueProblem,
    bad_attribute,
    bad_value,
    no_queue,
    unknown_attribute,
)
from router.model.limits import MIB
from router.model.resources import Queue

RANGES: Final[dict[str, tuple[int, int, int]]] = {
    "DelaySeconds": (0, 900, 0),
    "MaximumMessageSize": (1024, MIB, MIB),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20, 0),
    "VisibilityTimeout": (0, 43_200, 30),
}
"""Number attributes: least, most, default. Seconds and bytes."""

READ_ONLY: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
)
FIFO_CHOICES: Final = {
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
"""Choices of FIFO queues, the default first."""

SETTABLE: Final = frozenset(
    {
        *RANGES,
        *FIFO_CHOICES,
        "FifoQueue",
        "ContentBasedDeduplication",
        "RedrivePolicy",
        "RedriveAllowPolicy",
        "Policy",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "SqsManagedSseEnabled",
    }
)
"""What can be set on some queue; encryption and policies are kept and given back
(`docs/compatibility.md`)."""

RECEIVE_COUNT_MAX: Final = 1_000
"""Largest maxReceiveCount."""

SOURCES_ALLOWED_MAX: Final = 10
"""Most queues a RedriveAllowPolicy names."""

KMS_PERIOD_S: Final = (60, 86_400, 300)
"""KmsDataKeyReusePeriodSeconds: least, most, default."""

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
FIFO_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo", re.ASCII)
FIFO_ENDING: Final = ".fifo"

Find = Callable[[str], Queue | None]
"""ARN → the queue, when it is one of ours."""


def is_fifo(queue: Queue) -> bool:
    """Whether it is a FIFO queue: its name says so, and only then may it."""
    return queue.name.endswith(FIFO_ENDING)


def check_name(name: str, *, is_fifo: bool) -> None:
    """Raise `QueueProblem` for a name no such queue can have."""
    if is_fifo and not FIFO_NAME.fullmatch(name):
        raise bad_value(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or "
            "underscores, must end with .fifo suffix and be 1 to 80 in length"
        )
    if not is_fifo and not NAME.fullmatch(name):
        raise bad_value(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def asks_for_fifo(given: Mapping[str, Any]) -> bool:
    """Whether a new queue's attributes make it a FIFO queue."""
    return str(given.get("FifoQueue", "")).lower() == "true"


def check_attributes(
    given: Mapping[str, Any], name: str, current: Mapping[str, str] | None, find: Find
) -> dict[str, str]:
    """Attributes as they are stored; an empty text takes an attribute away.

    `current` are those of the queue that is there, None for a new one. Raises `QueueProblem`.
    """
    has_order = name.endswith(FIFO_ENDING)
    stored = {
        key: _check(key, str(value), has_order=has_order, is_new=current is None)
        for key, value in given.items()
    }
    merged = {**(current or {}), **stored}
    scope = merged.get("DeduplicationScope") or "queue"
    if merged.get("FifoThroughputLimit") == "perMessageGroupId" and scope != "messageGroup":
        raise bad_attribute(
            "FifoThroughputLimit",
            "perMessageGroupId needs DeduplicationScope messageGroup.",
        )
    if stored.get("RedrivePolicy"):
        check_target(stored["RedrivePolicy"], name, find)
    if stored.get("KmsMasterKeyId"):
        if stored.get("SqsManagedSseEnabled") == "true":
            raise QueueProblem(
                "InvalidAttributeName",
                "You can use one type of server-side encryption (SSE) at one time. "
                "You can either enable KMS SSE or SQS SSE.",
            )
        stored["SqsManagedSseEnabled"] = "false"
    if stored.get("KmsMasterKeyId") == "" and stored.get("KmsDataKeyReusePeriodSeconds") == str(
        KMS_PERIOD_S[2]
    ):
        stored["KmsDataKeyReusePeriodSeconds"] = ""
    return stored


def _check(name: str, value: str, *, has_order: bool, is_new: bool) -> str:
    if name in RANGES or (name == "KmsDataKeyReusePeriodSeconds" and value):
        low, high, _default = RANGES.get(name, KMS_PERIOD_S)
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise bad_attribute(name)
        return str(int(value))
    if name == "FifoQueue":
        if not has_order:
            raise unknown_attribute(name)
        if value.lower() != "true":
            reason = "" if is_new else "Modifying queue type is not supported."
            raise bad_attribute(name, reason)
        return "true"
    if name in FIFO_CHOICES:
        if not has_order:
            raise QueueProblem(
                "InvalidAttributeName",
                f"You can specify the {name} only when FifoQueue is set to true.",
            )
        if value not in FIFO_CHOICES[name]:
            raise bad_attribute(name)
        return value
    if name == "ContentBasedDeduplication" and has_order:
        return _boolean(name, value)
    match name:
        case "SqsManagedSseEnabled":
            return _boolean(name, value)
        case "RedrivePolicy":
            if value:
                redrive_policy(value)
        case "RedriveAllowPolicy":
            if value:
                redrive_allowed(value)
        case "Policy":
            if value and not isinstance(_json(value), dict):
                raise bad_attribute(name)
        case "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds":
            pass
        case _:
            raise unknown_attribute(name)
    return value


def _boolean(name: str, value: str) -> str:
    if value.lower() not in {"true", "false"}:
        raise bad_attribute(name)
    return value.lower()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_target(policy: str, name: str, find: Find) -> None:
    """A queue's dead-letter queue must be there, be of the same type, and agree.

    `policy` is the RedrivePolicy of the queue called `name`. Raises `QueueProblem`.
    """
    start = f"Value {policy} for parameter RedrivePolicy is invalid. Reason: "
    arn, _count = redrive_policy(policy)
    target = find(arn)
    if target is None:
        raise QueueProblem(
            "QueueDoesNotExist",
            start + "Dead letter target does not exist.",
            no_queue().query_code,
        )
    if is_fifo(target) != name.endswith(FIFO_ENDING):
        raise bad_value(start + "Dead letter target must be of the same type as the source queue.")
    source_arn = f"{arn.rpartition(':')[0]}:{name}"
    allowed = target.attributes.get("RedriveAllowPolicy")
    if allowed and not _may_use(*redrive_allowed(allowed), source_arn):
        raise bad_value(
            start + "The dead letter target's RedriveAllowPolicy does not permit this source queue."
        )


def _may_use(permission: str, sources: tuple[str, ...], arn: str) -> bool:
    return permission == "allowAll" or (permission == "byQueue" and arn in sources)


def redrive_allowed(text: str) -> tuple[str, tuple[str, ...]]:
    """RedrivePermission and sourceQueueArns. Raises `QueueProblem`."""
    policy = _json(text)
    start = f"Value {text} for parameter RedriveAllowPolicy is invalid. Reason: "
    permission = policy.get("redrivePermission") if isinstance(policy, dict) else None
    if not isinstance(permission, str) or permission not in {"allowAll", "denyAll", "byQueue"}:
        raise bad_value(start + "redrivePermission must be allowAll, denyAll or byQueue.")
    sources = policy.get("sourceQueueArns")
    if permission != "byQueue":
        if sources is not None:
            raise bad_value(start + "sourceQueueArns goes with redrivePermission byQueue only.")
        return permission, ()
    if (
        not isinstance(sources, list)
        or not 1 <= len(sources) <= SOURCES_ALLOWED_MAX
        or not all(isinstance(arn, str) for arn in sources)
    ):
        raise bad_value(
            f"{start}byQueue needs sourceQueueArns, 1 to {SOURCES_ALLOWED_MAX} of them."
        )
    return permission, tuple(sources)


@lru_cache(maxsize=1_024)
def redrive_policy(text: str) -> tuple[str, int]:
    """Dead-letter queue's ARN and maxReceiveCount. Raises `QueueProblem`."""
    start = f"Value {text} for parameter RedrivePolicy is invalid. Reason: "
    policy = _json(text)
    try:
        target, count = policy["deadLetterTargetArn"], policy["maxReceiveCount"]
        count = int(count) if isinstance(count, int | str) else None
    except (ValueError, KeyError, TypeError):
        raise bad_value(
            start + "Redrive policy must be a JSON object with deadLetterTargetArn and "
            "maxReceiveCount."
        ) from None
    if count is None or not 1 <= count <= RECEIVE_COUNT_MAX:
        raise bad_value(
            f"{start}Invalid value for maxReceiveCount: {policy['maxReceiveCount']}, "
            f"valid values are from 1 to {RECEIVE_COUNT_MAX} both inclusive."
        )
    if not isinstance(target, str):
        raise bad_value(start + "deadLetterTargetArn must be an ARN.")
    return target, count


def number(queue: Queue, name: str) -> int:
    """A number attribute as set, else its default."""
    return int(queue.attributes.get(name, RANGES[name][2]))


def redrive(queue: Queue) -> tuple[str, int] | None:
    """The queue's dead-letter queue and maxReceiveCount; None without a policy."""
    text = queue.attributes.get("RedrivePolicy")
    return redrive_policy(text) if text else None


def stored_attributes(queue: Queue) -> dict[str, str]:
    """What was set and what holds by default, without counts and times."""
    shown = {name: str(default) for name, (_low, _high, default) in RANGES.items()}
    shown["SqsManagedSseEnabled"] = "true"
    if is_fifo(queue):
        shown.update({name: choices[0] for name, choices in FIFO_CHOICES.items()})
        shown.update({"FifoQueue": "true", "ContentBasedDeduplication": "false"})
    shown.update({name: value for name, value in queue.attributes.items() if value})
    return shown
