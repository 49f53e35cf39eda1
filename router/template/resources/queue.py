"""`AWS::SQS::Queue`: an embedded standard queue."""

import json
from collections.abc import Callable
from typing import Any

from router.embedded.attributes import RANGES, RECEIVE_COUNT_MAX
from router.model.arn import queue_arn
from router.model.resources import Queue
from router.template.parameters import as_text
from router.template.properties import Properties
from router.template.resources.base import At, Draft

NAME_CHARACTERS_MAX = 80
"""Longest queue name (SQS limit)."""

_RANGES = {
    **{name: (least, most) for name, (least, most, _) in RANGES.items()},
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
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
)
_FIFO = "FIFO queues are not supported yet"
_REFUSED = {
    "ContentBasedDeduplication": _FIFO,
    "DeduplicationScope": _FIFO,
    "FifoThroughputLimit": _FIFO,
}


class SqsQueue:
    """A standard queue."""

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
        properties.check_known((*_PROPERTIES, "FifoQueue"), self.name, _REFUSED)
        given_name = properties.text("QueueName")
        if properties.boolean("FifoQueue") or given_name.endswith(".fifo"):
            at_fault = "FifoQueue" if "FifoQueue" in properties else "QueueName"
            properties.problem(at_fault, f"is not supported: {_FIFO}", "use a standard queue")
        else:
            properties.text("QueueName", pattern=r"[A-Za-z0-9_-]{1,80}")
        name = self._queue_name(at)
        if name in draft.queues:
            properties.problem("QueueName", f"two queues are named {name}")
        around = at.surroundings
        draft.queues[name] = Queue(
            name=name,
            arn=queue_arn(around.region, around.account, name),
            attributes=_attributes(properties),
            tags=properties.tags(),
            created_s=0,
            modified_s=0,
            owner=at.owner,
        )

    @staticmethod
    def _queue_name(at: At) -> str:
        return at.physical_name("QueueName", NAME_CHARACTERS_MAX)


def _attributes(properties: Properties) -> dict[str, str]:
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
        attributes["RedriveAllowPolicy"] = json.dumps(rule, separators=(",", ":"))
    return attributes
