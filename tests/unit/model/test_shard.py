"""Shards divide the hash range as Kinesis does (`bus-http-and-schedules.md` 8.1), and are cut anew
as its UpdateShardCount does it."""

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from router.model.shard import KeyRanges, cut_anew, first_shards, forget_before, shard_id

RANGE = 2**128
COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def digest(key):
    return int.from_bytes(hashlib.md5(key.encode()).digest())


def cut_again(counts):
    shards = first_shards(counts[0])
    for count in counts[1:]:
        shards = cut_anew(shards, count)
    return shards


def opened(shards):
    return [shard for shard in shards if not shard.is_closed]


@given(st.text(min_size=1), st.integers(1, 500))
def test_the_hash_lies_in_the_shard_s_range(key, count):
    shards = first_shards(count)
    name = KeyRanges(shards).shard_of(key)
    index = int(name.rpartition("-")[2])
    assert shards[index].name == name
    assert index * RANGE // count <= digest(key) <= (index + 1) * RANGE // count - 1


def test_three_shards_are_those_of_kinesis():
    assert [(shard.first_hash, shard.last_hash) for shard in first_shards(3)] == [
        (0, 113427455640312821154458202477256070484),
        (113427455640312821154458202477256070485, 226854911280625642308916404954512140969),
        (226854911280625642308916404954512140970, 340282366920938463463374607431768211455),
    ]


def test_every_shard_gets_its_share():
    ranges = KeyRanges(first_shards(7))
    counts = dict.fromkeys((shard_id(index) for index in range(7)), 0)
    for number in range(7_000):
        counts[ranges.shard_of(f"key-{number}")] += 1
    assert min(counts.values()) > 850
    assert max(counts.values()) < 1_150


@given(COUNTS)
def test_open_ranges_sum_up_to_the_whole_however_often_it_is_cut(counts):
    shards = opened(cut_again(counts))
    assert len(shards) == counts[-1]
    assert shards[0].first_hash == 0
    assert shards[-1].last_hash == RANGE - 1
    for before, after in pairwise(shards):
        assert after.first_hash == before.last_hash + 1


@given(COUNTS)
def test_names_go_on_counting_and_are_never_given_twice(counts):
    names = [shard.name for shard in cut_again(counts)]
    assert names == [shard_id(index) for index in range(sum(counts))]


@given(COUNTS, st.text(min_size=1))
def test_the_shards_a_key_went_to_are_each_other_s_ancestors(counts, key):
    """P28: finishing all parents first then keeps the order of every key."""
    shards = first_shards(counts[0])
    went_to = [KeyRanges(shards).shard_of(key)]
    for count in counts[1:]:
        shards = cut_anew(shards, count)
        by_name = {shard.name: shard for shard in shards}
        name = KeyRanges(shards).shard_of(key)
        assert went_to[-1] in by_name[name].parents
        assert by_name[went_to[-1]].is_closed
        went_to.append(name)


@given(COUNTS)
def test_parents_are_the_closed_shards_that_overlap(counts):
    shards = cut_again(counts)
    at = 0
    for generation, count in pairwise(counts):
        olds = shards[at : at + generation]
        at += generation
        for shard in shards[at : at + count]:
            overlapping = tuple(
                old.name
                for old in olds
                if max(old.first_hash, shard.first_hash) <= min(old.last_hash, shard.last_hash)
            )
            assert shard.parents == overlapping != ()


def test_a_forgotten_shard_is_nobody_s_parent():
    shards = cut_again([2, 3, 1])
    kept = forget_before(shards, shard_id(3))
    assert [(shard.name, shard.parents) for shard in kept] == [
        (shard_id(3), ()),
        (shard_id(4), ()),
        (shard_id(5), (shard_id(3), shard_id(4))),
    ]
    assert cut_anew(kept, 1)[-1].name == shard_id(6)


def test_names():
    assert shard_id(0) == "shardId-000000000000"
    assert shard_id(4_999) == "shardId-000000004999"
