-- What exists. `body` is JSON.
CREATE TABLE resources (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- A stream whose `arn` is NULL was dropped; what it held is removed in bounded steps.
-- Ids are never reused, so what is left of a dropped stream cannot show up in a new one.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    arn TEXT UNIQUE
);

-- `last_position` is the counter of the shard; it only grows, also when records are trimmed.
-- `arrival_max_ms` is the latest arrival since the shard was empty last.
CREATE TABLE shards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id INTEGER NOT NULL,
    shard TEXT NOT NULL,
    last_position INTEGER NOT NULL,
    arrival_max_ms INTEGER NOT NULL,
    UNIQUE (stream_id, shard)
);

-- Records that were committed together, per shard: `id` is (shard id << 40) | last position, so
-- the segments of a shard lie together, in order, and the first one with an id above a position
-- holds the record after it. `body` is MessagePack: [[key, arrival, size, event id, data], ...].
-- `arrival_max_ms` is the latest arrival up to the segment's end since the shard was empty last:
-- it never falls, so a wall time can be searched by halving even when the clock was set back.
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    first_arrival_ms INTEGER NOT NULL,
    arrival_max_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- `key` is the first 16 bytes of the key's BLAKE2b hash.
CREATE TABLE deduplication (
    stream_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    event_id TEXT NOT NULL,
    arrival_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (stream_id, key)
) WITHOUT ROWID;

CREATE INDEX deduplication_until ON deduplication (until_ms);

-- Everything of the shard at or below `position` is finished by the mapping.
CREATE TABLE progress (
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    position INTEGER NOT NULL,
    factor INTEGER NOT NULL,
    PRIMARY KEY (mapping, shard)
) WITHOUT ROWID;

-- `head` is JSON of the batch that failed, NULL when none did.
CREATE TABLE lanes (
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    lane INTEGER NOT NULL,
    position INTEGER NOT NULL,
    head BLOB,
    PRIMARY KEY (mapping, shard, lane)
) WITHOUT ROWID;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mapping TEXT NOT NULL,
    destination TEXT NOT NULL,
    body BLOB NOT NULL,
    records INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_ms INTEGER NOT NULL,
    made_ms INTEGER NOT NULL
);

CREATE INDEX outbox_due ON outbox (next_attempt_ms);

-- A queue whose `name` is NULL was purged or dropped; see streams.
CREATE TABLE queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE
);

-- `receive_count` is also the token of the last receive: it changes with each.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id INTEGER NOT NULL,
    visible_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    first_received_ms INTEGER NOT NULL DEFAULT 0,
    sent_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    attributes BLOB NOT NULL,
    system BLOB NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX messages_visible ON messages (queue_id, visible_ms, receive_count);
CREATE INDEX messages_expiry ON messages (expires_ms);
