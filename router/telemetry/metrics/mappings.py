"""Event source mappings

Every mapping has a label `mapping`; `router_mapping_info` joins it to its function and source. On
AWS most of these are asked for by `MetricsConfig`, which costs money there. Here they are always
exported: `MetricsConfig` is checked, kept and shown, and changes nothing. Those of Kafka alone,
and of tumbling windows, appear with the first mapping that has them.

A lane whose batch fails is tried again until its budget is used up, and what is behind it waits:
`router_mapping_stuck_lanes` says how many do, `router_mapping_stuck_seconds` since when. A lane
that waits for concurrency, for a slow function or for room in the store is not stuck:
`router_mapping_oldest_record_age_seconds` grows all the same. `router mappings describe NAME
--lanes` shows the same lane by lane.

On-failure records wait in the store until their destination has taken them. They take room there,
those for buckets and Kafka topics with their events: an age of some minutes is worth an alert,
before two and a half hours are over.
"""

from router.telemetry.declare import MAPPING, counter, gauge, histogram

STATES = ("Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting")
CONDITIONS = ("RetryAttemptsExhausted", "RecordAgeExceeded", "MaximumPayloadSizeExceeded")
OUTCOMES = ("succeeded", "partly_succeeded", "failed", "invalid_response", "not_run")
WINDOW_EVENTS = ("opened", "final", "terminated_early")
DELIVERY_REASONS = (
    "unreachable", "timeout", "denied", "missing", "throttled", "server_error", "too_large",
    "refused", "internal",
)  # fmt: skip

DESTINATION = {
    "kind": ("sqs", "sns", "s3", "kafka", "function", "events", "unknown"),
    "destination": "its ARN; a Kafka topic as `kafka://topic`",
}

BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
"""Up to the largest BatchSize."""

HANDLED_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600)
"""From one turn of the loop to a backlog of hours; a tumbling window may last 15 minutes."""

