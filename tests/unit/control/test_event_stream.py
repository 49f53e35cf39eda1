"""Event-stream frames as botocore's own reader takes them."""

import json

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from router.control.protocol.event_stream import CHUNK_BYTES_MAX, invoke_complete, payload_chunks


def read(data, step=None):
    """The events in some bytes, which come in pieces of `step`."""
    buffer, found = EventStreamBuffer(), []
    for start in range(0, len(data), step or len(data)):
        buffer.add_data(data[start : start + (step or len(data))])
        found += list(buffer)
    return found


@given(st.binary(min_size=1, max_size=2_000), st.integers(1, 700))
def test_a_chunk(data, step):
    (event,) = read(b"".join(payload_chunks(data)), step)
    assert event.payload == data
    assert event.headers == {
        ":message-type": "event",
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
    }


@pytest.mark.parametrize("size", [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 3 * CHUNK_BYTES_MAX - 1])
def test_a_large_reply_comes_in_pieces(size):
    events = read(b"".join(payload_chunks(bytes(size))), 1 << 16)
    assert len(events) == -(-size // CHUNK_BYTES_MAX)
    assert b"".join(event.payload for event in events) == bytes(size)


def test_nothing_has_no_chunk():
    assert list(payload_chunks(b"")) == []


def test_the_end():
    (event,) = read(invoke_complete({"ErrorCode": "E", "ErrorDetails": "ü"}))
    assert event.headers[":event-type"] == "InvokeComplete"
    assert event.headers[":content-type"] == "application/json"
    assert json.loads(event.payload) == {"ErrorCode": "E", "ErrorDetails": "ü"}
    (event,) = read(invoke_complete({}))
    assert event.payload == b"{}"
