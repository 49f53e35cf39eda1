"""Where records go that a mapping gives up on."""

from collections.abc import Iterator
from typing import Any, Final

from router.mapping.rules.refusal import Refusal, Settings, not_here
from router.mapping.rules.takes import UNSUPPORTED_DESTINATION, is_provisioned
from router.model.source_kind import KAFKAS, SourceKind

PATH: Final = ("DestinationConfig", "OnFailure", "Destination")
TOPIC: Final = "kafka://"


def destination_of(settings: Settings) -> str:
    """The on-failure destination; empty when there is none."""
    on_failure: dict[str, Any] = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    return on_failure.get("Destination") or ""


def check_shape(settings: Settings) -> Iterator[Refusal]:
    """OnSuccess exists in the model and is refused for every source."""
    if (settings.get("DestinationConfig") or {}).get("OnSuccess"):
        yield Refusal(UNSUPPORTED_DESTINATION, "DestinationConfig", "OnSuccess")


def check_destination(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """A topic is for Kafka mappings in provisioned mode."""
    is_topic = destination_of(settings).startswith(TOPIC)
    if is_topic and (kind not in KAFKAS or not is_provisioned(settings)):
        yield Refusal(UNSUPPORTED_DESTINATION, *PATH)


def refuse_later(settings: Settings) -> Iterator[Refusal]:
    """Destinations AWS delivers to and this version does not."""
    destination = destination_of(settings)
    if destination and not destination.startswith("arn:aws:sqs:"):
        yield not_here("On-failure destinations other than SQS queues are", *PATH)
    elif destination.endswith(".fifo"):
        yield not_here("FIFO queues as on-failure destinations are", *PATH)
