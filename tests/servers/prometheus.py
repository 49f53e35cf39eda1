"""Prometheus, which scrapes what a test names, with the project's rules or others."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.servers.base import Server, free_ports
from tests.servers.debian import program

PACKAGE = "prometheus"
ASK_S_MAX = 30.0

CONFIGURATION = """
global:
  scrape_interval: {interval}
  scrape_timeout: {timeout}
  evaluation_interval: {interval}
rule_files: {rules}
scrape_configs:
  - job_name: router
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 1s
"""


class Prometheus(Server):
    """One server, its data in its own folder."""

    name = "prometheus"

    def __init__(
        self,
        folder: Path,
        *,
        interval: str = "500ms",
        timeout: str = "500ms",
        rules: Iterable[Path] = (),
    ) -> None:
        """`interval` and `timeout` of scrapes, no longer than the interval; `rules`: files."""
        super().__init__(folder)
        self._interval, self._timeout = interval, timeout
        self._rules = [str(path.resolve()) for path in rules]
        self._targets: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Its API and pages."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self) -> None:
        """Choose the port."""
        (self.port,) = free_ports(1)
        (self.folder / "prometheus.yml").write_text(
            CONFIGURATION.format(
                interval=self._interval, timeout=self._timeout, rules=json.dumps(self._rules)
            )
        )
        self._write_targets()

    def command(self) -> Sequence[str]:
        """The program of the Debian package. Raises `Missing`."""
        return [
            program(PACKAGE, "prometheus"), "--config.file=prometheus.yml",
            "--storage.tsdb.path=data", "--storage.tsdb.retention.time=1d",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        """Its own page."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def scrape(self, *addresses: str, **labels: str) -> None:
        """From now on also these, as `HOST:PORT` or URL, as targets of the job `router`."""
        hosts = [address.rpartition("/")[2] for address in addresses]
        self._targets.append({"targets": hosts, "labels": labels})
        self._write_targets()

    def _write_targets(self) -> None:
        path = self.folder / "targets.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self._targets))
        fresh.replace(path)

    # Its API

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is now: `{"metric": {label: value}, "value": [time, text]}` each."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Of the only series, or None while there is none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression} is {len(found)} series"
        return float(found[0]["value"][1]) if found else None

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing."""
        found: list[dict[str, Any]] = self.ask("alerts")["alerts"]
        return found

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of `/api/v1/`. Raises `AssertionError` for what it refuses."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=ASK_S_MAX) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise AssertionError(f"{path} {parameters}: {text}") from None
