"""What a sieve lets through, counts and says; and that nothing is lost in it."""

import asyncio
import itertools
import json
from types import SimpleNamespace

import pytest

from router.mapping.filtering import RecordFilter
from router.model.mapping_spec import MappingSpec
from router.model.record import Record
from router.patterns.problems import PatternError
from router.sources import sieve as module
from router.sources.sieve import Sieve
from router.sources.webhook_event import body_text, build_fragment, origin_members
from router.sources.webhook_format import WebhookFormat
from router.telemetry.mapping_metrics import MappingMetrics

SHARD = "shardId-000000000000"
ARN = "arn:aws:router:us-east-1:000000000000:webhook/w"
WANTED = json.dumps({"body": {"kind": ["push"]}})


def record(position, body, **headers):
    fragment = build_fragment(
        origin_members(ARN),
        key="k",
        arrival_ms=1_764_087_000_123,
        body=body,
        text=body_text(body),
        headers=headers,
        query={"q": "1"},
        method="POST",
        path="/in",
        source_ip="192.0.2.1",
    )
    return Record(position, "k", 0, len(fragment), fragment, f"id-{position}")


def spec(*filters):
    return MappingSpec(uuid="u", name="sieve", function_arn="f", source_arn=ARN, filters=filters)


@pytest.fixture
def numbers():
    numbers = MappingMetrics("sieve", "u", "f", ARN)
    yield numbers
    numbers.remove()


def count(counter):
    return counter.value


RECORDS = [
    record(1, b'{"kind":"push"}'),
    record(2, b'{"kind":"ping"}'),
    record(3, b"plain"),
    record(4, b"\xff"),
    record(5, b'{"kind":["ping","push"]}'),
]


async def test_those_that_match_in_order_and_the_others_counted(numbers):
    filtered = count(numbers.filtered)
    passed = await Sieve(spec(WANTED), WebhookFormat(), numbers).sift(SHARD, RECORDS)
    assert [one.position for one in passed] == [1, 5]
    assert count(numbers.filtered) - filtered == 3


async def test_without_filters_everything(numbers):
    assert await Sieve(spec(), WebhookFormat(), numbers).sift(SHARD, RECORDS) == tuple(RECORDS)


@pytest.mark.parametrize(
    "pattern",
    [
        {"headers": {"x-kind": ["a"]}, "httpMethod": ["POST"], "path": [{"prefix": "/i"}]},
        {"eventID": [f"{SHARD}:7"], "sequenceNumber": ["7"], "eventSource": ["router:webhook"]},
        {"eventSourceARN": [ARN], "partitionKey": ["k"], "sourceIp": [{"cidr": "192.0.2.0/24"}]},
        {"approximateArrivalTimestamp": [1764087000.123], "queryStringParameters": {"q": ["1"]}},
        {"isBase64Encoded": [False]},
    ],
)
async def test_metadata_of_webhooks(pattern, numbers):
    wanted = Sieve(spec(json.dumps(pattern)), WebhookFormat(), numbers)
    one = record(7, b"whatever", **{"x-kind": "a"})
    assert await wanted.sift(SHARD, [one]) == (one,)
    with_body = json.dumps({**pattern, "body": {"a": [{"exists": False}]}})
    wanted.change(spec(with_body))
    assert await wanted.sift(SHARD, [one]) == (), "a body that is not JSON, and a pattern for it"
    one = record(7, b'{"b":1}', **{"x-kind": "a"})
    assert await wanted.sift(SHARD, [one]) == (one,)


async def test_changed_filters_hold_from_then_on_and_bad_ones_change_nothing(numbers):
    sieve = Sieve(spec(WANTED), WebhookFormat(), numbers)
    with pytest.raises(PatternError):
        sieve.change(spec("{"))
    assert len(await sieve.sift(SHARD, RECORDS)) == 2
    sieve.change(spec(WANTED.replace("push", "ping")))
    assert [one.position for one in await sieve.sift(SHARD, RECORDS)] == [2, 5]
    sieve.change(spec())
    assert len(await sieve.sift(SHARD, RECORDS)) == 5


async def test_what_cannot_be_judged_goes_to_the_function(numbers, monkeypatch):
    def fail(self, document):
        raise RecursionError("too deep")

    monkeypatch.setattr(RecordFilter, "passes", fail)
    unjudged = count(numbers.unjudged)
    passed = await Sieve(spec(WANTED), WebhookFormat(), numbers).sift(SHARD, RECORDS[1:2])
    assert passed == (RECORDS[1],)
    assert count(numbers.unjudged) - unjudged == 1


async def test_a_body_that_tangles_arrays_goes_to_the_function_soon(numbers):
    """Keys given many times: nobody can say in time what matches."""
    names = "bcdefghijk"
    rows = ",".join('"a":[' + ",".join(f'{{"{n}":"x"}}' for n in names) + "]" for _ in range(9))
    pattern = json.dumps({"body": {"a": {name: ["x"] for name in names}}})
    unjudged = count(numbers.unjudged)
    one = record(1, b"{" + rows.encode() + b"}")
    assert await Sieve(spec(pattern), WebhookFormat(), numbers).sift(SHARD, [one]) == (one,)
    assert count(numbers.unjudged) - unjudged == 1


async def test_others_have_their_turn_in_between(numbers, monkeypatch):
    """A clock on which each record takes a tenth of a slice."""
    ticks = itertools.count(step=module.SLICE_NS // 10)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: next(ticks)))
    turns = 0

    async def bystander():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(bystander())
    many = [record(n, b'{"kind":"push"}') for n in range(1, 2_001)]
    assert len(await Sieve(spec(WANTED), WebhookFormat(), numbers).sift(SHARD, many)) == 2_000
    task.cancel()
    assert 150 <= turns <= 200


async def test_a_body_is_parsed_once_for_all_mappings(numbers, monkeypatch):
    from router.sources import webhook_format

    parsed = []
    real = webhook_format.of_webhook
    monkeypatch.setattr(
        webhook_format, "of_webhook", lambda members: parsed.append(1) or real(members)
    )
    shared = WebhookFormat()
    for kind in ("push", "ping", "none"):
        await Sieve(spec(WANTED.replace("push", kind)), shared, numbers).sift(SHARD, RECORDS)
    assert len(parsed) == len(RECORDS)


async def test_a_large_body_holds_up_nobody_and_keeps_its_place(numbers):
    """5 MiB take a quarter of a second to read: others go on meanwhile."""
    items = ",".join(f'{{"a":{n},"b":"{"x" * 40}"}}' for n in range(60_000))
    large = b'{"items":[' + items.encode() + b'],"kind":"push"}'
    records = [record(1, b'{"kind":"push"}'), record(2, large), record(3, b'{"kind":"push"}')]
    turns = 0

    async def bystander():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    shared = WebhookFormat()
    task = asyncio.create_task(bystander())
    sifted = await asyncio.gather(
        *(Sieve(spec(WANTED), shared, numbers).sift(SHARD, records) for _mapping in range(5))
    )
    task.cancel()
    assert [[one.position for one in passed] for passed in sifted] == [[1, 2, 3]] * 5
    assert turns > 8, "read in a thread"
