"""Where records go that a mapping gives up on."""

from collections.abc import Callable, Container, Iterator
from typing import Any, Final

from router.mapping.rules.refusal import Refusal, Settings
from router.mapping.rules.takes import UNSUPPORTED_DESTINATION, is_provisioned, takes
from router.model.destination import DestinationError, kind_of, parse_destination
from router.model.source_kind import KAFKAS, SourceKind

PATH: Final = ("DestinationConfig", "OnFailure", "Destination")

NO_DESTINATION: Final = (
    "The on-failure destination {} is none: give the ARN of an SQS queue, an SNS topic, an S3 "
    "bucket or a Lambda function, or kafka://TOPIC."
)
NOT_THERE: Final = "The on-failure destination does not exist: {}"
SAME_TOPIC: Final = "The on-failure topic must be another one than the mapping reads."


def destination_of(settings: Settings) -> str:
    """The on-failure destination; empty when there is none."""
    on_failure: dict[str, Any] = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    return on_failure.get("Destination") or ""


def check_shape(settings: Settings) -> Iterator[Refusal]:
    """OnSuccess exists in the model and is refused for every source."""
    if (settings.get("DestinationConfig") or {}).get("OnSuccess"):
        yield Refusal(UNSUPPORTED_DESTINATION, "DestinationConfig", "OnSuccess")


def check_destination(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """It can be delivered to. A topic is for Kafka mappings in provisioned mode (5.2)."""
    text = destination_of(settings)
    if not text or not takes(kind, "DestinationConfig"):
        return
    try:
        destination = parse_destination(text)
    except DestinationError:
        yield Refusal(NO_DESTINATION.format(text), *PATH)
        return
    if destination.kind == "events":
        yield Refusal(NO_DESTINATION.format(text), *PATH)
    if destination.kind != "kafka":
        return
    if kind not in KAFKAS or not is_provisioned(settings):
        yield Refusal(UNSUPPORTED_DESTINATION, *PATH)
    elif destination.name in (settings.get("Topics") or ()):
        yield Refusal(SAME_TOPIC, *PATH)


def check_there(
    text: str | None,
    queue_arns: Container[str] | None,
    has_function: Callable[[str, str | None], bool],
    here: tuple[str, str] | None = None,
) -> Refusal | None:
    """Whether a destination of this router exists.

    `queue_arns` is None where queues are AWS's; `has_function` knows names and qualifiers; `here`
    is region and account, None when they were looked at before. What is elsewhere may be away for
    a while, and is not asked for: records wait for it (`router doctor` tells).
    """
    if not text:
        return None
    destination = parse_destination(text)
    is_there = True
    if destination.kind == "function":
        is_there = has_function(destination.name, destination.qualifier) and here in (
            None,
            (destination.region, destination.account),
        )
    elif destination.kind == "sqs" and queue_arns is not None:
        is_there = text in queue_arns
    return (
        None if is_there else Refusal(f"The on-failure destination does not exist: {text}", *PATH)
    )


def is_of_router(text: str, *, has_queues: bool) -> bool:
    """Whether a destination's ARN can only be of this router's region and account."""
    kind = kind_of(text)
    return kind == "function" or (kind == "sqs" and has_queues)
