"""Names of headers that are no UTF-8: read as readers in Java do, all else as the client does."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from router.sources.kafka.odd_records import is_odd, records_of

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Raw(str):
    """A name that goes on the wire as these bytes."""

    __slots__ = ("data",)

    def __new__(cls, data: bytes):
        made = super().__new__(cls, data.hex())
        made.data = data
        return made

    def encode(self, *_args, **_more):
        return self.data


def batch(records, codec="none", is_appended=False, first=700) -> bytes:
    """A producer's batch, as a broker gives it out from some offset on."""
    builder = _DefaultRecordBatchBuilderPy(2, CODECS[codec], 0, -1, -1, -1, 1 << 20)
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    if is_appended:
        data[22] |= 0x08
    return bytes(data)


ORDINARY = [
    (1_000, b"k", b"v" * 300, [("a", b"1"), ("b", None)]),
    (1_005, None, b"", []),
    (999, b"", None, [("é", b"")]),
]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("is_appended", [False, True])
def test_ordinary_records_are_read_as_the_client_reads_them(codec, is_appended):
    data = batch(ORDINARY, codec, is_appended)
    members = ("offset", "timestamp", "timestamp_type", "key", "value")
    theirs = [
        (*(getattr(it, name) for name in members), tuple(it.headers))
        for it in DefaultRecordBatch(data)
    ]
    assert [(*(getattr(it, name) for name in members), it.headers) for it in records_of(data)] == (
        theirs
    )


def test_a_name_that_is_no_utf_8_shows_where_it_is_not():
    data = batch([(1_000, b"k", b"v", [(Raw(b"a\xffb"), b"1"), (Raw(b"\xc3"), None)])])
    with pytest.raises(Exception, match=r"codec|decode") as caught:
        list(DefaultRecordBatch(data))
    assert is_odd(caught.value)
    (record,) = records_of(data)
    assert record.headers == (("a\ufffdb", b"1"), ("\ufffd", None))


@pytest.mark.parametrize("size", [0, 20, 61, 70])
def test_what_is_cut_is_refused(size):
    with pytest.raises(Exception) as caught:
        list(records_of(batch(ORDINARY)[:size]))
    assert not is_odd(caught.value)
