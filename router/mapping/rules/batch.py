"""Batch size and window together, and lanes."""

from collections.abc import Iterator
from typing import Final

from router.mapping.rules.refusal import Refusal, Settings
from router.model.limits import KAFKA_FACTOR_MAX, PARALLELIZATION_FACTOR_MAX
from router.model.source_kind import KAFKAS, QUEUES, SourceKind

FIFO_BATCH_MAX: Final = 10
BATCH_WITHOUT_WINDOW_MAX: Final = 10
"""Messages of a standard queue that one receive can bring."""

_SIZE: Final = "BatchSize"
_WINDOW: Final = "MaximumBatchingWindowInSeconds"


def batch_size_default(kind: SourceKind) -> int:
    """BatchSize of a mapping that sets none."""
    return 10 if kind in QUEUES else 100


def check_batch(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """What queues cannot do: the model has the ranges that hold everywhere."""
    size = settings.get(_SIZE, batch_size_default(kind))
    window_s = settings.get(_WINDOW) or 0
    if kind is SourceKind.FIFO:
        if window_s > 0:
            yield Refusal("Batching window is not supported for FIFO queues", _WINDOW)
        if size > FIFO_BATCH_MAX:
            yield Refusal("Maximum batch size must be between 1 and 10 inclusive", _SIZE)
    elif kind is SourceKind.SQS and size > BATCH_WITHOUT_WINDOW_MAX and window_s == 0:
        yield Refusal(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10",
            _SIZE,
        )


def check_factor(kind: SourceKind, settings: Settings) -> Iterator[Refusal]:
    """ParallelizationFactor: Kafka's is ours, and larger."""
    most = KAFKA_FACTOR_MAX if kind in KAFKAS else PARALLELIZATION_FACTOR_MAX
    factor = settings.get("ParallelizationFactor", 1)
    if factor > most:
        yield Refusal(
            f"1 validation error detected: Value '{factor}' at 'parallelizationFactor' failed to "
            f"satisfy constraint: Member must have value less than or equal to {most}",
            "ParallelizationFactor",
        )
