"""What only a server of its own can do: be away, hang, come back (K4)."""

import signal

import pytest

from tests.integration.bed import until
from tests.integration.queue_bed import Side
from tests.servers.base import running
from tests.servers.elasticmq import ElasticMq


@pytest.mark.timeout(180)
def test_k4_a_server_that_hangs_and_comes_back(bed, tmp_path_factory):
    with running(ElasticMq, tmp_path_factory.mktemp("elasticmq")) as server:
        side = Side(bed, server)
        queue = side.create("jobs", VisibilityTimeout=5)
        side.map(queue)
        queue.send({"g": None, "n": n} for n in range(100))
        until(lambda: len(side.seen()) >= 20)
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: bed.lines("delete_failed"), what="a deletion without an answer")
        server.process.send_signal(signal.SIGCONT)
        queue.send({"g": None, "n": n} for n in range(100, 120))
        queue.empties(wait_s=40)
        assert set(side.seen()) == {(None, n) for n in range(120)}
