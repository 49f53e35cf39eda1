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
