"""Answers to the calls of SQS: one of them, or the call is lost; never more, and never too much."""

import asyncio

from router.sources.http_client import _Connection

CONTENT_MAX = 1_000
LOOP = asyncio.new_event_loop()


class Transport:
    is_aborted = False

    def write(self, data):
        pass

    def abort(self):
        self.is_aborted = True


async def heard(pieces):
    """What a call is told when these come, and then the end: status and content, or why not."""
    transport = Transport()
    connection = _Connection(set())
    connection.connection_made(transport)
    call = connection.call(b"", CONTENT_MAX)
    for piece in pieces:
        if transport.is_aborted:
            break
        connection.data_received(piece)
    if not transport.is_aborted:
        connection.eof_received()
    connection.connection_lost(None)
    assert not connection.is_reusable
    assert call.done()
    if call.exception() is not None:
        assert isinstance(call.exception(), ConnectionError)
        return None
    status, content = call.result()
    assert status >= 200
    assert len(content) <= CONTENT_MAX
    return status, content


def one_input(data):
    """Whole and in pieces it is the same answer."""
    whole = LOOP.run_until_complete(heard([bytes(data)] if data else []))
    for step in (1, 7):
        pieces = [bytes(data[start : start + step]) for start in range(0, len(data), step)]
        assert LOOP.run_until_complete(heard(pieces)) == whole
