"""Who a mapping is at a broker, and what its status says when it is not let in (1.3, 1.7)."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from router.model.errors import ConfigError
from router.model.resources import SourceAccess
from router.sources.kafka.access import access_of
from router.sources.kafka.member import Lost, Member
from router.sources.kafka.problem import AUTHENTICATION, AUTHORIZATION, NOT_VALID, SourceProblem
from tests.servers.base import free_ports
from tests.servers.kafka import PASSWORD, USER

ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:{}-AbCdEf"


def secrets(**known: Any):
    def read(name: str) -> str:
        if name not in known:
            raise ConfigError(f"secret {name!r} is nowhere")
        value = known[name]
        return value if isinstance(value, str) else json.dumps(value)

    return read


def item(kind: str, name: str) -> SourceAccess:
    return SourceAccess(kind, ARN.format(name))


@pytest.fixture
def pem(secure_kafka):
    def read(name: str) -> str:
        return (secure_kafka.tls_folder / name).read_text()

    return read


async def connected(access, topic: str = "nothing") -> None:
    """Reads the offsets of a group: a connection, an identity and permissions."""
    member = Member(access, topic, f"g-{uuid4()}", "test", 30.0)
    try:
        await member.open()
        await member.committed(member.partitions)
        await member.bounds(member.partitions)
    finally:
        await member.close()
        await asyncio.sleep(0.1)


async def topic_at(kafka) -> str:
    name = f"t-{uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    await producer.send_and_wait(name, b"v")
    await producer.stop()
    await asyncio.sleep(0.05)
    return name


@pytest.mark.parametrize("kind", ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"])
async def test_a_password_goes_over_tls(secure_kafka, pem, kind):
    known = secrets(login={"username": USER, "password": PASSWORD}, ca=pem("ca.crt"))
    items = [item(kind, "login"), item("SERVER_ROOT_CA_CERTIFICATE", "ca")]
    access = access_of([secure_kafka.address("SASLTLS")], items, known)
    assert access.protocol == "SASL_SSL"
    await connected(access, await topic_at(secure_kafka))


async def test_without_tls_only_where_it_is_allowed_by_name(secure_kafka):
    known = secrets(login={"username": USER, "password": PASSWORD})
    items, server = [item("SASL_SCRAM_512_AUTH", "login")], secure_kafka.address("SASL")
    with pytest.raises(SourceProblem, match="ROUTER_KAFKA_SASL_WITHOUT_TLS") as caught:
        await connected(access_of([server], items, known))
    assert caught.value.reason == AUTHENTICATION
    access = access_of([server], items, known, [server])
    await connected(access, await topic_at(secure_kafka))


@pytest.mark.parametrize("key", ["client.pk8", "client.encrypted.pk8"])
async def test_a_certificate_of_the_client(secure_kafka, pem, key):
    mine = {"certificate": pem("client.crt"), "privateKey": pem(key)}
    if "encrypted" in key:
        mine["privateKeyPassword"] = "sesame"
    known = secrets(mine=mine, ca={"certificate": pem("ca.crt")})
    items = [
        item("CLIENT_CERTIFICATE_TLS_AUTH", "mine"),
        item("SERVER_ROOT_CA_CERTIFICATE", "ca"),
    ]
    access = access_of([secure_kafka.address("MTLS")], items, known)
    await connected(access, await topic_at(secure_kafka))


def test_a_password_is_shown_to_nobody():
    known = secrets(login={"username": USER, "password": PASSWORD})
    access = access_of(["h:9"], [item("BASIC_AUTH", "login")], known, ["h:9"])
    assert access.password == PASSWORD
    assert PASSWORD not in f"{access} {access!r}"


async def problem_of(access, topic: str = "nothing") -> SourceProblem:
    with pytest.raises(SourceProblem) as caught:
        await connected(access, topic)
    assert PASSWORD not in caught.value.result
    return caught.value


async def test_a_wrong_password_is_told(secure_kafka, pem):
    known = secrets(login={"username": USER, "password": "wrong"}, ca=pem("ca.crt"))
    for kind in ("BASIC_AUTH", "SASL_SCRAM_512_AUTH"):
        items = [item(kind, "login"), item("SERVER_ROOT_CA_CERTIFICATE", "ca")]
        problem = await problem_of(access_of([secure_kafka.address("SASLTLS")], items, known))
        assert problem.reason == AUTHENTICATION
        assert problem.result.startswith("PROBLEM: SASL authentication failed: 127.0.0.1:")
        assert "user 'alice'" in problem.result


async def test_a_server_nobody_vouches_for_is_told(secure_kafka):
    known = secrets(login={"username": USER, "password": PASSWORD})
    access = access_of([secure_kafka.address("SASLTLS")], [item("BASIC_AUTH", "login")], known)
    problem = await problem_of(access)
    assert problem.reason == AUTHENTICATION
    assert "Lambda failed to authenticate server" in problem.result


async def test_a_missing_certificate_is_told(secure_kafka, pem):
    items = [item("SERVER_ROOT_CA_CERTIFICATE", "ca")]
    access = access_of([secure_kafka.address("MTLS")], items, secrets(ca=pem("ca.crt")))
    problem = await problem_of(access)
    assert problem.reason == AUTHENTICATION
    assert "Server failed to authenticate Lambda" in problem.result


async def test_an_unknown_topic_is_told(kafka):
    problem = await problem_of(access_of([kafka.bootstrap], [], secrets()), "no-such-topic")
    assert (problem.reason, str(problem)) == (
        NOT_VALID,
        "the cluster has no topic 'no-such-topic'",
    )


async def test_a_missing_permission_is_told(secure_kafka, pem):
    known = secrets(login={"username": "bob", "password": "builder"}, ca=pem("ca.crt"))
    items = [item("BASIC_AUTH", "login"), item("SERVER_ROOT_CA_CERTIFICATE", "ca")]
    access = access_of([secure_kafka.address("SASLTLS")], items, known)
    problem = await problem_of(access, await topic_at(secure_kafka))
    assert problem.reason == AUTHORIZATION
    assert "Cluster failed to authorize Lambda: no permission on topic" in problem.result


async def test_a_missing_broker_is_told():
    (port,) = free_ports(1)
    problem = await problem_of(access_of([f"127.0.0.1:{port}"], [], secrets()))
    assert (problem.reason, str(problem)) == ("", f"127.0.0.1:{port}: no broker listens there")


async def test_a_name_that_is_none_is_told():
    problem = await problem_of(access_of(["no-such-host.invalid:9092"], [], secrets()))
    assert "cannot be resolved" in str(problem)


async def test_one_server_that_answers_is_enough(kafka):
    (port,) = free_ports(1)
    topic = await topic_at(kafka)
    await connected(access_of([f"127.0.0.1:{port}", kafka.bootstrap], [], secrets()), topic)


@pytest.mark.parametrize("listener", ["SASL", "TLS"])
async def test_a_listener_that_wants_more_is_told(secure_kafka, listener):
    problem = await problem_of(access_of([secure_kafka.address(listener)], [], secrets()))
    assert "closes the connection" in str(problem) or "no answer" in str(problem)


@pytest.mark.parametrize(
    ("kind", "secret", "text"),
    [
        ("BASIC_AUTH", "alice", "no JSON object with 'username'"),
        ("BASIC_AUTH", {"username": "alice"}, "no 'password'"),
        ("CLIENT_CERTIFICATE_TLS_AUTH", "PEM", "no JSON object with 'privateKey'"),
        ("CLIENT_CERTIFICATE_TLS_AUTH", {"certificate": "x", "privateKey": "y"}, "is invalid"),
        ("SERVER_ROOT_CA_CERTIFICATE", "nonsense", "is invalid"),
        ("OAUTHBEARER_AUTH", "x", "not available in this version"),
        ("IAM_AUTH", "x", "not available in this version"),
    ],
)
def test_a_secret_that_is_none_is_told(kind, secret, text):
    with pytest.raises(SourceProblem, match=text) as caught:
        access_of(["127.0.0.1:9"], [item(kind, "s")], secrets(s=secret))
    assert caught.value.reason == NOT_VALID


def test_a_secret_is_found_with_and_without_the_end_of_its_arn():
    known = {"username": "u", "password": "p"}
    for name in ("login", "login-AbCdEf"):
        read = secrets(**{name: known})
        assert access_of(["h:9"], [item("BASIC_AUTH", "login")], read).user == "u"
    with pytest.raises(SourceProblem, match="'login' is nowhere"):
        access_of(["h:9"], [item("BASIC_AUTH", "login")], secrets())


async def test_a_partition_nobody_knows_is_lost(kafka):
    member = Member(access_of([kafka.bootstrap], [], secrets()), "t", "g", "c", 30.0)
    with pytest.raises(Lost):
        await member.committed(["t-0"])
