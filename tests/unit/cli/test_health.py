"""`router health`: for health checks, so by its status first."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from router.cli.health import health
from tests.ports import lasting_port


@pytest.fixture
def ops(tmp_path):
    """An ops listener of a router on `tmp_path` that answers what `answers` says."""
    answers = {}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        about = {"api": "", "ingress": "", "ops": url, "pid": os.getpid(), "token": ""}
        (tmp_path / "address.json").write_text(json.dumps(about))
        yield answers
        server.shutdown()
        thread.join()


def asked(*options):
    return CliRunner().invoke(health, options)


def test_a_ready_router_is_healthy(ops, tmp_path):
    ops["/ready"] = 200, b'{"ready": true, "reasons": {}}'
    result = asked("--data", str(tmp_path))
    assert (result.exit_code, result.output) == (0, "ready\n")


def test_one_that_is_not_ready_says_why(ops, tmp_path):
    reasons = {"disk": "the disk is full", "draining": "the router is stopping"}
    ops["/ready"] = 503, json.dumps({"ready": False, "reasons": reasons}).encode()
    result = asked("--data", str(tmp_path))
    assert (result.exit_code, result.output) == (1, "the disk is full; the router is stopping\n")


def test_it_may_live_without_being_ready(ops, tmp_path):
    ops["/live"] = 200, b'{"live": true}'
    result = asked("--live", "--data", str(tmp_path))
    assert (result.exit_code, result.output) == (0, "live\n")


@pytest.mark.parametrize("body", [b"", b"busy", b"[]", b"{}", b'{"reasons": 1}'])
def test_an_answer_of_somebody_else_is_shown_as_it_is(ops, tmp_path, body):
    ops["/ready"] = 502, body
    result = asked("--data", str(tmp_path))
    assert (result.exit_code, result.output) == (1, body.decode() + "\n")


def test_no_router_is_not_healthy(tmp_path):
    result = asked("--data", str(tmp_path))
    assert result.exit_code == 1
    assert str(tmp_path) in result.output


def test_nobody_answers():
    port = lasting_port()
    result = asked("--ops", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert str(port) in result.output


@pytest.mark.parametrize("url", ["127.0.0.1:9464", "http://", "http://[::1", "http://x:port"])
def test_an_address_that_is_none_is_refused(url):
    result = asked("--ops", url)
    assert result.exit_code == 2
    assert "http://127.0.0.1:9464" in result.output
