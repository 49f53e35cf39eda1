"""The settings of an event source mapping as those who run it want them."""

import msgspec

from router.model import limits
from router.model.arn import function_arn
from router.model.resources import Mapping, Pollers, SourceAccess
from router.model.source_kind import KAFKAS, SourceKind, source_name


class MappingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Settings as an engine wants them: milliseconds, -1 for no limit.

    Names in the API: BatchSize, MaximumBatchingWindowInSeconds, ParallelizationFactor,
    MaximumRetryAttempts, MaximumRecordAgeInSeconds, BisectBatchOnFunctionError,
    FunctionResponseTypes, DestinationConfig, TumblingWindowInSeconds, FilterCriteria,
    StartingPosition, ScalingConfig, ProvisionedPollerConfig, Topics, SelfManagedEventSource,
    SourceAccessConfigurations, ConsumerGroupId.
    """

    uuid: str
    name: str
    """Template name or short UUID: the `mapping` label of every metric and log line."""
    function_arn: str
    """With the qualifier the caller used."""
    source_arn: str
    """Empty for self-managed Kafka."""
    kind: SourceKind = SourceKind.WEBHOOK
    batch_size: int = 100
    window_ms: int = 0
    factor: int = 1
    retries_max: int = -1
    record_age_ms_max: int = -1
    is_bisecting: bool = False
    is_reporting_failures: bool = False
    destination_arn: str | None = None
    retries_reported_only: bool = False
    """After a partial response only the reported records are tried again, not all from the first
    of them on: Kafka (`event-source-mappings.md` 7.4)."""
    is_window_from_first: bool = False
    """The batching window starts with the first record of a batch, not with the end of the lane's
    previous invocation: Kafka (section 2)."""
    tumbling_window_ms: int = 0
    filters: tuple[str, ...] = ()
    """Patterns as given; one must match a record for the mapping to take it. None: all do."""
    starting_position: str = "TRIM_HORIZON"
    starting_timestamp_ms: int | None = None
    concurrency_max: int | None = None
    """Invocations of the mapping at a time; None: as many as its kind of source may have."""
    pollers: Pollers | None = None
    """Provisioned mode; None: on demand."""
    bootstrap_servers: tuple[str, ...] = ()
    """Of self-managed Kafka: `host:port` each."""
    topics: tuple[str, ...] = ()
    source_access: tuple[SourceAccess, ...] = ()
    consumer_group: str = ""
    """Of Kafka; never empty there."""
    event_bytes_max: int = limits.EVENT_BYTES_MAX
    state_bytes_max: int = limits.WINDOW_STATE_BYTES_MAX
    backoff_ms_max: int = limits.BACKOFF_MS_MAX
    """Ceiling of the wait between attempts."""

    @property
    def source_name(self) -> str:
        """Its source, for people."""
        return source_name(self.source_arn, self.bootstrap_servers, self.topics)


def spec_of(mapping: Mapping, region: str, account: str, backoff_ms_max: int) -> MappingSpec:
    """What runs a mapping by what the API knows of it."""
    age_s, window_s = mapping.record_age_s_max, mapping.window_s
    return MappingSpec(
        uuid=mapping.uuid,
        name=mapping.name,
        function_arn=function_arn(region, account, mapping.function, mapping.qualifier),
        source_arn=mapping.event_source_arn,
        kind=mapping.kind,
        retries_reported_only=mapping.kind in KAFKAS,
        is_window_from_first=mapping.kind in KAFKAS,
        batch_size=mapping.batch_size,
        window_ms=limits.WINDOW_UNSET_MS if window_s is None else window_s * 1000,
        factor=mapping.factor,
        retries_max=_retries_max(mapping),
        record_age_ms_max=age_s * 1000 if age_s >= 0 else -1,
        is_bisecting=mapping.is_bisecting,
        is_reporting_failures="ReportBatchItemFailures" in mapping.response_types,
        destination_arn=mapping.destination_arn or None,
        tumbling_window_ms=mapping.tumbling_window_s * 1000,
        filters=mapping.filters,
        starting_position=mapping.starting_position,
        starting_timestamp_ms=mapping.starting_timestamp_ms,
        concurrency_max=mapping.concurrency_max,
        pollers=mapping.pollers,
        bootstrap_servers=mapping.bootstrap_servers,
        topics=mapping.topics,
        source_access=mapping.source_access,
        consumer_group=mapping.consumer_group or mapping.uuid,
        backoff_ms_max=backoff_ms_max,
    )


def _retries_max(mapping: Mapping) -> int:
    """Kafka's "for ever" ends where somebody else gets what failed (P18)."""
    if mapping.kind in KAFKAS and mapping.retries_max < 0 and mapping.destination_arn:
        return limits.KAFKA_RETRIES_WITH_DESTINATION
    return mapping.retries_max
