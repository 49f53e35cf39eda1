"""The event of a webhook batch: spliced text equals the same thing built the slow way."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from router.model.record import Record
from router.sources.webhook_event import (
    EVENT_FRAME_BYTES,
    body_text,
    build_event,
    build_fragment,
    join_pairs,
    origin_members,
    record_size_bytes,
)

ARN = "arn:aws:router:us-east-1:000000000000:webhook/github"
SHARD = "shardId-000000000003"

texts = st.text(st.characters(exclude_categories=["Cs"]))
tables = st.dictionaries(texts, texts, max_size=5)
requests = st.fixed_dictionaries(
    {
        "key": texts,
        "arrival_ms": st.integers(0, 2**42),
        "body": st.one_of(st.binary(), texts.map(str.encode)),
        "headers": tables,
        "query": tables,
        "method": st.sampled_from(["POST", "PUT"]),
        "path": texts,
        "source_ip": st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    }
)
positions = st.integers(1, 2**63 - 1)


def naive(request, position):
    body = request["body"]
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode(), True
    return {
        "eventID": f"{SHARD}:{position}",
        "sequenceNumber": str(position),
        "eventSource": "router:webhook",
        "eventSourceARN": ARN,
        "partitionKey": request["key"],
        "approximateArrivalTimestamp": request["arrival_ms"] / 1000,
        "body": text,
        "isBase64Encoded": is_base64,
        "headers": request["headers"],
        "queryStringParameters": request["query"],
        "httpMethod": request["method"],
        "path": request["path"],
        "sourceIp": request["source_ip"],
    }


def record(request, position):
    fragment = build_fragment(origin_members(ARN), text=body_text(request["body"]), **request)
    return Record(
        position,
        request["key"],
        request["arrival_ms"],
        record_size_bytes(fragment),
        fragment,
    )


@given(st.lists(st.tuples(requests, positions), max_size=5))
def test_splicing_equals_serialising(items):
    records = [record(request, position) for request, position in items]
    event = build_event(records, SHARD)
    assert json.loads(event) == {"Records": [naive(*item) for item in items]}
    assert list(json.loads(event)["Records"][0] if items else []) == (
        list(naive(*items[0])) if items else []
    )


@given(st.lists(st.tuples(requests, positions), max_size=5))
def test_sizes_are_never_too_small(items):
    """D11: batches are cut by these sizes."""
    records = [record(request, position) for request, position in items]
    event = build_event(records, SHARD)
    assert len(event) <= EVENT_FRAME_BYTES + sum(item.size_bytes for item in records)


def test_a_size_is_exact_for_the_largest_position():
    item = record(
        {
            "key": "k",
            "arrival_ms": 1,
            "body": b"{}",
            "headers": {},
            "query": {},
            "method": "POST",
            "path": "/",
            "source_ip": "::1",
        },
        2**63 - 1,
    )
    # One record needs no comma.
    assert len(build_event([item], SHARD)) == EVENT_FRAME_BYTES + item.size_bytes - 1


def test_repeated_names_are_joined_in_order():
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "")]
    assert join_pairs(pairs) == {"a": "1,3,", "b": "2"}
