"""What only a server of its own can do: be away, hang, come back (K4)."""

import json
import threading
import time

from tests.integration.bed import until
from tests.integration.queue_bed import Side
from tests.servers.base import running
from tests.servers.elasticmq import ElasticMq
from tests.sizes import size, sized


@sized(300, 300)
def test_k4_a_server_that_hangs_and_comes_back(bed, tmp_path_factory):
    """Deletions that have no answer (D1). Long: half a minute, which is longer than any try."""
    with running(ElasticMq, tmp_path_factory.mktemp("elasticmq")) as server:
        side = Side(bed, server)
        queue = side.create("jobs", VisibilityTimeout=5)
        side.map(queue)
        is_hanging = threading.Event()

        def answer(facts):
            # Calls after the first ones end when the server hangs: their deletions have no answer.
            if facts["what"] == "event":
                first = min(json.loads(it["body"])["n"] for it in facts["event"]["Records"])
                if first >= 20:
                    is_hanging.wait(1.5)
            return "{}"

        bed.ear.answer = answer
        queue.send({"g": None, "n": n} for n in range(100))
        until(lambda: any(n >= 20 for _group, n in side.seen()), what="a call after the first ones")
        server.pause()
        is_hanging.set()
        until(lambda: bed.lines("delete_failed"), what="a deletion without an answer")
        time.sleep(size(0, 30))
        server.resume()
        queue.send({"g": None, "n": n} for n in range(100, 120))
        queue.empties(wait_s=60)
        assert set(side.seen()) == {(None, n) for n in range(120)}
