"""The servers of the tests: restarts, and what happens where one cannot be had."""

import pytest

from tests.servers import jars
from tests.servers.base import REQUIRED, NotReady, Server, accepts, free_ports, launch, running
from tests.servers.elasticmq import ElasticMq


def test_a_server_comes_back_on_its_port_after_sigkill(tmp_path):
    with running(ElasticMq, tmp_path) as server:
        port = server.port
        server.kill()
        assert not accepts(port)
        server.start()
        assert server.port == port
        assert server.is_ready()
    assert not accepts(port)


def test_without_jars_tests_are_skipped_and_fail_where_servers_are_required(tmp_path, monkeypatch):
    monkeypatch.setenv("TESTS_SERVERS_FOLDER", str(tmp_path / "empty"))
    for is_required, outcome in (("", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv(REQUIRED, is_required)
        with pytest.raises(outcome, match="make servers"), running(ElasticMq, tmp_path):
            pass


def test_every_server_is_pinned_to_one_version():
    for name in jars.names():
        text = (jars.POMS / f"{name}.xml").read_text()
        assert "[" not in text.partition("<dependencies>")[2], name
        assert "LATEST" not in text


class Ending(Server):
    name = "ending"

    def command(self):
        return ["/bin/sh", "-c", "echo cannot go on; exit 3"]

    def is_ready(self):
        return False


def test_a_server_that_ends_is_reported_with_its_log(tmp_path):
    with pytest.raises(NotReady, match="cannot go on"):
        launch(Ending(tmp_path))


def test_free_ports_differ():
    ports = free_ports(5)
    assert len(set(ports)) == 5
