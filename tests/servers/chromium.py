"""Chromium's own driver: begins a headless Chromium for each session that a test asks for."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence

from tests.servers.base import Server, free_ports
from tests.servers.debian import program

PACKAGE = "chromium-driver"


class Chromium(Server):
    """The driver; `tests.browser.browser.Browser` speaks to it."""

    name = "chromium"

    def configure(self) -> None:
        """Choose the port."""
        (self.port,) = free_ports(1)

    def command(self) -> Sequence[str]:
        """The program of the Debian package. Raises `Missing`."""
        program("chromium", "chromium")
        return [program(PACKAGE, "chromedriver"), f"--port={self.port}", "--log-level=WARNING"]

    def is_ready(self) -> bool:
        """It says so."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/status", timeout=2
            ) as answer:
                return bool(json.load(answer)["value"]["ready"])
        except (OSError, urllib.error.URLError, ValueError):
            return False
