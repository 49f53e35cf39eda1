"""What a reader holds in memory is what it counts, whatever shape the bytes come in."""

import tracemalloc

import pytest

from router.http.reader import Memory, RequestReader
from router.http.values import BodyPolicy, HttpLimits

HEAD = b"POST / HTTP/1.1\r\nHost: t\r\n"


class AnyBody:
    def on_head(self, head):
        return BodyPolicy(1 << 20, lambda reason: None)


def reader_of(memory):
    return RequestReader(AnyBody(), HttpLimits(), memory, "peer", lambda reason: None)


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_in_tiny_pieces_takes_little_more_than_its_size(framing):
    """An object for each piece would take thirty times what the bound on memory sees."""
    memory = Memory(1 << 30)
    reader = reader_of(memory)
    if framing == "chunked":
        reader.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        pieces = [b"2\r\nxy\r\n" * 2_000] * 20
    else:
        reader.feed(HEAD + b"Content-Length: 80000\r\n\r\n")
        pieces = [b"xy"] * 39_999
    tracemalloc.start()
    for piece in pieces:
        reader.feed(piece)
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory.held_bytes > 79_000
    assert taken_bytes < 2 * memory.held_bytes
    reader.feed(b"0\r\n\r\n" if framing == "chunked" else b"xy")
    assert reader.turns[0].request.body == b"xy" * 40_000


def test_long_header_names_are_not_kept(monkeypatch):
    """What strangers make up would stay for as long as the router runs."""
    kept = {}
    monkeypatch.setattr("router.http.reader._LOWER", kept)
    reader = reader_of(Memory(1 << 30))
    reader.feed(HEAD + b"X-Usual: 1\r\n" + b"N" * 10_000 + b": 2\r\n\r\n")
    assert reader.turns[0].request.head.headers["n" * 10_000] == "2"
    assert kept == {b"Host": "host", b"X-Usual": "x-usual"}
