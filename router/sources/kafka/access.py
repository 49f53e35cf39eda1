"""How a Kafka cluster is reached: bootstrap servers, and who the mapping is there (1.3).

    BASIC_AUTH                    SASL/PLAIN
    SASL_SCRAM_256_AUTH, …_512_…  SASL/SCRAM
    CLIENT_CERTIFICATE_TLS_AUTH   mutual TLS
    SERVER_ROOT_CA_CERTIFICATE    TLS, trusting this CA instead of the system's
    VPC_SUBNET, VPC_SECURITY_…    nothing here: the router is where it is

A password goes over TLS only, as on AWS, but to servers that `ROUTER_KAFKA_SASL_WITHOUT_TLS` names.
"""

import json
import os
import ssl
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from router.config import resolve_secret
from router.model.arn import ArnError, parse_arn
from router.model.errors import ConfigError
from router.model.resources import SourceAccess
from router.sources.kafka.problem import BAD_CERTIFICATE, NOT_VALID, SourceProblem

MECHANISMS: Final = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
}

NETWORK: Final = frozenset({"VPC_SUBNET", "VPC_SECURITY_GROUP"})

SUFFIX_LENGTH: Final = 7
"""AWS ends the ARN of a secret with `-` and six characters that are no part of its name."""

Secrets = Callable[[str], str]
"""The text of a secret by its name. Raises `ConfigError`."""


class Access(msgspec.Struct, frozen=True):
    """Everything a client needs to know. Holds secrets: never shown, logged or stored."""

    servers: tuple[str, ...]
    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str = ""
    user: str = ""
    password: str = ""
    tls: Any = None
    """`ssl.SSLContext`, where the protocol has one."""

    def __repr__(self) -> str:
        """Where, and as whom; what proves it is nobody's business."""
        return f"Access({','.join(self.servers)}, {self.protocol}, user={self.user!r})"

    def options(self) -> dict[str, Any]:
        """As the client's constructors take them."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.tls}
        if self.mechanism:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


def secrets_in(folder: str) -> Secrets:
    """Secrets as `{{resolve:secretsmanager:…}}` finds them: files of a folder, else variables."""
    return lambda name: resolve_secret(f"{{{{resolve:secretsmanager:{name}}}}}", folder)


def access_of(
    servers: Sequence[str],
    configured: Sequence[SourceAccess],
    secrets: Secrets,
    sasl_without_tls: Collection[str] = (),
) -> Access:
    """What `SourceAccessConfigurations` come to. Raises `SourceProblem`."""
    access = Access(tuple(servers))
    given = {it.type: it.uri for it in configured if it.type not in NETWORK}
    wants_tls = False
    context: ssl.SSLContext | None = None
    for kind in ("SERVER_ROOT_CA_CERTIFICATE", "CLIENT_CERTIFICATE_TLS_AUTH"):
        if (uri := given.pop(kind, None)) is None:
            continue
        wants_tls = True
        secret = _secret(kind, uri, secrets)
        if kind == "SERVER_ROOT_CA_CERTIFICATE":
            context = _trusting(_text(secret, kind, "certificate"))
        else:
            context = context or ssl.create_default_context()
            _prove(context, secret)
    for kind, uri in given.items():
        mechanism = MECHANISMS.get(kind)
        if mechanism is None:
            raise SourceProblem(NOT_VALID, f"{kind} is not available in this version")
        secret = _secret(kind, uri, secrets)
        access = msgspec.structs.replace(
            access,
            mechanism=mechanism,
            user=_text(secret, kind, "username"),
            password=_text(secret, kind, "password"),
        )
    is_clear = bool(access.mechanism) and not wants_tls and {*servers} <= {*sasl_without_tls}
    if (access.mechanism and not is_clear) or wants_tls:
        context = context or ssl.create_default_context()
        protocol = "SASL_SSL" if access.mechanism else "SSL"
        return msgspec.structs.replace(access, protocol=protocol, tls=context)
    return msgspec.structs.replace(
        access, protocol="SASL_PLAINTEXT" if access.mechanism else "PLAINTEXT"
    )


def _secret(kind: str, uri: str, secrets: Secrets) -> dict[str, Any] | str:
    """The secret behind an ARN or a name: a JSON object, or text where it is none."""
    problem = None
    for name in _names(uri):
        try:
            text = secrets(name)
        except ConfigError as error:
            problem = problem or str(error)
        else:
            break
    else:
        raise SourceProblem(NOT_VALID, f"{kind}: {problem}")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict) else text


def _names(uri: str) -> list[str]:
    """Names a secret may be kept under: an ARN's with and without its random end."""
    try:
        resource = parse_arn(uri).resource
    except ArnError:
        return [uri]
    name = resource.removeprefix("secret:")
    is_random = len(name) > SUFFIX_LENGTH and name[-SUFFIX_LENGTH] == "-"
    return [name[:-SUFFIX_LENGTH], name] if is_random else [name]


def _text(secret: dict[str, Any] | str, kind: str, member: str) -> str:
    if isinstance(secret, str):
        if member == "certificate":  # the PEM itself, as AWS keeps that of a CA
            return secret
        raise SourceProblem(NOT_VALID, f"{kind}: the secret is no JSON object with {member!r}")
    value = secret.get(member)
    if not isinstance(value, str) or not value:
        raise SourceProblem(NOT_VALID, f"{kind}: the secret has no {member!r}")
    return value


def _trusting(certificate: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=certificate)
    except (ssl.SSLError, ValueError) as error:
        raise SourceProblem(
            NOT_VALID, f"{BAD_CERTIFICATE}: SERVER_ROOT_CA_CERTIFICATE: {_why(error)}"
        ) from None


def _prove(context: ssl.SSLContext, secret: dict[str, Any] | str) -> None:
    kind = "CLIENT_CERTIFICATE_TLS_AUTH"
    pem = f"{_text(secret, kind, 'privateKey')}\n{_client_certificate(secret, kind)}\n"
    password = secret.get("privateKeyPassword") if isinstance(secret, dict) else None
    # The library reads files only; this one is in memory and nobody else's.
    fd = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=lambda: str(password or ""))
    except (ssl.SSLError, OSError, ValueError) as error:
        raise SourceProblem(NOT_VALID, f"{BAD_CERTIFICATE}: {kind}: {_why(error)}") from None
    finally:
        os.close(fd)


def _client_certificate(secret: dict[str, Any] | str, kind: str) -> str:
    if isinstance(secret, str):
        raise SourceProblem(NOT_VALID, f"{kind}: the secret is no JSON object with 'certificate'")
    return _text(secret, kind, "certificate")


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)
