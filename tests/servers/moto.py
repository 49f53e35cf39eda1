"""moto: SNS, S3 and more of AWS in memory, of account 123456789012."""

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from tests.servers.base import Server, free_ports

ACCOUNT = "123456789012"


class Moto(Server):
    """One server; it forgets everything when it ends."""

    name = "moto"

    @property
    def url(self) -> str:
        """The endpoint of every service, for any key and region."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self) -> None:
        """Choose the port."""
        (self.port,) = free_ports(1)

    def command(self) -> Sequence[str]:
        """Python, from the environment of the tests."""
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def is_ready(self) -> bool:
        """Its own page."""
        return self._call("/moto-api/") == 200

    def require_keys(self) -> None:
        """From now on only keys that IAM has made may call."""
        assert self._call("/moto-api/reset-auth", b"0") == 200

    def _call(self, path: str, body: bytes | None = None) -> int:
        # Any other type of content is taken for a form.
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                return int(answer.status)
        except (OSError, urllib.error.URLError):
            return 0
