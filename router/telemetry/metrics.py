"""Every metric the router exports.

Prefix `router_`, base units, labels from bounded sets only (mapping, function, webhook, reason);
never an id, a key, a URL or an error text. Bind label children once per mapping or function:
`.labels()` in a hot path costs four times the increment.
"""

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from router import __version__
from router.telemetry.histogram import FastHistogram

REGISTRY = CollectorRegistry(auto_describe=True)
"""Ours alone: of a library's default registry only what every process tells of itself."""

ProcessCollector(registry=REGISTRY)

DURATION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZE_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

# Ingress

WEBHOOK_REQUESTS = Counter(
    "router_webhook_requests_total",
    "Webhook requests by result: accepted, duplicate, or the reason of the refusal.",
    ["webhook", "result"],
    registry=REGISTRY,
)
WEBHOOK_BYTES = Counter(
    "router_webhook_received_bytes_total",
    "Body bytes of accepted webhook requests.",
    ["webhook"],
    registry=REGISTRY,
)
WEBHOOK_DURATION = FastHistogram(
    "router_webhook_duration_seconds",
    "Time from a complete webhook request to its durable answer.",
    "webhook",
    DURATION_BUCKETS_S,
    REGISTRY,
)
WEBHOOK_UNKEYED = Counter(
    "router_webhook_unkeyed_records_total",
    "Accepted webhook records whose partition key was missing; they were spread by event id.",
    ["webhook"],
    registry=REGISTRY,
)
URL_REQUESTS = Counter(
    "router_function_url_requests_total",
    "Requests to functions' URLs (UrlRequestCount), by the class of their status, as 2xx: "
    "Url4xxCount and Url5xxCount are two of them.",
    ["function", "status_class"],
    registry=REGISTRY,
)
URL_DURATION = FastHistogram(
    "router_function_url_duration_seconds",
    "Time from a complete request to a function's URL to its answer (UrlRequestLatency).",
    "function",
    DURATION_BUCKETS_S,
    REGISTRY,
)
INGRESS_CONNECTIONS = Gauge(
    "router_ingress_connections", "Open ingress connections.", registry=REGISTRY
)
INGRESS_REFUSED = Counter(
    "router_ingress_refused_total",
    "Ingress requests and connections refused before a webhook was known, by reason.",
    ["reason"],
    registry=REGISTRY,
)
INGRESS_RESTARTS = Counter(
    "router_ingress_process_restarts_total",
    "Times the ingress process ended by itself and was started again.",
    registry=REGISTRY,
)
API_REFUSED = Counter(
    "router_api_refused_total",
    "What the API's listener, or the functions' own, refused by itself, by reason.",
    ["reason"],
    registry=REGISTRY,
)

# Mappings

