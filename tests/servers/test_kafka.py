"""The broker of the tests is a real one, and every way to prove who one is works."""

import asyncio
import ssl
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.servers.kafka import PASSWORD, USER


async def round_trip(bootstrap: str, replicas: int = 1, *, then=lambda: None, **security) -> None:
    """`then` is done when the topic is there and empty."""
    topic = f"t-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **security)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, replicas)])
    await admin.close()
    then()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **security)
    await producer.start()
    await producer.send_and_wait(topic, b"v", b"k")
    await producer.stop()
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **security
    )
    await consumer.start()
    try:
        assert (await consumer.getone()).value == b"v"
    finally:
        await consumer.stop()
        await asyncio.sleep(0.1)  # the client's transports close in later turns of the loop


async def test_a_broker_takes_and_gives_records(kafka):
    await round_trip(kafka.bootstrap)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl_with_and_without_tls(secure_kafka, mechanism):
    sasl = {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    await round_trip(secure_kafka.address("SASL"), security_protocol="SASL_PLAINTEXT", **sasl)
    context = ssl.create_default_context(cafile=secure_kafka.tls_folder / "ca.crt")
    await round_trip(
        secure_kafka.address("SASLTLS"), security_protocol="SASL_SSL", ssl_context=context, **sasl
    )


async def test_tls_with_a_certificate_of_the_client(secure_kafka):
    folder = secure_kafka.tls_folder
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / "client.crt", folder / "client.key")
    await round_trip(secure_kafka.address("MTLS"), security_protocol="SSL", ssl_context=context)


async def test_three_nodes_go_on_without_one(kafka_cluster):
    node = kafka_cluster.nodes[1]
    await round_trip(kafka_cluster.bootstrap, replicas=3, then=node.kill)
    node.start()
