"""Streams, brokers and tables (`docs/contracts/event-source-mappings.md` 11)."""

from typing import Any

from router.cli.samples.parts import ACCOUNT, ID, REGION, TIME, TIME_MS, encoded


def kinesis_records(
    data: str = "hello",
    partition_key: str = "order-71",
    stream: str = "example",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A batch of one record."""
    number = "49600000000000000000000000000000000000000000000000000001"
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": partition_key,
                    "sequenceNumber": number,
                    "data": encoded(data),
                    "approximateArrivalTimestamp": TIME_MS / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": f"arn:aws:iam::{account_id}:role/lambda-role",
                "awsRegion": region,
                "eventSourceARN": f"arn:aws:kinesis:{region}:{account_id}:stream/{stream}",
            }
        ]
    }


def firehose_transform(
    data: str = "hello",
    stream: str = "example",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """Records to transform."""
    return {
        "invocationId": ID,
        "deliveryStreamArn": f"arn:aws:firehose:{region}:{account_id}:deliverystream/{stream}",
        "region": region,
        "records": [
            {
                "recordId": "49600000000000000000000000000000000000000000000000000002000000",
                "approximateArrivalTimestamp": TIME_MS,
                "data": encoded(data),
            }
        ],
    }


def table_change(
    table: str = "orders",
    event_name: str = "MODIFY",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A changed item; the images that an INSERT or REMOVE has."""
    keys = {"pk": {"S": "order#71"}}
    images = {
        "NewImage": {**keys, "total": {"N": "12.50"}},
        "OldImage": {**keys, "total": {"N": "10"}},
    }
    absent = {"INSERT": "OldImage", "REMOVE": "NewImage"}.get(event_name)
    return {
        "Records": [
            {
                "eventID": "8f14e45fceea167a5a36dedd4bea2543",
                "eventName": event_name,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": region,
                "dynamodb": {
                    "ApproximateCreationDateTime": TIME_MS / 1000,
                    "Keys": keys,
                    **{name: image for name, image in images.items() if name != absent},
                    "SequenceNumber": "4421584500000000017450439091",
                    "SizeBytes": 70,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": (
                    f"arn:aws:dynamodb:{region}:{account_id}:table/{table}/stream/"
                    "2026-01-01T00:00:00.000"
                ),
            }
        ]
    }


def managed_kafka(
    topic: str = "payments",
    key: str = "cust-7",
    value: str = '{"amount":5}',
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """Records of a managed cluster."""
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": f"arn:aws:kafka:{region}:{account_id}:cluster/core/{ID}-4",
        "bootstrapServers": "b-1.core.example:9098,b-2.core.example:9098",
        "records": _kafka(topic, key, value),
    }


def self_managed_kafka(
    topic: str = "payments",
    key: str = "cust-7",
    value: str = '{"amount":5}',
    bootstrap_servers: str = "broker-1.example:9092,broker-2.example:9092",
) -> Any:
    """Records of a cluster of one's own."""
    return {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": bootstrap_servers,
        "records": _kafka(topic, key, value),
    }


def _kafka(topic: str, key: str, value: str) -> dict[str, Any]:
    record = {
        "topic": topic,
        "partition": 0,
        "offset": 15,
        "timestamp": TIME_MS,
        "timestampType": "CREATE_TIME",
        "key": encoded(key),
        "value": encoded(value),
        "headers": [{"trace": [97, 98, 99]}],
    }
    return {f"{topic}-0": [record]}


def activemq(
    data: str = "hello",
    queue: str = "testQueue",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A message of an ActiveMQ broker."""
    return {
        "eventSource": "aws:mq",
        "eventSourceArn": f"arn:aws:mq:{region}:{account_id}:broker:test:b-{ID}",
        "messages": [
            {
                "messageID": "ID:b-example-37557-1767225600000-4:1:1:1:1",
                "messageType": "jms/text-message",
                "deliveryMode": 1,
                "replyTo": None,
                "type": None,
                "expiration": 60_000,
                "priority": 1,
                "correlationId": "order-71",
                "redelivered": False,
                "destination": {"physicalName": queue},
                "data": encoded(data),
                "timestamp": TIME_MS,
                "brokerInTime": TIME_MS,
                "brokerOutTime": TIME_MS,
                "properties": {},
            }
        ],
    }


def rabbitmq(
    data: str = "hello",
    queue: str = "test",
    virtual_host: str = "/",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A message of a RabbitMQ broker."""
    properties = {
        "contentType": "text/plain",
        "contentEncoding": None,
        "headers": {"header1": {"bytes": [97, 98, 99]}},
        "deliveryMode": 1,
        "priority": 34,
        "correlationId": None,
        "replyTo": None,
        "expiration": "60000",
        "messageId": None,
        "timestamp": "Jan 1, 2026, 12:00:00 AM",
        "type": None,
        "userId": "guest",
        "appId": None,
        "clusterId": None,
        "bodySize": len(data.encode()),
    }
    message = {"basicProperties": properties, "redelivered": False, "data": encoded(data)}
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": f"arn:aws:mq:{region}:{account_id}:broker:test:b-{ID}",
        "rmqMessagesByQueue": {f"{queue}::{virtual_host}": [message]},
    }


def document_change(
    database: str = "shop",
    collection: str = "orders",
    operation: str = "insert",
    account_id: str = ACCOUNT,
    region: str = REGION,
) -> Any:
    """A change of a document."""
    key = {"_id": {"$oid": "0123456789abcdef01234567"}}
    event = {
        "_id": {"_data": "010123456700000001"},
        "clusterTime": {"$timestamp": {"t": TIME_MS // 1000, "i": 9}},
        "documentKey": key,
        "fullDocument": {**key, "article": "paint", "at": TIME},
        "ns": {"db": database, "coll": collection},
        "operationType": operation,
    }
    return {
        "eventSourceArn": f"arn:aws:rds:{region}:{account_id}:cluster:example",
        "events": [{"event": event}],
        "eventSource": "aws:docdb",
    }
