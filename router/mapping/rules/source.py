"""Which source a mapping names."""

from typing import Final

from router.mapping.rules.refusal import Refusal, Settings
from router.model.source_kind import SourceKind, kind_of_arn

UNRECOGNIZED: Final = "Unrecognized event source."
SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"


def source_kind(settings: Settings) -> SourceKind:
    """The kind of source. Raises `Refusal` when there is none, or none that Lambda knows."""
    text = settings.get("EventSourceArn")
    if text is not None:
        kind = kind_of_arn(text)
        if kind is None:
            raise Refusal(UNRECOGNIZED, "EventSourceArn")
        return kind
    if bootstrap_servers(settings):
        return SourceKind.KAFKA
    name = "SelfManagedEventSource" if "SelfManagedEventSource" in settings else "EventSourceArn"
    raise Refusal(UNRECOGNIZED, name)


def bootstrap_servers(settings: Settings) -> tuple[str, ...]:
    """The servers of a self-managed cluster."""
    endpoints = (settings.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    return tuple(endpoints.get(SERVERS) or ())
