"""On-failure records of Kafka batches: `event-source-mappings.md` 5.2."""

import orjson
import pytest

from router.model.errors import RouterError
from router.model.failure import unpack_messages
from router.model.outcome import Failed
from router.outcomes.failure_record import Discarded
from router.outcomes.kafka_failure import KafkaCluster, KafkaPlace, kafka_failure_record
from tests.unit.mapping.play import spec_of

QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
CLUSTER_ARN = "arn:aws:kafka:us-east-1:000000000000:cluster/core/1b2c3d4e-0000-4a4a-9b9b-4"
MSK = KafkaCluster("b-1:9098,b-2:9098", CLUSTER_ARN, b"how to get there")
PLACES = [
    KafkaPlace("payments-0", 1005, 1_772_446_498_204, b"cust-7"),
    KafkaPlace("payments-1", 3, 1_772_446_498_300, None),
    KafkaPlace("payments-0", 1007, 1_772_446_499_871, b"cust-8"),
]


def event(first: int, end: int) -> bytes:
    return orjson.dumps({"records": [place.offset for place in PLACES[first:end]]})


def told(destination=QUEUE, *, cluster=MSK, places=PLACES, function="", **changed):
    spec = spec_of(destination_arn=destination)
    given = {
        "spec": spec,
        "request_id": "7b4a1f0d-52f3-4e0a-a7f4-90b0f1a2c3d4",
        "letter_id": "l",
        "condition": "RetryAttemptsExhausted",
        "invoke_count": 4,
        "outcome": Failed("ValueError"),
        "wall_ms": 1_772_446_530_123,
    }
    return kafka_failure_record(Discarded(**(given | changed)), cluster, places, event)


def test_one_document_for_the_batch_in_the_order_of_its_members():
    text = told().body.decode()
    payload_size = len(event(0, 3))
    assert text == (
        '{"requestContext":{"requestId":"7b4a1f0d-52f3-4e0a-a7f4-90b0f1a2c3d4",'
        '"functionArn":"arn:aws:lambda:us-east-1:000000000000:function:settle",'
        '"condition":"RetryAttemptsExhausted","approximateInvokeCount":4},'
        '"responseContext":{"statusCode":200,"executedVersion":"$LATEST",'
        '"functionError":"Unhandled"},'
        '"version":"1.0","timestamp":"2026-03-02T10:15:30.123Z",'
        f'"KafkaBatchInfo":{{"batchSize":3,"eventSourceArn":"{CLUSTER_ARN}",'
        f'"bootstrapServers":"b-1:9098,b-2:9098","payloadSize":{payload_size},'
        '"recordsInfo":{'
        '"payments-0":{"firstRecordOffset":"1005","lastRecordOffset":"1007",'
        '"firstRecordTimestamp":"2026-03-02T10:14:58.204Z",'
        '"lastRecordTimestamp":"2026-03-02T10:14:59.871Z"},'
        '"payments-1":{"firstRecordOffset":"3","lastRecordOffset":"3",'
        '"firstRecordTimestamp":"2026-03-02T10:14:58.300Z",'
        '"lastRecordTimestamp":"2026-03-02T10:14:58.300Z"}}}}'
    )


def test_a_self_managed_cluster_has_no_source_arn():
    found = orjson.loads(told(cluster=KafkaCluster("h:1", None)).body)
    assert "eventSourceArn" not in found["KafkaBatchInfo"]


def test_p17_a_bucket_gets_the_event_as_text_under_the_first_partition():
    found = told("arn:aws:s3:::kept")
    assert orjson.loads(found.body)["payload"] == event(0, 3).decode()
    assert "/payments-0/2026/03/02/" in found.object_key
    assert found.origin == b""


def test_p17_a_topic_gets_a_message_for_each_record_with_its_event_as_an_object():
    found = told("kafka://failed")
    messages = unpack_messages(found.body)
    assert [message.key for message in messages] == [b"cust-7", None, b"cust-8"]
    assert found.origin == MSK.origin
    one = orjson.loads(messages[2].value)
    assert list(one) == [
        "requestContext", "responseContext", "version", "timestamp", "KafkaBatchInfo", "payload",
    ]  # fmt: skip
    assert one["requestContext"] == {
        "requestId": "7b4a1f0d-52f3-4e0a-a7f4-90b0f1a2c3d4",
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:settle:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 4,
    }
    assert one["KafkaBatchInfo"] == {
        "batchSize": 1,
        "eventSourceArn": CLUSTER_ARN,
        "bootstrapServers": "b-1:9098,b-2:9098",
        "payloadSize": len(event(2, 3)),
        "recordInfo": {"offset": "1007", "timestamp": "2026-03-02T10:14:59.871Z"},
    }
    assert one["payload"] == {"records": [1007]}


@pytest.mark.parametrize("condition", ["RecordAgeExceeded", "MaximumPayloadSizeExceeded"])
def test_p10_the_other_conditions_are_called_the_same_everywhere(condition):
    for message in unpack_messages(told("kafka://failed", condition=condition).body):
        found = orjson.loads(message.value)
        assert found["requestContext"]["condition"] == condition
        is_absent = condition == "RecordAgeExceeded"
        assert ("responseContext" not in found) == is_absent
        assert found.get("responseContext") is None


def test_no_records_is_refused():
    with pytest.raises(RouterError):
        told(places=[])
