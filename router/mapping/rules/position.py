"""Where a new mapping begins."""

from collections.abc import Iterator
from typing import Final

from router.mapping.rules.refusal import Refusal, Settings, unsupported
from router.mapping.rules.takes import takes
from router.model.source_kind import SourceKind

NEEDED_BY: Final = frozenset({SourceKind.KINESIS, SourceKind.DYNAMODB, SourceKind.MSK})

_POSITION: Final = "StartingPosition"
_TIMESTAMP: Final = "StartingPositionTimestamp"


def check_position(kind: SourceKind, settings: Settings, now_s: float) -> Iterator[Refusal]:
    """StartingPosition and its timestamp, epoch seconds both."""
    if not takes(kind, _POSITION):
        return
    position, timestamp_s = settings.get(_POSITION), settings.get(_TIMESTAMP)
    if position is None and kind in NEEDED_BY:
        yield Refusal(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
            "constraint: Member must not be null.",
            _POSITION,
        )
        return
    if position != "AT_TIMESTAMP":
        if timestamp_s is not None and takes(kind, _TIMESTAMP):
            yield Refusal(f"{_TIMESTAMP} is valid only with AT_TIMESTAMP.", _TIMESTAMP)
        return
    if kind is SourceKind.DYNAMODB:
        arn = settings.get("EventSourceArn")
        yield Refusal(f"Unsupported starting position for arn type: {arn}", _POSITION)
    elif timestamp_s is None:
        yield Refusal("Need to specify a timestamp", _TIMESTAMP)
    elif timestamp_s < 0:
        yield Refusal(f"{_TIMESTAMP} cannot be before 1970.", _TIMESTAMP)
    elif timestamp_s > now_s:
        yield Refusal(f"{_TIMESTAMP} cannot be in the future.", _TIMESTAMP)


def refuse_position_in_queue_mode(settings: Settings) -> Iterator[Refusal]:
    """A share group has no positions and no windows (7.5)."""
    for name in (_POSITION, _TIMESTAMP, "MaximumBatchingWindowInSeconds"):
        if settings.get(name) is not None:
            yield unsupported(name)
    if settings.get("MaximumRetryAttempts") == -1:
        yield unsupported("MaximumRetryAttempts", hint="Queue mode takes 0 to 10000.")
