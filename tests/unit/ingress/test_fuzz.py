"""Bytes that mean harm: whatever comes in, what goes out is an answer, and no event is broken.

`python -m tests.unit.ingress.test_fuzz SECONDS` goes on for longer, with new seeds.
"""

import asyncio
import random
import sys
import time

import orjson
import structlog

from router.http.reader import Memory, RequestReader
from router.http.values import HttpLimits
from router.ingress.webhooks import WebhookIngress
from router.mapping.lanes import lane_of
from router.model.limits import EVENT_BYTES_MAX
from router.model.record import Record
from router.model.shard import KeyRanges, first_shards
from router.model.webhook import Deduplicate, Signature, WebhookSpec
from router.sources.webhook_event import EVENT_FRAME_BYTES, build_event
from router.store.base import Appended
from tests.unit.http.client import answered

ARN = "arn:aws:router:us-east-1:000000000000:webhook/h"
LIMITS = HttpLimits(head_bytes_max=2_048, url_bytes_max=512, headers_max=24, pipelined_max=8)
POSITION_MAX = 2**63 - 1
SEEDS = 3_000

SEED_REQUESTS = [
    b"POST /h?a=1&b=%%20&a=2 HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n%b"
    % (len(body), body)
    for body in (
        b'{"k":{"v":["a",1]},"id":7}',
        b'{"k":{"v":["\\ud83d\\ude00\\u0000"]},"id":"\\ud800"}',
        b'\xff\xfe\x00{"k":1}',
        '{"k":{"v":["\u2028\ufeff"]}}'.encode(),
        b"[[[[[[1e400,-0,1.0]]]]]]",
    )
] + [
    (
        b"POST /h HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
        b'c;x="y"\r\n{"k":{"v":[1\r\n4\r\n]}}\n\r\n0\r\nx-trailer: 1\r\n\r\n'
    ),
    b"POST /h HTTP/1.1\r\nhost: t\r\ncontent-length: 4097\r\n\r\n" + b"1" * 4_097,
    b"GET /h HTTP/1.0\r\nx-id: \xe9\t\r\nX-ID: 2\r\n\r\n",
    (
        b"POST http://t/h HTTP/1.1\r\nhost: t\r\nupgrade: h2c\r\nconnection: upgrade\r\n"
        b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}"
    ),
]

PIECES = [
    *(b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b",", b";", b'"', b"\\u0000", b"\\ud800"),
    *(b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"{", b"}", b"[", b"]" * 40, b"[" * 2_000),
    *(b"1e999", b"NaN", b"null", b'"k":', b"%00", b"%zz", b"&a=1" * 300, b"0\r\n\r\n", b"ffffffff"),
    *(b"content-length: 5\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n"),
    *(
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"CONNECT",
        b"x: " + b"y" * 1_900 + b"\r\n",
        b"a" * 600,
        b"x-id: \r\n",
        b"content-length: 5000\r\n",
    ),
]


class Streams:
    """Keeps what it is given and checks that it would make a sound event."""

    def __init__(self):
        self.appended = 0

    def append_nowait(self, record):
        self.appended += 1
        sound(record)
        future = asyncio.get_running_loop().create_future()
        future.set_result(Appended(record.event_id, 1, False))
        return future


SHARD_OF = KeyRanges(first_shards(4)).shard_of


def sound(new):
    """The event is JSON and not larger than was said, and the key has one place for ever."""
    size_bytes = new.size_bytes + EVENT_FRAME_BYTES
    assert size_bytes <= EVENT_BYTES_MAX
    record = Record(POSITION_MAX, new.key, new.arrival_ms, new.size_bytes, new.data, new.event_id)
    event = build_event([record], new.shard)
    assert len(event) <= size_bytes
    (made,) = orjson.loads(event)["Records"]
    assert made["partitionKey"] == new.key
    assert made["sequenceNumber"] == str(POSITION_MAX)
    assert new.shard == SHARD_OF(new.key)
    assert 0 <= lane_of(new.key, 10) < 10
    assert new.dedup_key is None or new.dedup_key.encode()


def mutated(rng):
    data = bytearray(b"".join(rng.choices(SEED_REQUESTS, k=rng.randint(1, 3))))
    for _ in range(rng.choice((0, 1, 1, 2, 4, 12))):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[place:place] = rng.choice(PIECES)
            case 1:
                data[place : place + rng.randint(1, 8)] = b""
            case 2:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case _:
                start = rng.randrange(len(data) + 1)
                data[place:place] = data[start : start + rng.randint(1, 40)]
    return bytes(data)


async def attack(seed, webhooks):
    """One connection's bytes, in pieces; returns the statuses it is answered with."""
    rng = random.Random(seed)
    memory, reasons = Memory(rng.choice((4_096, 1 << 20))), []
    reader = RequestReader(webhooks, LIMITS, memory, "::1", reasons.append)
    rest, statuses = mutated(rng), []
    while rest and not reader.is_over:
        cut = rng.choice((1, 7, 100, len(rest)))
        rest = reader.feed(rest[:cut]) + rest[cut:]
        while reader.turns:
            turn = reader.turns.popleft()
            memory.give(turn.cost_bytes)
            response = turn.response or await answered(webhooks, turn.request)
            statuses.append(response.status)
            orjson.loads(response.body)
    reader.close()
    assert memory.held_bytes == 0
    assert "internal_error" not in reasons
    return statuses


def site():
    spec = WebhookSpec(
        name="h",
        arn=ARN,
        path="/h",
        signature=Signature(scheme="none"),
        partition_key="$.k.v[0]",
        on_unkeyable="Spread",
        shards=4,
        deduplicate=Deduplicate(key="$.id"),
        body_bytes_max=4_096,
    )
    streams = Streams()
    return streams, WebhookIngress(streams, [spec], str)


async def test_only_answers_and_sound_events_come_out():
    streams, webhooks = site()
    seen = set()
    with structlog.testing.capture_logs() as logs:
        for seed in range(SEEDS):
            statuses = await attack(seed, webhooks)
            assert set(statuses) <= {202, 400, 404, 405, 408, 413, 414, 417, 431, 501, 503, 505}
            seen |= set(statuses)
    assert logs == []
    assert {202, 400, 405, 413, 414, 431, 503} <= seen
    assert streams.appended > SEEDS / 3


async def main(seconds):
    streams, webhooks = site()
    seed, end = time.time_ns(), time.monotonic() + seconds
    runs = 0
    while time.monotonic() < end:
        try:
            await attack(seed, webhooks)
        except BaseException:
            print(f"seed {seed}", flush=True)
            raise
        seed += 1
        runs += 1
    print(f"{runs} connections, {streams.appended} records, no surprise")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
