"""Documents kept are those of the very record asked for, and bounded."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from router.mapping.filtering import MatchDocument
from router.model.record import Record
from router.sources.documents import DocumentCache


class Maker:
    def __init__(self):
        self.made = []

    def __call__(self, shard, record):
        self.made.append((shard, record.position))
        return MatchDocument({"data": record.data})


def record(position=1, data=b"x", event_id=""):
    return Record(position, "k", 0, len(data), data, event_id)


def test_made_once():
    cache, make = DocumentCache(), Maker()
    first = cache.get("s", record(), make)
    assert cache.get("s", record(), make) is first, "read again from disk, it is the same record"
    assert make.made == [("s", 1)]


def test_another_record_of_the_same_name_is_not_mistaken():
    """A stream dropped and made anew counts from 1 again."""
    cache, make = DocumentCache(), Maker()
    cache.get("s", record(data=b"old"), make)
    assert cache.get("s", record(data=b"new"), make).tree == {"data": b"new"}
    assert cache.get("s", record(data=b"new"), make).tree == {"data": b"new"}
    assert cache.get("t", record(data=b"other"), make).tree == {"data": b"other"}
    assert make.made == [("s", 1), ("s", 1), ("t", 1)]


def test_the_oldest_go_when_there_are_too_many_or_they_are_too_big():
    cache, make = DocumentCache(kept_max=3, bytes_max=100), Maker()
    for position in range(1, 5):
        cache.get("s", record(position), make)
    cache.get("s", record(4), make)
    cache.get("s", record(1), make)
    assert make.made[4:] == [("s", 1)]
    cache.get("s", record(9, b"x" * 101), make)
    cache.get("s", record(9, b"x" * 101), make)
    assert make.made[5:] == [("s", 9)], "the last one is kept whatever its size"
    cache.get("s", record(1), make)
    assert make.made[6:] == [("s", 1)]
    assert cache._size_bytes == sum(len(one.data) for one, _document in cache._kept.values()) == 1


def test_threads_that_ask_at_once_make_it_once():
    cache, made = DocumentCache(), []

    def make(shard, record):
        made.append(threading.get_ident())
        time.sleep(0.05)
        return MatchDocument({})

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(cache.get, "s", record(), make) for _thread in range(4)]
    assert len({id(one.result()) for one in found}) == len(made) == 1
