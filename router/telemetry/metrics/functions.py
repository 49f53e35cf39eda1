"""Functions

Invocations by whatever way: mappings, the API, URLs, events in the queue for asynchronous
invocation. Nothing that is refused for want of concurrency counts anywhere but as a throttle.
"""

from router.telemetry.declare import FUNCTION, counter, gauge, histogram
from router.telemetry.metrics.mappings import DELIVERY_REASONS

RESULTS = ("ok", "error", "timeout", "crash")
VERSION = {"version": "its number, as long as it is there"}

INIT_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Initialization has 10 s."""

ASYNC_AGE_BUCKETS_S = (0.01, 0.05, 0.25, 1, 5, 30, 60, 120, 300, 900, 3_600, 21_600)
"""Attempts are one and two minutes apart, and an event lives for six hours."""

INVOCATIONS = counter(
    "router_function_invocations_total",
    "Invocations that ran code, by result.",
    {**FUNCTION, "result": RESULTS},
    aws={"Invocations": "", "Errors": 'result!="ok"'},
)
VERSION_INVOCATIONS = counter(
    "router_function_version_invocations_total",
    "Those of published versions.",
    {**FUNCTION, **VERSION, "result": RESULTS},
    aws={
        "Invocations (ExecutedVersion)": "",
        "Errors (ExecutedVersion)": 'result!="ok"',
    },
)
FUNCTION_DURATION = histogram(
    "router_function_duration_seconds",
    "Time from handing an event to an environment to its reply.",
    FUNCTION,
    aws="Duration",
)
COLD_STARTS = counter(
    "router_function_cold_starts_total", "Environments that were made and came up.", FUNCTION
)
INIT_DURATION = histogram(
    "router_function_init_duration_seconds",
    "Time from asking for an environment to a loaded handler.",
    FUNCTION,
    buckets=INIT_BUCKETS_S,
)
ENVIRONMENTS = gauge(
    "router_function_environments",
    "Environments by state. starting: being made, also for nobody yet; idle: warm, those that are "
    "provisioned aside.",
    {**FUNCTION, "state": ("starting", "busy", "idle")},
    aws={"ConcurrentExecutions (FunctionName)": 'state=~"starting|busy"'},
)
THROTTLES = counter(
    "router_function_throttles_total",
    "Invocations refused for want of concurrency.",
    FUNCTION,
    aws="Throttles",
)
RECURSIVE_DROPPED = counter(
    "router_function_recursive_invocations_dropped_total",
    "Invocations stopped as part of a recursive loop.",
    FUNCTION,
    aws="RecursiveInvocationsDropped",
)
ASYNC_RECEIVED = counter(
    "router_function_async_events_received_total",
    "Events taken for asynchronous invocation.",
    FUNCTION,
    aws="AsyncEventsReceived",
)
ASYNC_WAITING = gauge(
    "router_function_async_events_waiting",
    "Events in the queue for asynchronous invocation, running ones included.",
    FUNCTION,
)
ASYNC_OVERDUE = gauge(
    "router_function_async_overdue_seconds",
    "For how long the event that is due first has been waiting for its turn; 0: none is due.",
    FUNCTION,
)
ASYNC_AGE = histogram(
    "router_function_async_event_age_seconds",
    "Time from taking an event to each of its attempts.",
    FUNCTION,
    aws="AsyncEventAge",
    buckets=ASYNC_AGE_BUCKETS_S,
)
ASYNC_DROPPED = counter(
    "router_function_async_events_dropped_total",
    "Events that never succeeded, by condition, with a destination or without.",
    {
        **FUNCTION,
        "condition": (
            "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency", "FunctionMissing",
        ),
    },
    aws="AsyncEventsDropped",
)  # fmt: skip
ASYNC_DELIVERY_FAILURES = counter(
    "router_function_destination_delivery_failures_total",
    "Attempts to deliver invocation records to a destination that failed, by reason.",
    {**FUNCTION, "reason": DELIVERY_REASONS},
    aws="DestinationDeliveryFailures",
)
DEAD_LETTER_ERRORS = counter(
    "router_function_dead_letter_errors_total",
    "Attempts to deliver dead letters that failed, by reason.",
    {**FUNCTION, "reason": DELIVERY_REASONS},
    aws="DeadLetterErrors",
)
LOG_DROPPED_BYTES = counter(
    "router_function_log_dropped_bytes_total",
    "Bytes of a function's output that were dropped over the caps.",
    FUNCTION,
)
PROVISIONED = gauge(
    "router_function_provisioned_environments",
    "Provisioned environments by state: asked for, there, in use. Utilization is used of requested",
    {**FUNCTION, **VERSION, "state": ("requested", "ready", "used")},
    aws={
        "ProvisionedConcurrentExecutions": 'state="used"',
        "ProvisionedConcurrencyUtilization": 'state="used"` of `state="requested"',
    },
)
PROVISIONED_INVOCATIONS = counter(
    "router_function_provisioned_invocations_total",
    "Invocations by provisioned environments.",
    {**FUNCTION, **VERSION},
    aws="ProvisionedConcurrencyInvocations",
)
PROVISIONED_SPILLOVERS = counter(
    "router_function_provisioned_spillovers_total",
    "Invocations on demand, of versions all of whose provisioned environments were in use.",
    {**FUNCTION, **VERSION},
    aws="ProvisionedConcurrencySpilloverInvocations",
)
CONCURRENCY_LIMIT = gauge("router_concurrency_limit", "Most invocations at a time.")
CONCURRENCY_USED = gauge(
    "router_concurrency_used",
    "Invocations that are running now, all functions.",
    aws="ConcurrentExecutions",
)
CONCURRENCY_UNRESERVED_USED = gauge(
    "router_concurrency_unreserved_used",
    "Of them those of functions without a reservation.",
    aws="UnreservedConcurrentExecutions",
)
CONCURRENCY_CLAIMED = gauge(
    "router_concurrency_claimed",
    "Unreserved in use, reserved and provisioned together.",
    aws="ClaimedAccountConcurrency",
)
RUNTIME_API_REFUSED = counter(
    "router_runtime_api_refused_connections_total",
    "Connections to an environment's Runtime API from processes that are none of its own.",
)
ISOLATION_INFO = gauge(
    "router_isolation_info",
    "Always 1: the isolation rung in force and what it is made of.",
    {"rung": "0 to 4", "mechanisms": "joined by `+`; `none`"},
)
