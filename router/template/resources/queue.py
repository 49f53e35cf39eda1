"""`AWS::SQS::Queue`: an embedded queue."""

import json
from collections.abc import Callable
from typing import Any

from router.embedded.attributes import (
    FIFO_CHOICES,
    FIFO_ENDING,
    KMS_PERIOD_S,
    RANGES,
    RECEIVE_COUNT_MAX,
    redrive_allowed,
)
from router.embedded.problems import QueueProblem
from router.model.arn import queue_arn
from router.model.resources import Queue
from router.template.parameters import as_text
from router.template.properties import Properties
from router.template.resources.base import At, Draft

NAME_CHARACTERS_MAX = 80
"""Longest queue name (SQS limit)."""

_RANGES = {
    **{name: (least, most) for name, (least, most, _) in RANGES.items()},
    "KmsDataKeyReusePeriodSeconds": KMS_PERIOD_S[:2],
}
"""Whole numbers and their bounds (`bus-http-and-schedules.md` 6.2)."""

_PROPERTIES = (
    "QueueName",
    *_RANGES,
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "SqsManagedSseEnabled",
    "Tags",
    "FifoQueue",
    "ContentBasedDeduplication",
    *FIFO_CHOICES,
)


class SqsQueue:
    """A standard or FIFO queue."""

    name = "AWS::SQS::Queue"
    effect = ""

    def ref(self, at: At) -> str:
        """The queue's URL."""
        return at.surroundings.queue_url(self._queue_name(at))

    def attributes(self, at: At) -> dict[str, Callable[[], Any]]:
        """Arn, QueueName, QueueUrl."""
        around = at.surroundings
        return {
            "Arn": lambda: queue_arn(around.region, around.account, self._queue_name(at)),
            "QueueName": lambda: self._queue_name(at),
            "QueueUrl": lambda: self.ref(at),
        }

    def build(self, at: At, properties: Properties, draft: Draft) -> None:
        """Add the queue."""
        properties.check_known(_PROPERTIES, self.name)
        is_fifo = properties.boolean("FifoQueue")
        if is_fifo:
            properties.text("QueueName", pattern=r"[A-Za-z0-9_-]{1,75}\.fifo")
        elif properties.text("QueueName").endswith(FIFO_ENDING):
            properties.problem(
                "QueueName", "ends with .fifo, as FIFO queues do", "add FifoQueue: true"
            )
        else:
            properties.text("QueueName", pattern=r"[A-Za-z0-9_-]{1,80}")
        name = self._queue_name(at)
        if name in draft.queues:
            properties.problem("QueueName", f"two queues are named {name}")
        around = at.surroundings
        draft.queues[name] = Queue(
            name=name,
            arn=queue_arn(around.region, around.account, name),
            attributes=_attributes(properties, is_fifo=is_fifo),
            tags=properties.tags(),
            created_s=0,
            modified_s=0,
            owner=at.owner,
        )

    @staticmethod
    def _queue_name(at: At) -> str:
        if at.given_text("FifoQueue").lower() != "true" or at.given_text("QueueName"):
            return at.physical_name("QueueName", NAME_CHARACTERS_MAX)
        made = at.physical_name("QueueName", NAME_CHARACTERS_MAX - len(FIFO_ENDING))
        return made + FIFO_ENDING


def _attributes(properties: Properties, *, is_fifo: bool) -> dict[str, str]:
    """Attributes as the API stores them: all text."""
    attributes = {
        name: str(properties.integer(name, least, most, least))
        for name, (least, most) in _RANGES.items()
        if name in properties
    }
    if "KmsMasterKeyId" in properties:
        attributes["KmsMasterKeyId"] = properties.text("KmsMasterKeyId")
    if "SqsManagedSseEnabled" in properties:
        is_enabled = properties.boolean("SqsManagedSseEnabled")
        attributes["SqsManagedSseEnabled"] = as_text(is_enabled)
    if attributes.get("KmsMasterKeyId"):
        if attributes.get("SqsManagedSseEnabled") == "true":
            properties.problem("SqsManagedSseEnabled", "cannot be true beside KmsMasterKeyId")
        attributes["SqsManagedSseEnabled"] = "false"
    redrive = properties.section("RedrivePolicy")
    if redrive is not None:
        redrive.check_known(("deadLetterTargetArn", "maxReceiveCount"), "RedrivePolicy")
        if redrive.require("deadLetterTargetArn", "maxReceiveCount"):
            policy = {
                "deadLetterTargetArn": redrive.text("deadLetterTargetArn"),
                "maxReceiveCount": redrive.integer("maxReceiveCount", 1, RECEIVE_COUNT_MAX, 1),
            }
            attributes["RedrivePolicy"] = json.dumps(policy, separators=(",", ":"))
    allow = properties.section("RedriveAllowPolicy")
    if allow is not None:
        allow.check_known(("redrivePermission", "sourceQueueArns"), "RedriveAllowPolicy")
        choices = ("allowAll", "denyAll", "byQueue")
        rule: dict[str, Any] = {
            "redrivePermission": allow.text("redrivePermission", "allowAll", choices=choices)
        }
        if "sourceQueueArns" in allow:
            rule["sourceQueueArns"] = list(allow.texts("sourceQueueArns"))
        text = json.dumps(rule, separators=(",", ":"))
        try:
            redrive_allowed(text)
        except QueueProblem as problem:
            properties.problem("RedriveAllowPolicy", problem.message.rpartition("Reason: ")[2])
        attributes["RedriveAllowPolicy"] = text
    return attributes | _order(properties, is_fifo=is_fifo)


def _order(properties: Properties, *, is_fifo: bool) -> dict[str, str]:
    """What only FIFO queues have."""
    names = ("ContentBasedDeduplication", *FIFO_CHOICES)
    if not is_fifo:
        for name in names:
            if name in properties:
                properties.problem(name, "is for FIFO queues", "add FifoQueue: true")
        return {}
    attributes = {"FifoQueue": "true"}
    if "ContentBasedDeduplication" in properties:
        attributes["ContentBasedDeduplication"] = as_text(
            properties.boolean("ContentBasedDeduplication")
        )
    for name, choices in FIFO_CHOICES.items():
        if name in properties:
            attributes[name] = properties.text(name, choices[0], choices=choices)
    scope = attributes.get("DeduplicationScope")
    if attributes.get("FifoThroughputLimit") == "perMessageGroupId" and scope != "messageGroup":
        properties.problem(
            "FifoThroughputLimit",
            "perMessageGroupId needs another scope of deduplication",
            "add DeduplicationScope: messageGroup",
        )
    return attributes