MAPPING_INFO = gauge(
    "router_mapping_info",
    "Always 1: which function and source a mapping joins.",
    {
        **MAPPING,
        "uuid": "the mapping's",
        "function": "the function's name",
        "source": "the name of its source",
    },
)
MAPPING_STATE = gauge(
    "router_mapping_state",
    "1 for the state a mapping is in, 0 for the others.",
    {**MAPPING, "state": STATES},
)
RECORDS_POLLED = counter(
    "router_mapping_records_polled_total",
    "Records read from the source.",
    MAPPING,
    aws="PolledEventCount",
)
RECORDS_FILTERED = counter(
    "router_mapping_records_filtered_total",
    "Records read that no filter of the mapping matched.",
    MAPPING,
    aws="FilteredOutEventCount",
)
RECORDS_UNJUDGED = counter(
    "router_mapping_records_unjudged_total",
    "Records whose filters failed; they were given to the function.",
    MAPPING,
)
RECORDS_INVOKED = counter(
    "router_mapping_records_invoked_total",
    "Records handed to the function, again on every retry.",
    MAPPING,
    aws="InvokedEventCount",
)
RECORDS_FAILED = counter(
    "router_mapping_records_failed_total",
    "Records whose invocation failed, or that the function reported. Batches that could not be "
    "handed to it at all are told by router_mapping_batches_total.",
    MAPPING,
    aws="FailedInvokeEventCount",
)
RECORDS_DISCARDED = counter(
    "router_mapping_records_discarded_total",
    "Records given up, by condition, with a destination or without.",
    {**MAPPING, "condition": CONDITIONS},
    aws={"OversizedRecordCount": 'condition="MaximumPayloadSizeExceeded"'},
)
RECORDS_DROPPED = counter(
    "router_mapping_records_dropped_total",
    "Discarded records that no destination took: there is none, or it failed for too long.",
    MAPPING,
    aws="DroppedEventCount",
)
RECORDS_DELIVERED = counter(
    "router_mapping_records_destination_delivered_total",
    "Discarded records that were delivered to the mapping's on-failure destination.",
    MAPPING,
    aws="OnFailureDestinationDeliveredEventCount",
)
RECORDS_DELETED = counter(
    "router_mapping_records_deleted_total",
    "Messages deleted from their queue, handled or filtered out.",
    MAPPING,
    aws="DeletedEventCount",
)
RECORDS_COMMITTED = counter(
    "router_mapping_records_committed_total",
    "Sum of the distances by which committed offsets moved. Kafka.",
    MAPPING,
    aws="CommittedEventCount",
)
POLL_ERRORS = counter(
    "router_mapping_poll_errors_total",
    "Reads of the source that failed, whatever kind it is.",
    MAPPING,
    aws="PollingErrorCount",
)
COMMIT_ERRORS = counter(
    "router_mapping_commit_errors_total",
    "Failures to keep how far the mapping has come, as an offset or in the store; tried again.",
    MAPPING,
    aws="CommitErrorCount",
)
BATCHES = counter(
    "router_mapping_batches_total",
    "Invocations by outcome; not_run: there was no environment or concurrency for it.",
    {**MAPPING, "outcome": OUTCOMES},
    aws={"InvokeErrorCount": 'outcome=~"failed|invalid_response|not_run"'},
)
BATCH_RECORDS = histogram(
    "router_mapping_batch_records", "Records per invocation.", MAPPING, buckets=BATCH_BUCKETS
)
WINDOWS = counter(
    "router_mapping_windows_total",
    "Tumbling windows by what happened; final: closed, terminated_early: its state was too large.",
    {**MAPPING, "event": WINDOW_EVENTS},
)
BISECTS = counter("router_mapping_bisects_total", "Batches split after a failure.", MAPPING)
RETRIES = counter(
    "router_mapping_retries_total", "Invocations that repeat a batch that failed.", MAPPING
)
IN_FLIGHT = gauge(
    "router_mapping_invocations_in_flight", "Invocations that are running now.", MAPPING
)
BUFFERED = gauge("router_mapping_buffered_records", "Records read and not yet finished.", MAPPING)
OLDEST_RECORD_AGE = gauge(
    "router_mapping_oldest_record_age_seconds",
    "Age of the oldest record that was read and is not finished; 0: there is none.",
    MAPPING,
)
STUCK_LANES = gauge(
    "router_mapping_stuck_lanes",
    "Lanes whose batch in front has failed and is tried again. Streams, webhooks, Kafka.",
    MAPPING,
)
STUCK_TIME = gauge(
    "router_mapping_stuck_seconds",
    "For how long the lane that has been stuck longest has been failing; 0: none is stuck.",
    MAPPING,
)
SOURCE_TROUBLE = gauge(
    "router_mapping_source_trouble",
    "1 while something keeps the mapping from its source; LastProcessingResult says what.",
    MAPPING,
)
ITERATOR_AGE = gauge(
    "router_mapping_iterator_age_seconds",
    "Age of the last record of the batch that was sent last; 0 once nothing is left to read.",
    MAPPING,
    aws="IteratorAge",
)
LAG = gauge(
    "router_mapping_lag_records",
    "Records in the source that are not finished, whatever kind it is. Stays as it was while "
    "nobody can ask the source, as of a disabled Kafka mapping.",
    MAPPING,
    aws={"SumOffsetLag": "", "OffsetLag": ""},
)
LAG_MAX = gauge(
    "router_mapping_partition_lag_max_records",
    "The same of the partition that is furthest behind. Kafka.",
    MAPPING,
    aws="MaxOffsetLag",
)
POLLERS = gauge(
    "router_mapping_pollers",
    "Readers of the source that are running, in every mode: receives of a queue that wait for "
    "messages, members of a consumer group.",
    MAPPING,
    aws="ProvisionedPollers",
)
ACCEPT_TO_HANDLED = histogram(
    "router_mapping_accept_to_handled_seconds",
    "Time from a record's arrival to the end of the batch that finished it, oldest of the batch.",
    MAPPING,
    buckets=HANDLED_BUCKETS_S,
)
BUFFER_BYTES = gauge(
    "router_buffer_bytes",
    "Bytes counted for records read and not yet finished, as read and in events; all mappings.",
)
BUFFER_LIMIT = gauge(
    "router_buffer_limit_bytes",
    "Most that router_buffer_bytes may come to (ROUTER_BUFFER_BYTES_MAX).",
)
DESTINATION_FAILURES = counter(
    "router_mapping_destination_delivery_failures_total",
    "Attempts to deliver to the mapping's on-failure destination that failed, by reason.",
    {**MAPPING, "reason": DELIVERY_REASONS},
    aws={"OnFailureDestinationDeliveryErrorCount": "", "DestinationDeliveryFailures": ""},
)
OUTBOX_ROWS = gauge(
    "router_outbox_rows",
    "On-failure and invocation records that wait for delivery, by destination; gone with the last.",
    DESTINATION,
)
OUTBOX_AGE = gauge(
    "router_outbox_oldest_age_seconds",
    "Age of the oldest of them.",
    DESTINATION,
)
