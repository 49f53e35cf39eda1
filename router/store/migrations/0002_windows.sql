-- The last tumbling window of a mapping in a shard, its state made by exactly the records up to
-- `position`; `state` is NULL when it was closed. Apart from `lanes`: those rows are written with
-- every batch, and stay small.
CREATE TABLE windows (
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    position INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    state BLOB,
    PRIMARY KEY (mapping, shard)
);
