"""On-failure records in real queues, topics and buckets: what arrives, and what each failure says.

SNS and S3 by moto, SQS by ElasticMQ; boto3 reads what arrived.
"""

import asyncio
import json
import time
from uuid import uuid4

import boto3
import pytest

from router.auth.aws_session import AwsSession
from router.destinations import aws
from router.destinations.aws import AwsBucket, AwsQueue, AwsTopic
from router.destinations.delivery import DeliveryFailed
from router.store.base import OutboxRow
from tests.servers.base import free_ports, running
from tests.servers.moto import ACCOUNT, Moto

REGION = "us-east-1"
UUID = "5f2d7c1e-93b4-4f8a-8f0e-6f1b2a7c9d10"
BODY = '{"requestContext":{"condition":"RetryAttemptsExhausted"},"text":"ünï"}'


@pytest.fixture
def keys(monkeypatch):
    """Where the SDK finds credentials; nothing of this machine's."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return monkeypatch


@pytest.fixture
async def session(keys):
    session = AwsSession(REGION)
    yield session
    await session.close()


def client(service, server):
    return boto3.client(service, endpoint_url=server.url, region_name=REGION)


def row(destination, body=BODY, **members):
    return OutboxRow(
        mapping="m", mapping_uuid=UUID, lane="shardId-000000000004",
        destination=destination, letter_id=str(uuid4()), body=body.encode(), records=1, **members,
    )  # fmt: skip


async def fails(carrier, one) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await carrier.deliver(one)
    return caught.value


# Queues


def make_queue(server, name, **attributes):
    sqs = client("sqs", server)
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return url, arn["QueueArn"]


def messages(server, url):
    answer = client("sqs", server).receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )
    return answer.get("Messages", [])


async def test_a_queue_gets_the_document_as_the_body(elasticmq, session, keys):
    keys.setenv("AWS_ENDPOINT_URL_SQS", elasticmq.url)
    url, arn = make_queue(elasticmq, f"q-{uuid4()}")
    carrier = AwsQueue(session)
    assert await carrier.deliver(row(arn)) is None
    (message,) = messages(elasticmq, url)
    assert message["Body"] == BODY
    assert "MessageGroupId" not in message["Attributes"]


async def test_a_fifo_queue_keeps_the_order_of_a_shard_and_each_record_once(
    elasticmq, session, keys
):
    keys.setenv("AWS_ENDPOINT_URL_SQS", elasticmq.url)
    url, arn = make_queue(elasticmq, f"q-{uuid4()}.fifo", FifoQueue="true")
    carrier = AwsQueue(session)
    sent = [row(arn, f'{{"n":{number}}}') for number in range(3)]
    for one in [*sent, sent[0], sent[2]]:
        await carrier.deliver(one)
    found = messages(elasticmq, url)
    assert [json.loads(message["Body"])["n"] for message in found] == [0, 1, 2]
    assert {message["Attributes"]["MessageGroupId"] for message in found} == {
        f"{UUID}:shardId-000000000004"
    }


async def test_a_queue_that_is_missing_and_comes_and_goes(elasticmq, session, keys):
    keys.setenv("AWS_ENDPOINT_URL_SQS", elasticmq.url)
    name = f"q-{uuid4()}"
    carrier, one = AwsQueue(session), row(f"arn:aws:sqs:{REGION}:000000000000:{name}")
    assert (await fails(carrier, one)).reason == "missing"
    url, _ = make_queue(elasticmq, name)
    await carrier.deliver(one)
    client("sqs", elasticmq).delete_queue(QueueUrl=url)
    assert (await fails(carrier, one)).reason == "missing"
    make_queue(elasticmq, name)
    await carrier.deliver(one)


async def test_a_document_larger_than_the_queue_takes(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    _, arn = make_queue(moto, f"q-{uuid4()}", MaximumMessageSize="1024")
    failure = await fails(AwsQueue(session), row(arn, "x" * 1025))
    assert (failure.reason, failure.is_of_destination) == ("too_large", False)


# Topics


async def test_a_topic_gets_the_document_as_the_message(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    sns = client("sns", moto)
    topic = sns.create_topic(Name=f"t-{uuid4()}")["TopicArn"]
    url, queue = make_queue(moto, f"q-{uuid4()}")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    assert await AwsTopic(session).deliver(row(topic)) is None
    (message,) = messages(moto, url)
    notification = json.loads(message["Body"])
    assert notification["Message"] == BODY
    assert "Subject" not in notification
    assert "MessageAttributes" not in notification


async def test_a_fifo_topic_gets_a_group_and_each_record_once(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    attributes = {"FifoTopic": "true"}
    topic = client("sns", moto).create_topic(Name=f"t-{uuid4()}.fifo", Attributes=attributes)
    await AwsTopic(session).deliver(row(topic["TopicArn"]))


async def test_what_a_topic_says_no_to(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    carrier = AwsTopic(session)
    missing = await fails(carrier, row(f"arn:aws:sns:{REGION}:{ACCOUNT}:none-{uuid4()}"))
    assert (missing.reason, missing.is_of_destination) == ("missing", True)
    topic = client("sns", moto).create_topic(Name=f"t-{uuid4()}")["TopicArn"]
    large = await fails(carrier, row(topic, "x" * (256 * 1024 + 1)))
    assert (large.reason, large.is_of_destination) == ("too_large", False)


# Buckets


def make_bucket(server):
    name = f"b-{uuid4()}"
    client("s3", server).create_bucket(Bucket=name)
    return name


async def test_p17_a_bucket_gets_an_object_under_the_key_of_the_contract(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    name = make_bucket(moto)
    key = f"aws/lambda/uuid/shardId-000000000004/2026/03/02/2026-03-02T10.15.30-{uuid4()}"
    one = row(f"arn:aws:s3:::{name}", object_key=key)
    carrier = AwsBucket(session)
    assert await carrier.deliver(one) is None
    s3 = client("s3", moto)
    found = s3.get_object(Bucket=name, Key=key)
    assert found["Body"].read().decode() == BODY
    assert found["ContentType"] == "application/json"
    await carrier.deliver(one)
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 1, "twice delivered is one object"


async def test_a_bucket_takes_the_largest_event(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    name = make_bucket(moto)
    await AwsBucket(session).deliver(
        row(f"arn:aws:s3:::{name}", "x" * (14 * 1024 * 1024), object_key="k")
    )
    assert client("s3", moto).head_object(Bucket=name, Key="k")["ContentLength"] == 14 * 1024 * 1024


async def test_a_bucket_that_is_missing(moto, session, keys):
    keys.setenv("AWS_ENDPOINT_URL", moto.url)
    failure = await fails(AwsBucket(session), row(f"arn:aws:s3:::b-{uuid4()}", object_key="k"))
    assert (failure.reason, failure.is_of_destination) == ("missing", True)
    assert "NoSuchBucket" in str(failure)


# All of them


@pytest.mark.parametrize(
    ("carrier", "arn"),
    [
        (AwsQueue, f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"),
        (AwsTopic, f"arn:aws:sns:{REGION}:{ACCOUNT}:t"),
        (AwsBucket, "arn:aws:s3:::bucket"),
    ],
)
async def test_nobody_there(carrier, arn, session, keys):
    (port,) = free_ports(1)
    keys.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    failure = await fails(carrier(session), row(arn, object_key="k"))
    assert (failure.reason, failure.is_of_destination) == ("unreachable", True)
    assert str(port) in str(failure)


@pytest.mark.parametrize(
    ("carrier", "arn"),
    [
        (AwsQueue, f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"),
        (AwsTopic, f"arn:aws:sns:{REGION}:{ACCOUNT}:t"),
        (AwsBucket, "arn:aws:s3:::bucket"),
    ],
)
async def test_keys_that_are_wrong_or_missing(carrier, arn, keys, tmp_path):
    with running(Moto, tmp_path) as server:
        client("s3", server).create_bucket(Bucket="bucket")
        server.require_keys()
        keys.setenv("AWS_ENDPOINT_URL", server.url)
        session = AwsSession(REGION)
        failure = await fails(carrier(session), row(arn, object_key="k"))
        await session.close()
        assert (failure.reason, failure.is_of_destination) == ("denied", True)
        assert "secret" not in str(failure)
    keys.delenv("AWS_ACCESS_KEY_ID")
    keys.setenv("AWS_EC2_METADATA_DISABLED", "true")
    session = AwsSession(REGION)
    failure = await fails(carrier(session), row(arn, object_key="k"))
    await session.close()
    assert failure.reason == "denied"


async def test_a_server_that_answers_nothing_ends_the_attempt(session, keys, monkeypatch):
    """L3: a connection that is taken and never answered."""
    monkeypatch.setattr(aws, "ATTEMPT_S_MAX", 1.5)

    async def silent(reader, writer):
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keys.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    began = time.monotonic()
    failure = await fails(AwsBucket(session), row("arn:aws:s3:::bucket", object_key="k"))
    assert failure.reason == "timeout"
    assert time.monotonic() - began < 30
    server.close()


async def test_a_server_that_answers_nonsense(session, keys):
    async def odd(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = b"<html>sorry</html>"
        head = b"HTTP/1.1 500 Odd\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    keys.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for carrier, arn in (
        (AwsTopic, f"arn:aws:sns:{REGION}:{ACCOUNT}:t"),
        (AwsBucket, "arn:aws:s3:::bucket"),
    ):
        failure = await fails(carrier(session), row(arn, object_key="k"))
        assert failure.reason in {"server_error", "unreachable"}
        assert failure.is_of_destination
    server.close()
