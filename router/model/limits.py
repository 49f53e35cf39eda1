"""Named maxima that are not settings: quotas of AWS and bounds of our own.

Sources: `docs/contracts/event-source-mappings.md` 13, `docs/contracts/functions-and-invocation.md`
14 and `docs/contracts/bus-http-and-schedules.md` 6.
"""

KIB = 1024
MIB = 1024 * KIB

EVENT_BYTES_MAX = 6 * MIB
"""Largest event JSON of one invocation, 6,291,456 bytes (Lambda quota)."""

RESPONSE_BYTES_MAX = 6 * MIB + 100
"""Largest reply of a handler, 6,291,556 bytes (Lambda quota)."""

BATCH_SIZE_MAX = 10_000
"""Most records of one invocation (Lambda quota)."""

WINDOW_S_MAX = 300
"""Longest batching window in seconds (Lambda quota)."""

WINDOW_UNSET_MS = 500
"""Batching window of Kafka, MQ and DocumentDB as long as none was set (Lambda)."""

PARALLELIZATION_FACTOR_MAX = 10
"""Most lanes of one shard (Lambda quota)."""

KAFKA_FACTOR_MAX = 1_000
"""Most lanes of one Kafka partition: our own extension, AWS has none there."""

TUMBLING_WINDOW_S_MAX = 900
"""Longest tumbling window in seconds (Lambda quota)."""

WINDOW_STATE_BYTES_MAX = MIB
"""A tumbling window whose state's JSON is larger ends early (Lambda quota)."""

WINDOW_GRACE_MS = 1_000
"""How long after a window's end its last records may still become readable."""

WINDOW_AHEAD_MS_MAX = 2 * 1000 * TUMBLING_WINDOW_S_MAX
"""A tumbling window that ends further ahead than this was made by a clock that is set back since:
its records were not late, so it is not waited for."""

RETRIES_MAX = 10_000
"""Largest MaximumRetryAttempts (Lambda quota)."""

RECORD_AGE_S_MAX = 604_800
"""Largest MaximumRecordAgeInSeconds (Lambda quota)."""

KAFKA_RETRIES_WITH_DESTINATION = 10
"""Retries of a Kafka mapping whose MaximumRetryAttempts is -1 and that has an on-failure
destination (`event-source-mappings.md` 7.4)."""

RUN_AHEAD_RECORDS_MAX = 20_000
"""Records of one shard an engine holds while a lane of it is not finished."""

RUN_AHEAD_BYTES_MAX = 32 * MIB
"""Bytes of one shard an engine holds while a lane of it is not finished."""

BUFFER_BYTES_MAX = 128 * MIB
"""Bytes one mapping holds over all its shards; each shard has its part, at least 8 MiB."""

FETCH_RECORDS_MAX = 2_000
"""Most records one Fetch asks for."""

FETCH_BYTES_MAX = 8 * MIB
"""Most bytes one Fetch asks for; a single larger record still comes alone."""

FETCH_WAIT_MS = 20_000
"""A Fetch with nothing to read is answered empty after this time."""

WINDOW_FETCH_WAIT_MS_MIN = 1_000
"""The shortest such wait where the end of a tumbling window shortens it."""

SHARDS_CLOSED_MAX = 1_024
"""Closed shards of one webhook that wait for their retention or for a mapping."""

BACKOFF_MS_MIN = 500
"""First wait after a failed attempt (`event-source-mappings.md` 3.4)."""

BACKOFF_MS_MAX = 60_000
"""Ceiling of the wait between attempts."""

STORE_BACKOFF_MS_MAX = 4_000
"""Ceiling of the wait before the router's own store is asked again: what a disk held up goes on
soon after it is well (C1)."""

CODE_ZIPPED_BYTES_MAX = 52_428_800
"""Largest zip in a request (Lambda quota)."""

CODE_UNZIPPED_BYTES_MAX = 262_144_000
"""Largest unpacked code with layers (Lambda quota)."""

CODE_ENTRIES_MAX = 50_000
"""Most entries of one zip."""

ENVIRONMENT_BYTES_MAX = 4096
"""Largest compact JSON of a function's environment variables (Lambda quota)."""

TIMEOUT_S_MAX = 900
"""Longest function timeout in seconds (Lambda quota)."""

MEMORY_MB_MIN = 128
MEMORY_MB_MAX = 10_240
"""Memory of a function in MB (Lambda quota)."""

LOG_TAIL_BYTES = 4096
"""Bytes of log returned by an invocation with LogType=Tail."""

ASYNC_PAYLOAD_BYTES_MAX = MIB
"""Largest event of an asynchronous invocation (Lambda quota)."""

INVOKE_ASYNC_BYTES_MAX = 256 * KIB
"""Largest event of InvokeAsync, which is older (Lambda quota)."""

ASYNC_WAIT_MS_MAX = 15 * 60_000
"""Longest wait of an event between two attempts; one that is due later was put back by a clock
that is set back since."""

OUTBOX_ATTEMPTS_MAX = 20
"""Deliveries tried for one outbox row before it counts as failed (D7)."""

OUTBOX_WAIT_MS_MAX = 15 * 60_000
"""Longest wait between two of them."""
