"""Where discarded records may go: what a destination's text names.

`DestinationConfig.OnFailure.Destination` is an ARN or `kafka://topic`
(`event-source-mappings.md` 1.2, 5).
"""

import re
from typing import Final

import msgspec

from router.model.arn import ArnError, parse_arn
from router.model.errors import RouterError

KINDS: Final = ("sqs", "sns", "s3", "kafka", "function", "events")
"""Every kind of destination, as metrics name it. Mappings have no buses, functions no topics of
Kafka."""

_TOPIC: Final = re.compile(r"kafka://([^.][a-zA-Z0-9\-_.]{0,248})")
"""As the service model's pattern has it."""

_NAME: Final = re.compile(r"[a-zA-Z0-9-_.]{1,256}")
"""Of any queue, topic or bucket."""

_BUS: Final = re.compile(r"event-bus/([a-zA-Z0-9-_./]{1,256})")

_FUNCTION: Final = re.compile(
    r"function:([a-zA-Z0-9-_]{1,64})(?::(\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)


class DestinationError(RouterError):
    """The text names no destination that on-failure records can go to."""

    code = "bad_destination"


class Destination(msgspec.Struct, frozen=True):
    """One destination, taken apart."""

    kind: str
    """One of `KINDS`."""
    text: str
    """As it was given."""
    name: str
    """Of the queue, topic, bucket, function or bus."""
    region: str = ""
    """Empty for a bucket, whose ARN names none, and for a Kafka topic."""
    account: str = ""
    qualifier: str | None = None
    """Of a function."""

    @property
    def is_fifo(self) -> bool:
        """A FIFO queue or topic: what it gets carries a group and a deduplication id."""
        return self.kind in {"sqs", "sns"} and self.name.endswith(".fifo")


def parse_destination(text: str) -> Destination:
    """Take a destination apart. Raises `DestinationError`."""
    if match := _TOPIC.fullmatch(text):
        return Destination("kafka", text, match[1])
    try:
        arn = parse_arn(text)
    except ArnError:
        raise DestinationError(f"not an ARN and no kafka://TOPIC: {text!r}") from None
    is_plain = _NAME.fullmatch(arn.resource) is not None
    match arn.service:
        case "sqs" | "sns" if is_plain and arn.region and arn.account:
            return Destination(arn.service, text, arn.resource, arn.region, arn.account)
        case "s3" if is_plain:
            return Destination("s3", text, arn.resource)
        case "events" if match := _BUS.fullmatch(arn.resource):
            return Destination("events", text, match[1], arn.region, arn.account)
        case "lambda":
            if match := _FUNCTION.fullmatch(arn.resource):
                return Destination("function", text, match[1], arn.region, arn.account, match[2])
    raise DestinationError(
        f"{text} is no queue, topic, bucket, function, event bus or kafka://TOPIC: records can go "
        "to these"
    )


def is_dead_letter_target(text: str) -> bool:
    """Whether a function's dead letters can go there: to standard queues and topics."""
    try:
        destination = parse_destination(text)
    except DestinationError:
        return False
    return destination.kind in {"sqs", "sns"} and not destination.is_fifo


def is_invocation_destination(text: str, *, is_failure: bool) -> bool:
    """Whether invocation records can go there; failures also to buckets (Lambda)."""
    try:
        destination = parse_destination(text)
    except DestinationError:
        return False
    kinds = {"sqs", "sns", "function", "events"} | ({"s3"} if is_failure else set())
    return destination.kind in kinds and not destination.is_fifo


def kind_of(text: str | None) -> str | None:
    """The kind of a destination; None for none, and for what names none."""
    try:
        return parse_destination(text or "").kind
    except DestinationError:
        return None
