"""Shards of a stream: names, hash ranges, parents, and which one a key belongs to, as Kinesis.

    4 shards, then 2:   0 [0 ─ ¼)   1 [¼ ─ ½)   2 [½ ─ ¾)   3 [¾ ─ 1)    closed
                        └─────── 4 ────────┘    └─────── 5 ────────┘    open

A stream is always cut into equal parts, so a change of their number moves every bound: all open
shards are closed, and those that come are children of the closed ones whose ranges they overlap.
Whoever reads finishes all parents of a shard before it, which keeps the order of every key.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

HASH_BITS = 128
"""Width of the hash range that shards divide (MD5)."""


KEYS_REMEMBERED = 4_096
"""Keys whose hash is remembered: the keys of a stream mostly repeat, and hashing costs ten times
as much. With 256 characters a key (`ingress/keys.py`) they take some 2 MB."""


@lru_cache(maxsize=KEYS_REMEMBERED)
def _hash_of(key: str) -> int:
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest())


class StreamShard(msgspec.Struct, frozen=True):
    """One shard: it holds the keys whose MD5, as a number, lies in `first_hash` … `last_hash`."""

    name: str
    """`shardId-` and twelve digits. Never given twice in a stream; children have higher ones."""
    first_hash: int
    last_hash: int
    parents: tuple[str, ...] = ()
    """Those of its parents that are not forgotten yet."""
    is_closed: bool = False
    """It takes no more records."""


class KeyRanges:
    """The open shards of a stream, for finding the one of a key."""

    def __init__(self, shards: Iterable[StreamShard]) -> None:
        is_open = sorted((it for it in shards if not it.is_closed), key=lambda it: it.first_hash)
        self._names = [shard.name for shard in is_open]
        self._firsts = [shard.first_hash for shard in is_open]

    def shard_of(self, key: str) -> str:
        """The name of the open shard whose range holds the key's hash."""
        names = self._names
        if len(names) == 1:
            return names[0]
        return names[bisect_right(self._firsts, _hash_of(key)) - 1]


def shard_id(index: int) -> str:
    """`shardId-` and twelve digits."""
    return f"shardId-{index:012d}"


@lru_cache(maxsize=256)
def first_shards(count: int) -> tuple[StreamShard, ...]:
    """The shards a stream begins with."""
    return tuple(StreamShard(shard_id(at), *_range(at, count)) for at in range(count))


def cut_anew(shards: Sequence[StreamShard], count: int) -> tuple[StreamShard, ...]:
    """The shards of a stream once it has `count` open ones; names go on counting."""
    next_index = 1 + max(int(shard.name.rpartition("-")[2]) for shard in shards)
    closed = tuple(msgspec.structs.replace(shard, is_closed=True) for shard in shards)
    ended = [shard for shard in shards if not shard.is_closed]
    opened = []
    for at in range(count):
        first, last = _range(at, count)
        parents = tuple(it.name for it in ended if it.first_hash <= last and first <= it.last_hash)
        opened.append(StreamShard(shard_id(next_index + at), first, last, parents))
    return *closed, *opened


def forget_before(shards: Sequence[StreamShard], name: str) -> tuple[StreamShard, ...]:
    """The shards without those below a name, which their children do not wait for any more."""
    return tuple(
        msgspec.structs.replace(shard, parents=tuple(it for it in shard.parents if it >= name))
        for shard in shards
        if shard.name >= name
    )


def _range(at: int, count: int) -> tuple[int, int]:
    """First and last hash of shard `at` of `count`: ⌊at·2¹²⁸/count⌋ … (`bus-…md` 8.1)."""
    return (at << HASH_BITS) // count, ((at + 1 << HASH_BITS) // count) - 1
