"""A head that was read before is known again, and means what the parser says it means."""

import contextlib
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers.runtime_api.familiar import HEAD_BYTES_MAX, Familiar
from router.workers.runtime_api.reader import Malformed, RequestReader, Wish
from router.workers.runtime_api.requests import Head, Request

API = "/2018-06-01/runtime/invocation"
ENOUGH = 1_000_000
IDS = [str(uuid.UUID(int=number, version=4)) for number in range(4)]


class Told:
    """What a reader tells, in order."""

    def __init__(self, wish: Wish = Wish.KEEP, *, knows: bool = True) -> None:
        self.events: list[Any] = []
        self.parsed = 0
        self._wish = wish
        self.reader = RequestReader(self._begun, self.events.append, self.events.append)
        if not knows:
            self.reader._familiar = NeverFamiliar()
        else:
            self.reader._familiar = self.familiar = Counted()

    def _begun(self, head: Head) -> Wish:
        self.events.append(head)
        return self._wish if head.method == "POST" else Wish.KEEP

    def feed(self, data: bytes) -> None:
        assert self.reader.feed(data, ENOUGH) == b""


class NeverFamiliar(Familiar):
    def recognise(self, data: bytes) -> Request | None:
        return None


class Counted(Familiar):
    count = 0

    def recognise(self, data: bytes) -> Request | None:
        found = super().recognise(data)
        self.count += found is not None
        return found


def ask(*headers: str) -> bytes:
    return "\r\n".join([f"GET {API}/next HTTP/1.1", "Host: h", *headers, "", ""]).encode()


def answer(request_id: str, body: bytes, *headers: str, word: str = "response") -> bytes:
    lines = [f"POST {API}/{request_id}/{word} HTTP/1.1", "Host: h", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body


REQUESTS = st.one_of(
    st.builds(ask, st.sampled_from(["Accept: */*", "X: 1", "Connection: close", "Expect: x"])),
    st.builds(
        answer,
        st.sampled_from([*IDS, "no-id", IDS[0].upper()]),
        st.sampled_from(
            [b"", b"{}", b'{"a": 1}', b"x" * 200, b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
        ),
        st.sampled_from(
            [
                *("Accept: */*", "X: 1", "Content-Length: 2", "content-length:  2 "),
                *("Lambda-Runtime-Function-Error-Type: A", "Transfer-Encoding: chunked"),
                *("Lambda-Runtime-Function-Response-Mode: streaming", "Expect: 100-continue"),
                *("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", "Connection: close"),
            ]
        ),
        word=st.sampled_from(["response", "error", "other"]),
    ),
)


def read(told: Told, chunks: list[bytes]) -> tuple[list[Any], bool, int]:
    """What was told, whether the bytes were malformed, and after which chunk."""
    for number, chunk in enumerate(chunks):
        try:
            told.feed(chunk)
        except Malformed:
            return told.events, True, number
    return told.events, False, len(chunks)


@given(
    st.lists(REQUESTS, min_size=1, max_size=8),
    st.lists(st.integers(1, 400), max_size=4),
    st.sampled_from(list(Wish)),
)
def test_what_is_told_is_the_same_with_and_without_it(requests, cuts, wish):
    chunks, rest = list(requests), b""
    for index, cut in enumerate(cuts):  # some come in pieces, some with a piece of the next
        if index < len(chunks):
            whole = rest + chunks[index]
            chunks[index], rest = whole[:cut], whole[cut:]
    chunks.append(rest)
    chunks = [chunk for chunk in chunks if chunk]
    assert read(Told(wish), chunks) == read(Told(wish, knows=False), chunks)


@pytest.mark.parametrize("wish", list(Wish))
def test_a_runtime_that_goes_on_needs_the_parser_once_for_each_head(wish):
    told, plain = Told(wish), Told(wish, knows=False)
    for number in range(10):
        body = b"7" * number
        for data in (ask(), answer(IDS[number % 4], body)):
            told.feed(data)
            plain.feed(data)
    assert told.events == plain.events
    assert told.familiar.count == 18


def test_another_id_and_another_length_are_the_only_differences():
    familiar = Told()
    data = answer(IDS[0], b"body")
    familiar.feed(data)
    know = familiar.familiar.recognise
    known = know(answer(IDS[1], b"longer body"))
    assert known is not None
    assert known.head.path == f"{API}/{IDS[1]}/response"
    assert known.body == b"longer body"
    assert known.head.headers["content-length"] == "11"
    for other in (
        answer(IDS[1], b"body", word="error"),
        answer(IDS[1], b"body", "X: 1"),
        answer(IDS[1], b"body").replace(b"Host: h", b"Host: i"),
        answer(IDS[1], b"body").replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer(IDS[1], b"body").replace(b": 4\r", b": +4\r"),
        answer(IDS[1], b"body").replace(b": 4\r", b": 4 4\r"),
        answer(IDS[1], b"body").replace(b": 4\r", b": 00000004\r"),
        answer(IDS[1], b"body") + b"x",
        answer(IDS[1], b"body")[:-1],
        answer(IDS[1].replace("-", "/"), b"body"),
        answer(IDS[1][:-1], b"body"),
        b"",
    ):
        assert know(other) is None, other


@pytest.mark.parametrize(
    "data",
    [
        ask("Connection: close"),
        ask("Expect: 100-continue"),
        ask("X: " + "x" * HEAD_BYTES_MAX),
        ask("Content-Length: 0") + ask(),
        answer(IDS[0], b"", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        answer(IDS[0], b"{}", "Lambda-Runtime-Function-Response-Mode: streaming"),
        answer(IDS[0], b"{}", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"),
    ],
)
def test_heads_that_are_not_remembered(data):
    told = Told()
    with contextlib.suppress(Malformed):  # after `close` nothing more is taken
        for _ in range(2):
            told.feed(data)
    assert told.familiar.count == 0


def test_what_follows_a_head_that_offers_another_protocol_is_read_as_ever():
    offer = answer(IDS[0], b"{}", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings")
    told = Told()
    told.feed(offer + offer + ask())
    assert len([event for event in told.events if isinstance(event, Request)]) == 3
    with pytest.raises(Malformed):
        told.feed(offer + b"no request")
