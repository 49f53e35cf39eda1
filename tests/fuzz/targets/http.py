"""Bytes on a connection of the ingress listener: what goes out is an answer."""

import asyncio

import orjson
from structlog.testing import capture_logs

from router.http.reader import Memory, RequestReader
from tests.unit.http.client import answered
from tests.unit.ingress.test_fuzz import LIMITS, site

STATUSES = {202, 400, 401, 404, 405, 408, 413, 414, 417, 431, 501, 503, 505}
LOOP = asyncio.new_event_loop()


async def converse(data):
    """Read pieces, answer turns. The first byte says how large the pieces are."""
    _, webhooks = site()
    reasons = []
    memory = Memory(1 << 20)
    reader = RequestReader(webhooks, LIMITS, memory, "::1", reasons.append)
    step, rest = (data[0] or 4_096) if data else 1, data[1:]
    while rest and not reader.is_over:
        rest = reader.feed(rest[:step]) + rest[step:]
        while reader.turns:
            turn = reader.turns.popleft()
            memory.give(turn.cost_bytes)
            response = turn.response or await answered(webhooks, turn.request)
            assert response.status in STATUSES
            orjson.loads(response.body)
    reader.close()
    assert memory.held_bytes == 0
    assert "internal_error" not in reasons


def one_input(data):
    with capture_logs() as logs:
        LOOP.run_until_complete(converse(bytes(data)))
    assert logs == []
