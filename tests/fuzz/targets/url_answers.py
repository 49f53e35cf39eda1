"""What a function says to a client of its URL: one answer of HTTP, and never a second one.

The first byte says how it comes (whole, streamed, streamed with a prelude), the second in pieces of
which size.
"""

import asyncio

import httptools

from router.dispatch.response_stream import ResponseStream
from router.http.outflow import Outflow
from router.http.values import Response, Streamed, render
from router.ingress.url_stream import StreamedReply
from router.model.function import InvokeReply
from router.outcomes.http_reply import INTEGRATION, http_reply

LOOP = asyncio.new_event_loop()
NEXT = b"HTTP/1.1 299 next\r\ncontent-length: 0\r\n\r\n"


class Answers:
    """What a client makes of the bytes of a connection."""

    def __init__(self, data):
        self.statuses = []
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)
        self.parser.feed_data(data)

    def on_headers_complete(self):
        self.statuses.append(self.parser.get_status_code())

    def on_body(self, chunk):
        self.body += chunk


class Transport:
    def __init__(self):
        self.sent = b""

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return False


class Way:
    is_write_paused = False

    def outflow_ended(self, *, is_broken):
        assert not is_broken


class Source:
    def open(self, outlet):
        self.outlet = outlet


def whole(payload):
    reply = http_reply(payload)
    if reply is None:
        return None
    response = Response(reply.status, reply.body, reply.headers, is_own=True)
    return reply.status, reply.body, render(response, b"", has_body=True)


async def streamed(content_type, payload, step):
    stream, running = ResponseStream(), LOOP.create_future()
    running.set_result(InvokeReply(payload=b""))
    stream.begin(content_type, int)
    for start in range(0, len(payload), step):
        stream.write(payload[start : start + step])
    stream.end()
    rest = StreamedReply(stream, running)
    answer = await rest.answer()
    if answer is None:
        return None
    head = Response(answer.status, answer.body, tuple(answer.headers), is_own=True)
    if not answer.is_open:
        return answer.status, answer.body, render(head, b"", has_body=True)
    transport, source = Transport(), Source()
    Outflow(Way(), transport, Streamed(head, source, 0.0), is_legacy=False).begin(b"")
    body = answer.body
    async for piece in rest.pieces():
        body += piece
        source.outlet.write(piece)
    source.outlet.end(is_broken=not await rest.is_whole())
    return answer.status, body, transport.sent


def one_input(data):
    if len(data) < 2:
        return
    kind, step, payload = data[0] % 3, data[1] % 64 + 1, bytes(data[2:])
    if kind == 0:
        made = whole(payload)
    else:
        content_type = INTEGRATION if kind == 1 else "text/html"
        made = LOOP.run_until_complete(streamed(content_type, payload, step))
        at_once = LOOP.run_until_complete(streamed(content_type, payload, len(payload) or 1))
        assert (made is None) == (at_once is None)
        assert made is None or made[:2] == at_once[:2]
    if made is None:
        return
    status, body, sent = made
    answers = Answers(sent + NEXT)
    assert answers.statuses == [status, 299]
    assert answers.body == body
