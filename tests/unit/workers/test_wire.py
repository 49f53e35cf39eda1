"""Frames: round trip in every cut, and refusal of what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers import wire

FRAMES = st.lists(
    st.tuples(
        st.sampled_from(sorted(wire.KINDS)), st.binary(max_size=300), st.binary(max_size=900)
    ),
    min_size=1,
    max_size=4,
)


@given(FRAMES, st.integers(min_value=1, max_value=400))
def test_frames_survive_any_cut(frames, step):
    data = b"".join(wire.encode(*frame) for frame in frames)
    reader = wire.FrameReader()
    found = []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert found == frames
    assert reader.waiting_bytes == 0


def test_one_chunk_is_one_frame():
    reader = wire.FrameReader()
    assert reader.feed(wire.encode(wire.RESULT, b"{}", b"payload")) == [
        (wire.RESULT, b"{}", b"payload")
    ]


@pytest.mark.parametrize(
    "head",
    [
        wire.HEAD.pack(wire.FRAME_BYTES_MAX + 1, wire.RESULT, 0),
        wire.HEAD.pack(0xFFFFFFFF, wire.RESULT, 0),
        wire.HEAD.pack(4, wire.RESULT, 0),
        wire.HEAD.pack(10, 99, 0),
        wire.HEAD.pack(10, wire.RESULT, 11),
        wire.HEAD.pack(wire.FRAME_BYTES_MAX, wire.RESULT, wire.HEADER_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_is_no_frame_is_refused_at_its_head(head):
    with pytest.raises(wire.FrameError):
        wire.FrameReader().feed(head)


def test_an_exact_chunk_is_checked_too():
    data = wire.HEAD.pack(wire.FIXED_BYTES, 99, 0)
    with pytest.raises(wire.FrameError):
        wire.FrameReader().feed(data)


def test_the_largest_reply_fits():
    payload = b"x" * (6 * 1024 * 1024 + 100)
    ((_, _, found),) = wire.FrameReader().feed(wire.encode(wire.RESULT, b"{}", payload))
    assert found == payload


@given(st.sampled_from(sorted(wire.KINDS)), st.binary(max_size=300), st.binary(max_size=900))
def test_a_chunk_that_is_a_frame_is_seen_as_one(kind, header, payload):
    data = wire.encode(kind, header, payload)
    reader = wire.FrameReader()
    assert reader.whole(data) == (kind, header, payload)
    assert reader.whole(data[:-1]) is None
    assert reader.whole(data + b"x") is None
    assert reader.feed(data[:3]) == []
    assert reader.whole(data) is None  # it belongs to the one that has begun


@pytest.mark.parametrize(
    "data",
    [
        b"",
        wire.HEAD.pack(wire.FIXED_BYTES, 99, 0),
        wire.HEAD.pack(wire.FIXED_BYTES, wire.RESULT, 1),
        wire.HEAD.pack(wire.FIXED_BYTES - 1, wire.RESULT, 0)[:-1],
        wire.HEAD.pack(wire.FIXED_BYTES + wire.HEADER_BYTES_MAX + 1, wire.RESULT, 65_537)
        + bytes(wire.HEADER_BYTES_MAX + 1),
    ],
)
def test_what_is_no_frame_is_not_seen_as_one(data):
    assert wire.FrameReader().whole(data) is None
