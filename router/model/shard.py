"""Shards of a stream: their names and which one a key belongs to, as Kinesis does it."""

import hashlib

HASH_BITS = 128
"""Width of the hash range that shards divide (MD5)."""


def shard_id(index: int) -> str:
    """`shardId-` and twelve digits."""
    return f"shardId-{index:012d}"


def shard_index(key: str, shards: int) -> int:
    """Index of the shard whose hash range holds `key`.

    Shard i of n starts at ⌊i·2¹²⁸/n⌋ (`bus-http-and-schedules.md` 8.1). The last i whose start
    is not above the hash h is ⌊((h+1)·n − 1) / 2¹²⁸⌋, exactly.
    """
    if shards == 1:
        return 0
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return ((int.from_bytes(digest) + 1) * shards - 1) >> HASH_BITS
