-- The group of a message of a FIFO queue, NULL in standard queues. Its id is its place in the group.
ALTER TABLE messages ADD COLUMN group_id TEXT;

CREATE INDEX messages_group ON messages (queue_id, group_id, id) WHERE group_id IS NOT NULL;

-- A group that holds messages. `ready_ms`: when its first one may be handed out, but not before
-- the group was handed out last (`turn_ms`), so that groups take turns.
CREATE TABLE fifo_groups (
    queue_id INTEGER NOT NULL,
    group_id TEXT NOT NULL,
    ready_ms INTEGER NOT NULL,
    turn_ms INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    PRIMARY KEY (queue_id, group_id)
) WITHOUT ROWID;

CREATE INDEX fifo_groups_ready ON fifo_groups (queue_id, ready_ms, turns);

-- What was sent to a FIFO queue a short while ago, kept also when the message is gone.
CREATE TABLE fifo_deduplication (
    queue_id INTEGER NOT NULL,
    deduplication_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (queue_id, deduplication_id, group_id)
) WITHOUT ROWID;

CREATE INDEX fifo_deduplication_until ON fifo_deduplication (until_ms);

-- What a receive with an attempt id handed out, so that a repetition gets the same. `body` is JSON:
-- [received_ms, visible_ms, [[message, receive_count], ...]].
CREATE TABLE receive_attempts (
    queue_id INTEGER NOT NULL,
    attempt_id TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (queue_id, attempt_id)
) WITHOUT ROWID;

CREATE INDEX receive_attempts_until ON receive_attempts (until_ms);

-- Tasks that move messages out of a dead-letter queue; `target` NULL: each to where it came from.
CREATE TABLE move_tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    handle TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    target TEXT,
    rate INTEGER,
    status TEXT NOT NULL,
    moved INTEGER NOT NULL,
    to_move INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    failure TEXT NOT NULL
);
