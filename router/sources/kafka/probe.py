"""Asks a cluster what its client will not tell: why it cannot be reached, joined or read.

The client logs the cause of a failed bootstrap and raises that there was one. Here each server is
tried by hand, with deadlines, and each refusal becomes a `SourceProblem` for people.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from router.sources.kafka.access import Access
from router.sources.kafka.problem import (
    AUTHENTICATION,
    AUTHORIZATION,
    NOT_ACCEPTED,
    NOT_AUTHORIZED,
    NOT_TRUSTED,
    NOT_VALID,
    PASSING,
    SASL_FAILED,
    SourceProblem,
)

ANSWER_S_MAX: Final = 10.0
"""Longest wait for one server: connection, handshakes and answer."""


async def probe(access: Access, topic: str) -> tuple[int, ...]:
    """The partitions of a topic, by any of the servers. Raises `SourceProblem`.

    Of several servers the first one's problem is told, and one that somebody has to solve before
    one that passes.
    """
    problems: list[SourceProblem] = []
    for server in access.servers:
        try:
            return await _ask(access, server, topic)
        except SourceProblem as problem:
            problems.append(problem)
    problems.sort(key=lambda problem: problem.reason == PASSING)
    raise problems[0]


async def _ask(access: Access, server: str, topic: str) -> tuple[int, ...]:
    host, _, port = server.rpartition(":")
    connection: AIOKafkaConnection | None = None
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            connection = await create_conn(
                host.strip("[]"),
                int(port),
                request_timeout_ms=int(ANSWER_S_MAX * 1000),
                **access.options(),
            )
            request = MetadataRequest([topic], allow_auto_topic_creation=False)
            answer = await connection.send(request)
    except (OSError, TimeoutError, errors.KafkaError) as error:
        raise explain(error, server, access) from None
    finally:
        if connection is not None:
            connection.close()
    return _partitions(answer.topics, topic)


def _partitions(topics: Sequence[Any], topic: str) -> tuple[int, ...]:
    for code, name, *_, partitions in topics:
        if name != topic:
            continue
        kind = errors.for_code(code)
        if kind in {errors.UnknownTopicOrPartitionError, errors.InvalidTopicError}:
            raise SourceProblem(NOT_VALID, f"the cluster has no topic {topic!r}")
        if kind is errors.TopicAuthorizationFailedError:
            raise not_authorized(f"topic {topic!r} (Describe, Read)")
        if partitions:
            return tuple(sorted(partition[1] for partition in partitions))
    raise SourceProblem(PASSING, f"topic {topic!r} has no partition that can be read now")


def not_authorized(what: str) -> SourceProblem:
    """A permission is missing."""
    return SourceProblem(AUTHORIZATION, f"{NOT_AUTHORIZED}: no permission on {what}")


def explain(error: Exception, server: str, access: Access) -> SourceProblem:
    """What an error of a connection means."""
    match error:
        case errors.SaslAuthenticationFailed() | errors.AuthenticationFailedError():
            text = f"{SASL_FAILED}: {server} refuses user {access.user!r} or the password"
            return SourceProblem(AUTHENTICATION, f"{text} ({access.mechanism})")
        case errors.UnsupportedSaslMechanismError():
            text = f"{SASL_FAILED}: {server} does not offer {access.mechanism}"
            return SourceProblem(NOT_VALID, text)
        case errors.ClusterAuthorizationFailedError():
            return not_authorized("the cluster")
        case ssl.SSLCertVerificationError():
            why = error.verify_message
            return SourceProblem(AUTHENTICATION, f"{NOT_TRUSTED}: {server}: {why}")
        case ssl.SSLError() if _is_about_us(error):
            return _not_accepted(server, error.reason or str(error))
        case ssl.SSLError():
            return _no_tls(server, access, error.reason or str(error))
        case socket.gaierror():
            return SourceProblem(PASSING, f"{server}: the name cannot be resolved")
        case ConnectionRefusedError():
            return SourceProblem(PASSING, f"{server}: no broker listens there")
        case TimeoutError() | errors.RequestTimedOutError():
            return SourceProblem(PASSING, f"{server}: no answer in {ANSWER_S_MAX:.0f} s")
        case errors.KafkaConnectionError() | ConnectionError() if access.protocol == "PLAINTEXT":
            return _closed(server, "it may want TLS, or a user and password")
        case errors.KafkaConnectionError() | ConnectionError() if access.tls is None:
            return _closed(server, "it may want TLS, or no user and password")
        case errors.KafkaConnectionError():
            return _not_accepted(server, "it closes the connection after the handshake")
        case ConnectionError():
            return _no_tls(server, access, "it closes the connection in the handshake")
    return SourceProblem(PASSING, f"{server}: {error}")


def _no_tls(server: str, access: Access, why: str) -> SourceProblem:
    text = f"{NOT_TRUSTED}: {server} seems to speak no TLS: {why}"
    hint = ". A user and password without TLS need ROUTER_KAFKA_SASL_WITHOUT_TLS"
    return SourceProblem(AUTHENTICATION, text + (hint if access.mechanism else ""))


def _not_accepted(server: str, why: str) -> SourceProblem:
    return SourceProblem(AUTHENTICATION, f"{NOT_ACCEPTED}: {server}: {why}")


def _closed(server: str, advice: str) -> SourceProblem:
    return SourceProblem(PASSING, f"{server} closes the connection: {advice}")


def _is_about_us(error: ssl.SSLError) -> bool:
    """The server's alert about the certificate of the client."""
    return "ALERT" in (error.reason or "") and "VERSION" not in (error.reason or "")
