"""What the router and its ingress process say to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ingress import frames
from router.ingress.frames import (
    ASK,
    FRAME_BYTES_MAX,
    HEAD,
    Append,
    FrameError,
    FrameReader,
    Heard,
    Ready,
    Refused,
    Routes,
    Secret,
    Stored,
    decode,
    encode,
)
from router.model.shard import first_shards
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.store.base import NewRecord

RECORD = NewRecord(
    stream="arn",
    shard="shardId-000000000000",
    event_id="e",
    key="k",
    arrival_ms=1,
    data=b"{}",
    size_bytes=100,
    dedup_key="d",
    dedup_until_ms=2,
)
SPEC = WebhookSpec(
    lineage=first_shards(2),  # with numbers of 128 bits
    name="a",
    arn="arn",
    path="/a",
    signature=Signature(scheme="github", secrets=("{{one}}",)),
    deduplicate=Deduplicate(key=("$.a", "$.b")),
)
MESSAGES = [
    Append(1, [RECORD], [[RECORD, RECORD]]),
    Stored(1),
    Stored(2, [None, "first", Refused("store_full", "full")], [[None, "x"], Refused("c", "t")]),
    Routes(3, [SPEC], ["gone"], {"{{one}}": Secret("s"), "{{two}}": Secret(None, "why")}, ["x"]),
    Heard(3),
    Ready(["plain"]),
    ASK,
]


def read(chunks):
    found = []
    reader = FrameReader(lambda kind, body: found.append(decode(kind, body)))
    for chunk in chunks:
        reader.feed(chunk)
    return found


def test_every_message_arrives_as_it_was():
    assert read([b"".join(map(encode, MESSAGES))]) == MESSAGES
    assert read(map(encode, MESSAGES)) == MESSAGES


@given(st.lists(st.integers(1, 60), min_size=1, max_size=400))
def test_however_the_bytes_are_cut(sizes):
    data = b"".join(map(encode, MESSAGES))
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    assert read([*filter(None, chunks), data] if data else filter(None, chunks)) == MESSAGES


@pytest.mark.parametrize(
    "data",
    [
        HEAD.pack(0, 1),
        HEAD.pack(FRAME_BYTES_MAX + 1, frames.APPEND),
        HEAD.pack(1, 200),
        HEAD.pack(2, frames.APPEND) + b"\xc1",
        HEAD.pack(2, frames.STORED) + b"\x01",
        HEAD.pack(2, frames.ASK) + b"\x01",
        HEAD.pack(6, frames.APPEND) + b"\x93\x01\x91\x90\x90",
    ],
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(FrameError):
        read([data])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(data):
    try:
        read([data])
    except FrameError as error:
        assert len(str(error)) < 100


def test_a_frame_that_is_too_large_is_not_sent(monkeypatch):
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 20)
    with pytest.raises(FrameError, match="bytes"):
        encode(Append(1, [RECORD], []))
