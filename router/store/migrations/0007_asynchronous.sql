-- Events for functions that nobody waits for. `due_ms`: when one may be taken, or is taken back
-- from whoever has claimed it. `response` is what the last attempt said, NULL when none ran.
-- The payload comes last: the columns before it change without it being written again.
CREATE TABLE async_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    function TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    is_claimed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    held_up INTEGER NOT NULL DEFAULT 0,
    accepted_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    qualifier TEXT,
    trace_id TEXT NOT NULL,
    response BLOB,
    payload BLOB NOT NULL
);

CREATE UNIQUE INDEX async_events_request ON async_events (request_id);
CREATE INDEX async_events_due ON async_events (function, due_ms, is_claimed);

-- What became of an asynchronous invocation goes the way of on-failure records.
ALTER TABLE outbox ADD COLUMN function TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN attributes BLOB NOT NULL DEFAULT x'';
ALTER TABLE outbox ADD COLUMN trace_header TEXT NOT NULL DEFAULT '';
