"""Prometheus as a fixture; and how Debian packages come here."""

import functools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.integration.bed import until
from tests.servers import debian
from tests.servers.base import running
from tests.servers.jars import Missing
from tests.servers.prometheus import Prometheus

RULES = """
groups:
  - name: test
    rules:
      - {record: instance:answer:double, expr: answer * 2}
      - {alert: TooLarge, expr: "instance:answer:double > 80"}
"""


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"answer 42\n")

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def page():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_scrapes_what_is_named_while_it_runs_and_keeps_it_through_sigkill(tmp_path, page):
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with running(functools.partial(Prometheus, interval="200ms", timeout="200ms", rules=[rules]),
                 folder) as server:  # fmt: skip
        assert server.query("answer") == []
        assert server.value("answer") is None
        server.scrape(page, zone="here")
        until(lambda: server.value('answer{job="router",zone="here"}') == 42, what="a scrape")
        (alert,) = until(lambda: [it for it in server.alerts() if it["state"] == "firing"])
        assert alert["labels"]["alertname"] == "TooLarge"
        server.kill()
        server.start()
        assert server.ask("query", query="count_over_time(answer[5m])")["result"]
        with pytest.raises(AssertionError, match="parse error"):
            server.query("answer{")


def test_what_is_neither_installed_nor_fetched_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("TESTS_SERVERS_FOLDER", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="apt-get install prometheus"):
        debian.program("prometheus", "promtool")
    with pytest.raises(Missing, match="apt-get install prometheus"):
        debian.fetch("prometheus")  # there is no apt-get either


def test_an_unpacked_package_is_found_and_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TESTS_SERVERS_FOLDER", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    programs = tmp_path / "debian-prometheus" / "usr" / "bin"
    programs.mkdir(parents=True)
    for name in debian.PACKAGES["prometheus"]:
        (programs / name).touch(mode=0o755)
    assert debian.program("prometheus", "promtool") == str(programs / "promtool")
    assert not debian.fetch("prometheus")
