"""The store

Nothing is acknowledged before it is durable, so a slow disk is a slow router: a commit that takes
long, writes that wait for one, a disk that fills up.
"""

from router.telemetry.declare import counter, gauge, histogram

COMMIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""From a commit without a sync to a disk that does not answer."""

OPERATIONS_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)

STORE_COMMIT_DURATION = histogram(
    "router_store_commit_duration_seconds",
    "Time of one group commit, sync included.",
    buckets=COMMIT_BUCKETS_S,
)
STORE_COMMIT_OPERATIONS = histogram(
    "router_store_commit_operations",
    "Writes that shared one commit.",
    buckets=OPERATIONS_BUCKETS,
)
STORE_WAITING = gauge(
    "router_store_waiting_operations", "Writes that wait for a commit, or are in the one in hand."
)
STORE_STALLED = gauge(
    "router_store_stalled_seconds",
    "How long the commit in hand has been with the disk; 0: none is.",
)
STORE_BYTES = gauge("router_store_bytes", "Bytes in use in the store.")
STORE_LIMIT = gauge(
    "router_store_limit_bytes",
    "Most that router_store_bytes may come to before records are refused (ROUTER_STORE_BYTES_MAX).",
)
STORE_DISK_FREE = gauge("router_store_disk_free_bytes", "Bytes left on the store's disk.")
STORE_ERRORS = counter(
    "router_store_errors_total",
    "Writes the store refused or failed.",
    {
        "reason": "refused for want of room: `waiting_full`, `store_full`, `disk_low`, "
        "`outbox_full`, `async_full`; failed: `disk_full`, `io_error`, `damaged`, `busy`, "
        "`read_only`, `unreachable`, `no_memory`, `refused`, or the store's own word for it"
    },
)
