"""Shards divide the hash range as Kinesis does (`bus-http-and-schedules.md` 8.1)."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from router.model.shard import shard_id, shard_index

RANGE = 2**128


@given(st.text(min_size=1), st.integers(1, 5_000))
def test_the_hash_lies_in_the_shard_s_range(key, shards):
    digest = int.from_bytes(hashlib.md5(key.encode()).digest())
    index = shard_index(key, shards)
    start = index * RANGE // shards
    end = (index + 1) * RANGE // shards - 1
    assert 0 <= index < shards
    assert start <= digest <= end


def test_every_shard_gets_its_share():
    counts = [0] * 7
    for number in range(7_000):
        counts[shard_index(f"key-{number}", 7)] += 1
    assert min(counts) > 850
    assert max(counts) < 1_150


def test_names():
    assert shard_id(0) == "shardId-000000000000"
    assert shard_id(4_999) == "shardId-000000004999"
