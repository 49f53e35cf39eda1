"""ElasticMQ: SQS in memory. Its differences from AWS are named in `tests/contract/sqs_sides.py`."""

import urllib.error
import urllib.request
from collections.abc import Sequence

from tests.servers.base import JVM, Server, free_ports
from tests.servers.jars import java

CONFIGURATION = """
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{
  enabled = true, bind-port = {port}, bind-hostname = "127.0.0.1", sqs-limits = strict
}}
rest-stats {{ enabled = false }}
aws {{ region = us-east-1, accountId = 000000000000 }}
queues {{}}
"""


class ElasticMq(Server):
    """One server; it forgets everything when it ends."""

    name = "elasticmq"

    @property
    def url(self) -> str:
        """The endpoint, for any key and region us-east-1."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self) -> None:
        """Choose the port."""
        (self.port,) = free_ports(1)
        path = self.folder / "elasticmq.conf"
        path.write_text(CONFIGURATION.format(port=self.port))

    def command(self) -> Sequence[str]:
        """Java with the jars."""
        return [
            *java(self.name), "-Xmx192m", *JVM, "-Dconfig.file=elasticmq.conf",
            "org.elasticmq.server.Main",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        """Its health page."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False
