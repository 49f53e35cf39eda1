"""Attributes of standard queues: names, ranges, defaults (`bus-http-and-schedules.md` 6.2)."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from router.embedded.problems import (
    QueueProblem,
    bad_attribute,
    bad_value,
    no_queue,
    unknown_attribute,
    unsupported,
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
FIFO_ONLY: Final = ("DeduplicationScope", "FifoThroughputLimit")
ECHOED: Final = (
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "Policy",
    "RedriveAllowPolicy",
)
"""Kept and given back; they do nothing here (`docs/compatibility.md`)."""

RECEIVE_COUNT_MAX: Final = 1_000
"""Largest maxReceiveCount."""

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


def check_name(name: str) -> None:
    """Raise `QueueProblem` for a name no standard queue can have."""
    if name.endswith(".fifo"):
        raise unsupported("FIFO queues are not supported by this version of Event Router yet.")
    if not NAME.fullmatch(name):
        raise bad_value(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def check_attributes(
    given: Mapping[str, Any], *, is_queue: Callable[[str], bool], is_new: bool
) -> dict[str, str]:
    """Attributes as they are stored; an empty text takes an attribute away.

    `is_queue` tells whether an ARN is one of our queues: a dead-letter queue must be there.
    Raises `QueueProblem`.
    """
    stored = {name: _check(name, str(value), is_new) for name, value in given.items()}
    if stored.get("RedrivePolicy"):
        target, _count = redrive_policy(stored["RedrivePolicy"])
        if not is_queue(target):
            raise QueueProblem(
                "QueueDoesNotExist",
                f"Value {stored['RedrivePolicy']} for parameter RedrivePolicy is invalid. "
                "Reason: Dead letter target does not exist.",
                no_queue().query_code,
            )
    if stored.get("KmsMasterKeyId"):
        if stored.get("SqsManagedSseEnabled") == "true":
            raise QueueProblem(
                "InvalidAttributeName",
                "You can use one type of server-side encryption (SSE) at one time. "
                "You can either enable KMS SSE or SQS SSE.",
            )
        stored["SqsManagedSseEnabled"] = "false"
    return stored


def _check(name: str, value: str, is_new: bool) -> str:  # noqa: FBT001 - private, one caller
    if name in RANGES:
        low, high, _default = RANGES[name]
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise bad_attribute(name)
        return str(int(value))
    if name == "FifoQueue" and value.lower() == "true":
        if not is_new:
            raise bad_attribute(name, "Modifying queue type is not supported.")
        raise unsupported("FIFO queues are not supported by this version of Event Router yet.")
    if name in FIFO_ONLY:
        raise QueueProblem(
            "InvalidAttributeName",
            f"You can specify the {name} only when FifoQueue is set to true.",
        )
    if name == "SqsManagedSseEnabled":
        if value.lower() not in {"true", "false"}:
            raise bad_attribute(name)
        return value.lower()
    if name == "RedrivePolicy":
        if value:
            redrive_policy(value)
        return value
    if name in ECHOED:
        return value
    raise unknown_attribute(name)


def redrive_policy(text: str) -> tuple[str, int]:
    """Dead-letter queue's ARN and maxReceiveCount. Raises `QueueProblem`."""
    start = f"Value {text} for parameter RedrivePolicy is invalid. Reason: "
    try:
        policy = json.loads(text)
        target, count = policy["deadLetterTargetArn"], policy["maxReceiveCount"]
        count = int(count) if isinstance(count, int | str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
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
    shown.update({name: value for name, value in queue.attributes.items() if value})
    return shown
