"""The settings of an event source mapping on a stream."""

import msgspec

from router.model import limits


class MappingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Settings as an engine wants them: milliseconds, -1 for no limit.

    Names in the API: BatchSize, MaximumBatchingWindowInSeconds, ParallelizationFactor,
    MaximumRetryAttempts, MaximumRecordAgeInSeconds, BisectBatchOnFunctionError,
    FunctionResponseTypes, DestinationConfig, TumblingWindowInSeconds, FilterCriteria,
    StartingPosition.
    """

    uuid: str
    name: str
    """Template name or short UUID: the `mapping` label of every metric and log line."""
    function_arn: str
    """With the qualifier the caller used."""
    source_arn: str
    batch_size: int = 100
    window_ms: int = 0
    factor: int = 1
    retries_max: int = -1
    record_age_ms_max: int = -1
    is_bisecting: bool = False
    is_reporting_failures: bool = False
    destination_arn: str | None = None
    tumbling_window_ms: int = 0
    filters: tuple[str, ...] = ()
    """Patterns as given; one must match a record for the mapping to take it. None: all do."""
    starting_position: str = "TRIM_HORIZON"
    starting_timestamp_ms: int | None = None
    event_bytes_max: int = limits.EVENT_BYTES_MAX
    state_bytes_max: int = limits.WINDOW_STATE_BYTES_MAX
    backoff_ms_max: int = limits.BACKOFF_MS_MAX
    """Ceiling of the wait between attempts."""
