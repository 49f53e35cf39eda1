"""Apache Kafka: one node or three, with listeners for every way to prove who one is.

A topic, a group and a user are a test's own: names come from `uuid4`, nothing is cleaned up.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.base import (
    JVM,
    START_TRIES_MAX,
    NotReady,
    Server,
    accepts,
    free_ports,
    unavailable,
)
from tests.servers.jars import Missing, java

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"
"""Any 16 bytes in base64url."""

USER, PASSWORD = "alice", "wonderland"
FORMAT_S_MAX = 120.0

LISTENERS = ("PLAINTEXT", "SASL", "TLS", "MTLS", "SASLTLS")
"""As `KafkaServer.address` takes them: open, SASL in clear, TLS, TLS that asks for a certificate,
SASL over TLS."""

LOG4J = """status = error
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = OUT
"""

PROPERTIES = """process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{protocols}
log.dirs={folder}/data
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
default.replication.factor={replicas}
min.insync.replicas={in_sync}
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
auto.create.topics.enable=false
log.segment.bytes=16777216
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=4194304
log.retention.check.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
replica.lag.time.max.ms=5000
controlled.shutdown.enable=false
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=client
allow.everyone.if.no.acl.found=false
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
"""

SASL = """listener.name.{name}.scram-sha-256.sasl.jaas.config={scram} required;
listener.name.{name}.scram-sha-512.sasl.jaas.config={scram} required;
listener.name.{name}.plain.sasl.jaas.config={plain} required \
user_{user}="{password}" user_bob="builder";
"""
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"

TLS = """ssl.keystore.type=PEM
ssl.keystore.location={tls}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={tls}/ca.crt
listener.name.mtls.ssl.client.auth=required
"""


class KafkaServer(Server):
    """One node, broker and controller in one."""

    name = "kafka"

    def __init__(self, folder: Path, node: int = 1) -> None:
        super().__init__(folder)
        self.node = node
        self.ports: dict[str, int] = {}
        self.controller_port = 0
        self.peers: Sequence[KafkaServer] = (self,)
        self.is_secured = False
        """Also the listeners that ask who one is; made by `SecureKafka`."""

    @property
    def bootstrap(self) -> str:
        """HOST:PORT of the listener that is open to all."""
        return self.address("PLAINTEXT")

    @property
    def tls_folder(self) -> Path:
        """`ca.crt`, and the server's and the client's keys."""
        return self.folder / "tls"

    def address(self, listener: str) -> str:
        """HOST:PORT of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def choose_ports(self) -> None:
        """All of them, before the configuration of any node is written."""
        listeners = LISTENERS if self.is_secured else LISTENERS[:1]
        self.controller_port, *ports = free_ports(1 + len(listeners))
        self.ports = dict(zip(listeners, ports, strict=True))

    def configure(self) -> None:
        """Choose ports, write the configuration, format the storage."""
        self.choose_ports()
        self.write()

    def write(self) -> None:
        """The files of the node, and its empty storage."""
        replicas = len(self.peers)
        text = PROPERTIES.format(
            node=self.node,
            voters=",".join(f"{it.node}@127.0.0.1:{it.controller_port}" for it in self.peers),
            listeners=",".join(f"{it}://127.0.0.1:{port}" for it, port in self.ports.items()),
            protocols="SASL:SASL_PLAINTEXT,TLS:SSL,MTLS:SSL,SASLTLS:SASL_SSL",
            controller=self.controller_port,
            folder=self.folder,
            replicas=replicas,
            in_sync=1 if replicas == 1 else replicas - 1,
            user=USER,
        )
        if self.is_secured:
            for listener in ("sasl", "sasltls"):
                text += SASL.format(
                    name=listener, scram=SCRAM_MODULE, plain=PLAIN_MODULE,
                    user=USER, password=PASSWORD,
                )  # fmt: skip
            if not self.tls_folder.is_dir():
                make_certificates(self.tls_folder)
            text += TLS.format(tls=self.tls_folder)
        (self.folder / "server.properties").write_text(text)
        (self.folder / "log4j2.properties").write_text(LOG4J)
        scram = [
            f"--add-scram=SCRAM-SHA-{bits}=[name={name},password={password}]"
            for bits in (256, 512)
            for name, password in ((USER, PASSWORD), ("bob", "builder"))
        ]
        subprocess.run(
            [*java(self.name), "-Xmx96m", *JVM, "kafka.tools.StorageTool", "format",
             "-t", CLUSTER_ID, "-c", "server.properties", "--ignore-formatted",
             *(scram if self.is_secured else ())],
            cwd=self.folder, check=True, capture_output=True, timeout=FORMAT_S_MAX,
        )  # fmt: skip

    def command(self) -> Sequence[str]:
        """Java with the jars."""
        return [
            *java(self.name), "-Xms64m", "-Xmx192m", "-XX:+ExitOnOutOfMemoryError", *JVM,
            "-Dlog4j2.configurationFile=log4j2.properties", "kafka.Kafka", "server.properties",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        """Its first listener is opened once it has joined the cluster."""
        return accepts(self.ports["PLAINTEXT"])


class SecureKafka(KafkaServer):
    """One node with all `LISTENERS`. Users: alice may do everything, bob nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_secured = True


class KafkaCluster:
    """Three nodes; two of them are enough to go on."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [KafkaServer(folder / str(node), node) for node in (1, 2, 3)]
        for node in self.nodes:
            node.folder.mkdir(parents=True)
            node.peers = self.nodes

    @property
    def bootstrap(self) -> str:
        """All nodes."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """All nodes, side by side: none is ready before two of them are."""
        for node in self.nodes:
            node.choose_ports()
        for node in self.nodes:
            node.write()
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.wait_ready()

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                os.kill(node.pid, signal.SIGCONT)
            node.stop()


@contextmanager
def cluster(folder: Path) -> Iterator[KafkaCluster]:
    """Three started nodes; skips, or fails where servers are required."""
    nodes = KafkaCluster(folder)
    try:
        for attempt in range(1, START_TRIES_MAX + 1):
            try:
                nodes.start()
                break
            except NotReady:
                nodes.stop()
                if attempt == START_TRIES_MAX:
                    raise
                nodes = KafkaCluster(folder / f"again-{attempt}")
        yield nodes
    except Missing as error:
        unavailable(str(error))
    finally:
        nodes.stop()


def make_certificates(folder: Path) -> None:
    """A CA, a server for 127.0.0.1 and a client signed by it; the client's key also encrypted."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test-ca",
            "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    (folder / "san.cnf").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", "san.cnf",
                "-out", f"{name}.crt")  # fmt: skip
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{name}.key", "-out", f"{name}.pk8")
    openssl("pkcs8", "-topk8", "-passout", "pass:sesame", "-in", "client.key",
            "-out", "client.encrypted.pk8")  # fmt: skip
    texts = [(folder / it).read_text() for it in ("server.pk8", "server.crt", "ca.crt")]
    (folder / "server.pem").write_text("".join(texts))
