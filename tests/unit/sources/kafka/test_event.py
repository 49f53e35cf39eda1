"""Events of Kafka topics: every member as the contract writes it (11.4)."""

import base64

import orjson
import pytest

from router.model.record import Record
from router.sources.kafka import event

CLUSTER = (
    "arn:aws:kafka:eu-central-1:210987654321:cluster/core/1b2c3d4e-0000-4a4a-9b9b-0123456789ab-4"
)
SERVERS = "b-1.core.example:9098,b-2.core.example:9098"
WRITER = event.RecordWriter("payments", 0)


def record(offset: int, key=b"cust-7", value=b'{"amount":5}', headers=(), timestamp_type=0):
    data = WRITER.json(offset, 1_772_446_498_204, timestamp_type, key, value, headers)
    return Record(offset, "k", 1_772_446_498_204, len(data) + event.COMMA_BYTES, data)


def test_an_event_of_msk_is_what_the_contract_prints():
    head = event.event_head(CLUSTER, SERVERS)
    made = event.build_event(head, "payments-0", [record(1005, headers=[("trace", b"abc")])])
    assert orjson.loads(made) == {
        "eventSource": "aws:kafka",
        "eventSourceArn": CLUSTER,
        "bootstrapServers": SERVERS,
        "records": {
            "payments-0": [
                {
                    "topic": "payments",
                    "partition": 0,
                    "offset": 1005,
                    "timestamp": 1772446498204,
                    "timestampType": "CREATE_TIME",
                    "key": "Y3VzdC03",
                    "value": "eyJhbW91bnQiOjV9",
                    "headers": [{"trace": [97, 98, 99]}],
                }
            ]
        },
    }
    assert list(orjson.loads(made)) == [
        "eventSource", "eventSourceArn", "bootstrapServers", "records"
    ]  # fmt: skip


def test_an_event_of_a_self_managed_cluster_has_no_arn():
    made = orjson.loads(event.build_event(event.event_head("", SERVERS), "payments-0", []))
    assert made == {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": SERVERS,
        "records": {"payments-0": []},
    }


def test_a_missing_key_and_the_value_of_a_tombstone_are_missing_members():
    shown = orjson.loads(record(1, key=None, value=None).data)
    assert "key" not in shown
    assert "value" not in shown
    empty = orjson.loads(record(1, key=b"", value=b"").data)
    assert (empty["key"], empty["value"]) == ("", "")


def test_p23_bytes_of_headers_are_signed_in_their_order_and_may_repeat():
    headers = [("a", b"\xc3\x00\x7f\x80\xff"), ("a", b""), ("ü", None)]
    shown = orjson.loads(record(1, headers=headers).data)
    assert shown["headers"] == [{"a": [-61, 0, 127, -128, -1]}, {"a": []}, {"ü": []}]


def test_the_time_of_a_record_says_who_set_it():
    assert orjson.loads(record(1, timestamp_type=1).data)["timestampType"] == "LOG_APPEND_TIME"
    assert orjson.loads(record(1, timestamp_type=None).data)["timestampType"] == "NO_TIMESTAMP_TYPE"


def test_a_short_record_after_a_long_one_has_nothing_of_it():
    writer = event.RecordWriter("payments", 0)
    long = writer.json(1, 7, 0, b"k", b"x" * 5_000, ())
    short = writer.json(2, 7, 0, None, b"{}", ())
    assert orjson.loads(long)["value"] == base64.b64encode(b"x" * 5_000).decode()
    assert short == (
        b'{"topic":"payments","partition":0,"offset":2,"timestamp":7,"timestampType":"CREATE_TIME",'
        b'"value":"e30=","headers":[]}'
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_d11_sizes_add_up_to_the_event(count):
    head = event.event_head(CLUSTER, SERVERS)
    records = [record(1_000 + number, value=b"x" * number) for number in range(count)]
    made = event.build_event(head, "payments-0", records)
    size = event.frame_bytes(head, "payments-0") + sum(it.size_bytes for it in records)
    assert len(made) <= size <= len(made) + 1


def test_names_of_partitions_go_both_ways():
    assert event.split_name(event.partition_name("a-b.c-7", 12)) == ("a-b.c-7", 12)
