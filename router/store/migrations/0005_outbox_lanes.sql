-- Each destination is emptied apart from the others. `letter_id` names an on-failure record the same
-- however often it is sent, `lane` is what it comes in order with, `object_key` and `origin` are of
-- the destinations that need them. `body` is last: what comes before it is read without it.
CREATE TABLE outbox_by_destination (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    next_attempt_ms INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    mapping TEXT NOT NULL,
    mapping_uuid TEXT NOT NULL,
    lane TEXT NOT NULL,
    letter_id TEXT NOT NULL,
    object_key TEXT NOT NULL,
    records INTEGER NOT NULL,
    origin BLOB NOT NULL,
    body BLOB NOT NULL
);

INSERT INTO outbox_by_destination
SELECT id, destination, next_attempt_ms, made_ms, attempts, mapping, '', '',
    lower(hex(randomblob(16))), '', records, x'', body FROM outbox;

DROP TABLE outbox;
ALTER TABLE outbox_by_destination RENAME TO outbox;

CREATE INDEX outbox_lanes ON outbox (destination, origin, next_attempt_ms, made_ms);
