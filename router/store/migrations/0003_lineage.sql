-- A closed shard takes no more records. A shard comes to be with its first record or when it is
-- closed; one below `first_shard`, by name, is forgotten for ever.
ALTER TABLE shards ADD COLUMN is_closed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN first_shard TEXT NOT NULL DEFAULT '';