MAPPING_INFO = Gauge(
    "router_mapping_info",
    "Always 1: which function and source a mapping joins.",
    ["mapping", "uuid", "function", "source"],
    registry=REGISTRY,
)
MAPPING_STATE = Gauge(
    "router_mapping_state",
    "1 for the state a mapping is in.",
    ["mapping", "state"],
    registry=REGISTRY,
)
RECORDS_POLLED = Counter(
    "router_mapping_records_polled_total",
    "Records read from the source (PolledEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_FILTERED = Counter(
    "router_mapping_records_filtered_total",
    "Records read that no filter of the mapping matched (FilteredOutEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_UNJUDGED = Counter(
    "router_mapping_records_unjudged_total",
    "Records whose filters failed; they were given to the function.",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_INVOKED = Counter(
    "router_mapping_records_invoked_total",
    "Records handed to the function, again on every retry (InvokedEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_FAILED = Counter(
    "router_mapping_records_failed_total",
    "Records whose invocation failed (FailedInvokeEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_DISCARDED = Counter(
    "router_mapping_records_discarded_total",
    "Records given up, by condition.",
    ["mapping", "condition"],
    registry=REGISTRY,
)
RECORDS_DROPPED = Counter(
    "router_mapping_records_dropped_total",
    "Discarded records that no destination took (DroppedEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_DELIVERED = Counter(
    "router_mapping_records_destination_delivered_total",
    "Discarded records delivered to the destination (OnFailureDestinationDeliveredEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_DELETED = Counter(
    "router_mapping_records_deleted_total",
    "Messages deleted from their queue, handled or filtered out (DeletedEventCount).",
    ["mapping"],
    registry=REGISTRY,
)
RECORDS_EXPIRED = Counter(
    "router_stream_records_expired_unhandled_total",
    "Records that aged out of their stream before every mapping had finished them.",
    ["stream"],
    registry=REGISTRY,
)
RECORDS_COMMITTED = Counter(
    "router_mapping_records_committed_total",
    "Sum of the distances by which committed offsets moved (CommittedEventCount). Kafka.",
    ["mapping"],
    registry=REGISTRY,
)
POLL_ERRORS = Counter(
    "router_mapping_poll_errors_total",
    "Reads of the source that failed (PollingErrorCount).",
    ["mapping"],
    registry=REGISTRY,
)
COMMIT_ERRORS = Counter(
    "router_mapping_commit_errors_total",
    "Failures to keep how far the mapping has come; it is tried again (CommitErrorCount).",
    ["mapping"],
    registry=REGISTRY,
)
BATCHES = Counter(
    "router_mapping_batches_total",
    "Invocations by outcome: succeeded, partly_succeeded, failed, invalid_response, not_run.",
    ["mapping", "outcome"],
    registry=REGISTRY,
)
BATCH_RECORDS = Histogram(
    "router_mapping_batch_records",
    "Records per invocation.",
    ["mapping"],
    buckets=SIZE_BUCKETS,
    registry=REGISTRY,
)
WINDOWS = Counter(
    "router_mapping_windows_total",
    "Tumbling windows by what happened: opened, final (closed), terminated_early (too large).",
    ["mapping", "event"],
    registry=REGISTRY,
)
BISECTS = Counter(
    "router_mapping_bisects_total",
    "Batches split after a failure.",
    ["mapping"],
    registry=REGISTRY,
)
RETRIES = Counter(
    "router_mapping_retries_total",
    "Invocations that repeat a batch.",
    ["mapping"],
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "router_mapping_invocations_in_flight",
    "Invocations running now.",
    ["mapping"],
    registry=REGISTRY,
)
BUFFERED = Gauge(
    "router_mapping_buffered_records",
    "Records read and not yet finished.",
    ["mapping"],
    registry=REGISTRY,
)
BUFFER_BYTES = Gauge(
    "router_buffer_bytes",
    "Bytes counted for records read and not yet finished, as read and in events; all mappings.",
    registry=REGISTRY,
)
BUFFER_LIMIT = Gauge(
    "router_buffer_limit_bytes",
    "Most that router_buffer_bytes may come to (ROUTER_BUFFER_BYTES_MAX).",
    registry=REGISTRY,
)
OLDEST_RECORD_AGE = Gauge(
    "router_mapping_oldest_record_age_seconds",
    "Age of the oldest record that was read and is not finished; 0: there is none.",
    ["mapping"],
    registry=REGISTRY,
)
STUCK_LANES = Gauge(
    "router_mapping_stuck_lanes",
    "Lanes whose batch in front has failed and is tried again. Streams, webhooks, Kafka.",
    ["mapping"],
    registry=REGISTRY,
)
STUCK_TIME = Gauge(
    "router_mapping_stuck_seconds",
    "For how long the lane that has been stuck longest has been failing; 0: none is stuck.",
    ["mapping"],
    registry=REGISTRY,
)
SOURCE_TROUBLE = Gauge(
    "router_mapping_source_trouble",
    "1 while something keeps the mapping from its source; LastProcessingResult says what.",
    ["mapping"],
    registry=REGISTRY,
)
ITERATOR_AGE = Gauge(
    "router_mapping_iterator_age_seconds",
    "Age of the last record of the batch sent last (IteratorAge).",
    ["mapping"],
    registry=REGISTRY,
)
LAG = Gauge(
    "router_mapping_lag_records",
    "Records in the source that are not finished (SumOffsetLag, OffsetLag).",
    ["mapping"],
    registry=REGISTRY,
)
LAG_MAX = Gauge(
    "router_mapping_partition_lag_max_records",
    "The same of the partition that is furthest behind (MaxOffsetLag). Kafka.",
    ["mapping"],
    registry=REGISTRY,
)
POLLERS = Gauge(
    "router_mapping_pollers",
    "Readers of the source that are running (ProvisionedPollers).",
    ["mapping"],
    registry=REGISTRY,
)
ACCEPT_TO_HANDLED = Histogram(
    "router_mapping_accept_to_handled_seconds",
    "Time from a record's arrival to the end of the batch that finished it, oldest of the batch.",
    ["mapping"],
    buckets=(*DURATION_BUCKETS_S, 60, 300, 900, 3600),
    registry=REGISTRY,
)
DESTINATION_FAILURES = Counter(
    "router_mapping_destination_delivery_failures_total",
    "Failed attempts to deliver to an on-failure destination, by reason "
    "(OnFailureDestinationDeliveryErrorCount, DestinationDeliveryFailures).",
    ["mapping", "reason"],
    registry=REGISTRY,
)
OUTBOX_ROWS = Gauge(
    "router_outbox_rows",
    "On-failure and invocation records waiting for delivery, by destination.",
    ["kind", "destination"],
    registry=REGISTRY,
)
OUTBOX_AGE = Gauge(
    "router_outbox_oldest_age_seconds",
    "Age of the oldest of them.",
    ["kind", "destination"],
    registry=REGISTRY,
)

# Functions

INVOCATIONS = Counter(
    "router_function_invocations_total",
    "Invocations by result: ok, error, timeout, crash.",
    ["function", "result"],
    registry=REGISTRY,
)
VERSION_INVOCATIONS = Counter(
    "router_function_version_invocations_total",
    "Invocations of published versions, by result, as long as the version is there "
    "(dimension ExecutedVersion).",
    ["function", "version", "result"],
    registry=REGISTRY,
)
FUNCTION_DURATION = FastHistogram(
    "router_function_duration_seconds",
    "Time from handing an event to an environment to its reply.",
    "function",
    DURATION_BUCKETS_S,
    REGISTRY,
)
COLD_STARTS = Counter(
    "router_function_cold_starts_total", "Environments made.", ["function"], registry=REGISTRY
)
RUNTIME_API_REFUSED = Counter(
    "router_runtime_api_refused_connections_total",
    "Connections to an environment's Runtime API from processes that are none of its own.",
    registry=REGISTRY,
)
INIT_DURATION = Histogram(
    "router_function_init_duration_seconds",
    "Time from asking for an environment to a loaded handler.",
    ["function"],
    buckets=DURATION_BUCKETS_S,
    registry=REGISTRY,
)
THROTTLES = Counter(
    "router_function_throttles_total",
    "Invocations refused for want of concurrency (Throttles).",
    ["function"],
    registry=REGISTRY,
)
RECURSIVE_DROPPED = Counter(
    "router_function_recursive_invocations_dropped_total",
    "Invocations stopped as part of a recursive loop (RecursiveInvocationsDropped).",
    ["function"],
    registry=REGISTRY,
)
ASYNC_RECEIVED = Counter(
    "router_function_async_events_received_total",
    "Events taken for asynchronous invocation (AsyncEventsReceived).",
    ["function"],
    registry=REGISTRY,
)
ASYNC_AGE = Histogram(
    "router_function_async_event_age_seconds",
    "Time from taking an event to each of its attempts (AsyncEventAge).",
    ["function"],
    buckets=(*DURATION_BUCKETS_S, 60, 120, 300, 900, 3600, 21_600),
    registry=REGISTRY,
)
ASYNC_DROPPED = Counter(
    "router_function_async_events_dropped_total",
    "Events that never succeeded, by condition, destination or none (AsyncEventsDropped).",
    ["function", "condition"],
    registry=REGISTRY,
)
ASYNC_DELIVERY_FAILURES = Counter(
    "router_function_destination_delivery_failures_total",
    "Failed deliveries of invocation records, by reason (DestinationDeliveryFailures).",
    ["function", "reason"],
    registry=REGISTRY,
)
DEAD_LETTER_ERRORS = Counter(
    "router_function_dead_letter_errors_total",
    "Failed deliveries of dead letters, by reason (DeadLetterErrors).",
    ["function", "reason"],
    registry=REGISTRY,
)
ASYNC_WAITING = Gauge(
    "router_function_async_events_waiting",
    "Events in the queue for asynchronous invocation, running ones included.",
    ["function"],
    registry=REGISTRY,
)
ASYNC_OVERDUE = Gauge(
    "router_function_async_overdue_seconds",
    "For how long the event that is due first has been waiting for its turn; 0: none is due.",
    ["function"],
    registry=REGISTRY,
)
ENVIRONMENTS = Gauge(
    "router_function_environments",
    "Environments by state: starting, busy, idle.",
    ["function", "state"],
    registry=REGISTRY,
)
LOG_DROPPED_BYTES = Counter(
    "router_function_log_dropped_bytes_total",
    "Bytes of function output dropped over the caps.",
    ["function"],
    registry=REGISTRY,
)
ISOLATION_INFO = Gauge(
    "router_isolation_info",
    "Always 1: the isolation rung in force and what it is made of.",
    ["rung", "mechanisms"],
    registry=REGISTRY,
)
CONCURRENCY_LIMIT = Gauge(
    "router_concurrency_limit", "Most invocations at a time.", registry=REGISTRY
)
CONCURRENCY_USED = Gauge(
    "router_concurrency_used",
    "Invocations running now, all functions (ConcurrentExecutions).",
    registry=REGISTRY,
)
CONCURRENCY_UNRESERVED_USED = Gauge(
    "router_concurrency_unreserved_used",
    "Of them those of functions without a reservation (UnreservedConcurrentExecutions).",
    registry=REGISTRY,
)
CONCURRENCY_CLAIMED = Gauge(
    "router_concurrency_claimed",
    "Unreserved in use, reserved and provisioned together (ClaimedAccountConcurrency).",
    registry=REGISTRY,
)
PROVISIONED = Gauge(
    "router_function_provisioned_environments",
    "Provisioned environments by state: requested, ready, used.",
    ["function", "version", "state"],
    registry=REGISTRY,
)
PROVISIONED_INVOCATIONS = Counter(
    "router_function_provisioned_invocations_total",
    "Invocations by provisioned environments (ProvisionedConcurrencyInvocations).",
    ["function", "version"],
    registry=REGISTRY,
)
PROVISIONED_SPILLOVERS = Counter(
    "router_function_provisioned_spillovers_total",
    "Invocations on demand, of versions all of whose provisioned environments were in use "
    "(ProvisionedConcurrencySpilloverInvocations).",
    ["function", "version"],
    registry=REGISTRY,
)

# Store and process

STORE_COMMIT_DURATION = Histogram(
    "router_store_commit_duration_seconds",
    "Time of one group commit, sync included.",
    buckets=DURATION_BUCKETS_S,
    registry=REGISTRY,
)
STORE_COMMIT_OPERATIONS = Histogram(
    "router_store_commit_operations",
    "Writes that shared one commit.",
    buckets=SIZE_BUCKETS,
    registry=REGISTRY,
)
STORE_WAITING = Gauge(
    "router_store_waiting_operations", "Writes waiting for a commit.", registry=REGISTRY
)
STORE_BYTES = Gauge("router_store_bytes", "Bytes in use in the store.", registry=REGISTRY)
STORE_LIMIT = Gauge(
    "router_store_limit_bytes",
    "Most that router_store_bytes may come to (ROUTER_STORE_BYTES_MAX).",
    registry=REGISTRY,
)
STORE_DISK_FREE = Gauge(
    "router_store_disk_free_bytes", "Bytes left on the store's disk.", registry=REGISTRY
)
STORE_STALLED = Gauge(
    "router_store_stalled_seconds",
    "How long the commit in hand has been with the disk.",
    registry=REGISTRY,
)
STORE_ERRORS = Counter(
    "router_store_errors_total",
    "Writes the store refused or failed.",
    ["reason"],
    registry=REGISTRY,
)
CLOCK_JUMPS = Counter(
    "router_clock_jumps_total",
    "Times the wall clock was set while the router ran: forward, backward.",
    ["direction"],
    registry=REGISTRY,
)
LOOP_STALL_MAX = Gauge(
    "router_event_loop_stall_max_seconds",
    "Longest time the event loop, or the ingress process's, was held up since the scrape before.",
    registry=REGISTRY,
)
LOOP_STALL = Histogram(
    "router_event_loop_stall_seconds",
    "How late the event loop woke up.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    "router_api_requests_total",
    "Control-plane requests by service, operation and HTTP status.",
    ["service", "operation", "status"],
    registry=REGISTRY,
)
UNKNOWN_MEMBERS = Counter(
    "router_api_unknown_members_total",
    "Request members the service model does not know; accepted as AWS does.",
    ["service", "operation"],
    registry=REGISTRY,
)
CONFIG_RELOADS = Counter(
    "router_config_reload_total",
    "Times the template was read again because it had changed, by result: ok, failed.",
    ["result"],
    registry=REGISTRY,
)
CONFIG_RELOAD_OK = Gauge(
    "router_config_last_reload_successful",
    "1 while what runs is what the template's files say; 0 after a reload that was refused.",
    registry=REGISTRY,
)
CONFIG_RELOADED_AT = Gauge(
    "router_config_last_reload_success_timestamp_seconds",
    "When the template was put into force last, at start or by a reload, in Unix time.",
    registry=REGISTRY,
)
CONFIG_RELOADS.labels("ok")
CONFIG_RELOADS.labels("failed")
CONFIG_RELOAD_OK.set(1)
BUILD_INFO = Gauge(
    "router_build_info",
    "Always 1: the version of the router and of the Python that runs it.",
    ["version", "python"],
    registry=REGISTRY,
)
BUILD_INFO.labels(__version__, platform.python_version()).set(1)
READY = Gauge("router_ready", "1 while the router takes in work.", registry=REGISTRY)
